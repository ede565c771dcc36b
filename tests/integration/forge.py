"""Archives with the layout of sources that lie on forges only, and a project whose recipes pin these instead."""

import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from integration.world import REPOSITORY, World

from builder import digest, nar

LUA = "-- {}\nreturn {{ _VERSION = '{}' }}\n"
SITE = "usr/local/openresty/site/lualib/resty"

CHASH_C = """#include "chash.h"
int chash_point_cmp(const chash_point_t *one, const chash_point_t *other)
{
    return (one->hash > other->hash) - (one->hash < other->hash);
}
"""
CHASH_H = """#include <stdint.h>
typedef struct { uint32_t hash; uint32_t id; } chash_point_t;
int chash_point_cmp(const chash_point_t *one, const chash_point_t *other);
"""
BALANCER_MAKEFILE = """PREFIX ?= /usr/local
LUA_LIB_DIR ?= $(PREFIX)/lib/lua
INSTALL ?= install
all: librestychash.so
librestychash.so: chash.c chash.h
\t$(CC) -shared -fPIC -g -O2 -o $@ chash.c
install: all
\t$(INSTALL) -d $(DESTDIR)$(LUA_LIB_DIR)/resty/balancer
\t$(INSTALL) -m 644 lib/resty/*.lua $(DESTDIR)$(LUA_LIB_DIR)/resty
\t$(INSTALL) -m 644 lib/resty/balancer/*.lua $(DESTDIR)$(LUA_LIB_DIR)/resty/balancer
\t$(INSTALL) librestychash.so $(DESTDIR)$(LUA_LIB_DIR)/librestychash.so
"""
VAR_CONFIG = """ngx_addon_name=ngx_http_lua_var_module
HTTP_MODULES="$HTTP_MODULES ngx_http_lua_var_module"
NGX_ADDON_SRCS="$NGX_ADDON_SRCS $ngx_addon_dir/src/ngx_http_lua_var_module.c"
NGX_ADDON_DEPS="$NGX_ADDON_DEPS $ngx_addon_dir/src/ngx_http_lua_var_module.h"
CORE_INCS="$CORE_INCS $ngx_addon_dir/src"
"""
VAR_H = "int ngx_http_lua_var_ffi_test(void *request);\n"
VAR_C = """#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_lua_var_module.h"
static ngx_http_module_t context = { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL };
ngx_module_t ngx_http_lua_var_module = {
    NGX_MODULE_V1, &context, NULL, NGX_HTTP_MODULE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
int ngx_http_lua_var_ffi_test(void *request)
{
    return request == NULL ? NGX_ERROR : NGX_OK;
}
"""
VAR_LUA = """local ffi = require "ffi"
local C = ffi.C
ffi.cdef[[
int ngx_http_lua_var_ffi_test(void *request);
]]
return { test = function(request) return C.ngx_http_lua_var_ffi_test(request) end }
"""
BUNDLE_CONFIGURE = """#!/usr/bin/env perl
use strict;
use warnings;
my %told = map { /^--([^=]+)=?(.*)/s ? ($1, $2) : die "bad option $_" } @ARGV;
die "no module\\n" unless -f "$told{'add-module'}/src/ngx_http_lua_var_module.c";
die "no prefix\\n" unless $told{prefix} eq '/usr/local/openresty';
open(my $out, '>', 'Makefile') or die $!;
print $out <<"END";
R = \\$(DESTDIR)$told{prefix}
all: nginx
nginx: nginx.c
\\tcc -fPIE -pie -Wl,-E -o nginx nginx.c
install: all
\\tmkdir -p \\$(R)/bin \\$(R)/nginx/sbin \\$(R)/nginx/conf \\$(R)/lualib/resty
\\tinstall nginx \\$(R)/nginx/sbin/nginx
\\tln -s ../nginx/sbin/nginx \\$(R)/bin/openresty
\\tinstall -m 644 core.lua \\$(R)/lualib/resty/core.lua
\\techo 'events {}' > \\$(R)/nginx/conf/nginx.conf
