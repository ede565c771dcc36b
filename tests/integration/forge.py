"""Archives with the layout of sources that lie on forges only, and a project whose recipes pin these instead."""

import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from builder.base import digest
from builder.tree import nar
from integration.world import REPOSITORY, World

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
print $out <<"MAKEFILE";
R = \\$(DESTDIR)$told{prefix}
all: nginx
nginx: nginx.c
\\tcc -fPIE -pie -Wl,-E -o nginx nginx.c bundle/LuaJIT-2.1/src/lj_err.c
install: all
\\tmkdir -p \\$(R)/bin \\$(R)/nginx/sbin \\$(R)/nginx/conf \\$(R)/lualib/resty
\\tinstall nginx \\$(R)/nginx/sbin/nginx
\\tln -s ../nginx/sbin/nginx \\$(R)/bin/openresty
\\tinstall -m 644 core.lua \\$(R)/lualib/resty/core.lua
\\techo 'events {}' > \\$(R)/nginx/conf/nginx.conf
MAKEFILE
"""
BUNDLE_C = """#include <stdio.h>
int ngx_http_lua_var_ffi_test(void *request) { return request == 0; }
void ngx_md5_init(void *state) { (void) state; }
void ngx_md5_update(void *state, const void *data, unsigned long size) { (void) state; (void) data; (void) size; }
void ngx_md5_final(unsigned char *result, void *state) { (void) result; (void) state; }
void *luaL_newstate(void) { return 0; }
void ERR_clear_error(void) {} /* what the gateway's Lua calls of OpenSSL, which a real bundle is linked with */
void *OPENSSL_sk_value(const void *stack, int at) { return at ? 0 : (void *)stack; }
int X509_check_private_key(const void *certificate, const void *key) { return certificate == key; }
int main(void) { return puts("a bundle") < 0; }
"""

# The lines around those that the patch of LuaJIT changes.
BUNDLE_LUAJIT = """#include <stdint.h>
#include <string.h>
#define LJ_64 1
#define LJ_NOINLINE __attribute__((noinline))
#define UNUSED(x) ((void)(x))
static const uint8_t err_frame_jit_template[64];
#define ERR_FRAME_JIT_OFS_FDE\t\t(LJ_64 ? 0x20 : 0x18)
#define ERR_FRAME_JIT_OFS_CODE_SIZE\t(LJ_64 ? 0x2c : 0x24)
#if LJ_TARGET_OSX
#define ERR_FRAME_JIT_OFS_REGISTER\tERR_FRAME_JIT_OFS_FDE
#else
#define ERR_FRAME_JIT_OFS_REGISTER\t0
#endif

const void *volatile frames; /* so that no optimizer leaves the calls out */
void __register_frame(const void *frame) { frames = frame; }
void __deregister_frame(const void *frame) { frames = frame; }

uint8_t *lj_err_register_mcode(void *base, size_t sz, uint8_t *info)
{
  *(uint32_t *)(info + ERR_FRAME_JIT_OFS_CODE_SIZE) =
    (uint32_t)(sz - sizeof(err_frame_jit_template) - (info - (uint8_t *)base));
  __register_frame(info + ERR_FRAME_JIT_OFS_REGISTER);
#ifdef LUA_USE_ASSERT
#endif
  return info;
}

void lj_err_deregister_mcode(void *base, size_t sz, uint8_t *info)
{
  UNUSED(base); UNUSED(sz);
  __deregister_frame(info + ERR_FRAME_JIT_OFS_REGISTER);
}
"""

LAYOUTS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "mlcache": ("lua-resty-mlcache-2.5.0.tar.gz", "lua-resty-mlcache-2.5.0", {
        "lib/resty/mlcache.lua": LUA.format("mlcache", "2.5.0"), "lib/resty/mlcache/ipc.lua": LUA.format("ipc", "2.5.0"),
        "README.md": "mlcache\n", "t/00-ipc.t": "test\n",
    }),
    "worker-events": ("lua-resty-worker-events-2.0.0.tar.gz", "lua-resty-worker-events-2.0.0", {
        "lib/resty/worker/events.lua": LUA.format("events", "2.0.0"), "README.md": "events\n",
    }),
    "balancer": ("lua-resty-balancer-0.04.tar.gz", "lua-resty-balancer-0.04", {
        "lib/resty/chash.lua": LUA.format("chash", "0.04"), "lib/resty/roundrobin.lua": LUA.format("roundrobin", "0.04"),
        "lib/resty/balancer/utils.lua": LUA.format("utils", "0.04"), "chash.c": CHASH_C, "chash.h": CHASH_H,
        "Makefile": BALANCER_MAKEFILE,
    }),
    "cookie": (
        "lua-resty-cookie-948b77f8a5f2c9f1cdc28b4c6cd5a60d64b4fab7.tar.gz",
        "lua-resty-cookie-948b77f8a5f2c9f1cdc28b4c6cd5a60d64b4fab7",
        {"resty/cookie.lua": LUA.format("cookie", "0.01"), "README.md": "cookie\n"},
    ),
    "lua-resty-lock": ("lua-resty-lock-0.09.tar.gz", "lua-resty-lock-0.09", {"lib/resty/lock.lua": LUA.format("lock", "0.09")}),
    "lua-var-nginx-module": ("lua-var-nginx-module-0.5.2.tar.gz", "lua-var-nginx-module-0.5.2", {
        "config": VAR_CONFIG, "src/ngx_http_lua_var_module.c": VAR_C, "src/ngx_http_lua_var_module.h": VAR_H,
        "lib/resty/ngxvar.lua": LUA.format("ngxvar", "0.5.2"), "lib/resty/ngxvar/http.lua": VAR_LUA,
        "lib/resty/ngxvar/stream.lua": LUA.format("stream", "0.5.2"),
    }),
    "openresty": ("openresty-1.27.1.2.tar.gz", "openresty-1.27.1.2", {
        "configure": BUNDLE_CONFIGURE, "nginx.c": BUNDLE_C, "core.lua": LUA.format("core", "0.1.31"),
        "bundle/LuaJIT-2.1/src/lj_err.c": BUNDLE_LUAJIT,
    }),
}  # fmt: skip


def archive(folder: Path, tree: Path, name: str, top: str) -> Path:
    """Pack a tree under a top folder ("" for none)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with tarfile.open(path, "w:gz") as file:
        file.add(tree, arcname=top or ".")
    return path


def lay_out(tree: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)
    return tree


def make(folder: Path, scratch: Path, package: str, files: Mapping[str, str] | None = None) -> tuple[Path, str]:
    """The archive of one package in `folder`, and the digest of its tree. files: other contents than usual."""
    name, top, usual = LAYOUTS[package]
    tree = scratch / top
    shutil.rmtree(tree, ignore_errors=True)
    lay_out(tree, usual if files is None else files)
    return archive(folder, tree, name, top), nar.hash_tree(str(tree))


def repin(project: World, package: str, path: Path, tree: str) -> None:
    """Make a recipe's source of this archive's name have the archive's pins."""
    recipe = project.root / "recipes" / f"{package}.toml"
    head, *blocks = re.split(r"(?=^\[\[version\.source\]\]$)", recipe.read_text(), flags=re.MULTILINE)
    (number,) = (i for i, block in enumerate(blocks) if path.name in block)
    block = re.sub(r"^(size|tree|unpacked|entries) = .*\n", "", blocks[number], flags=re.MULTILINE)
    pins = f'sha256 = "{digest.of_file(str(path))}"\nsize = {path.stat().st_size}\ntree = "{tree}"'
    blocks[number] = re.sub(r"^sha256 = .*$", pins, block, count=1, flags=re.MULTILINE)
    recipe.write_text(head + "".join(blocks))


def project(root: Path, home: Path) -> World:
    """A copy of this repository's recipes, the Lua that they take in, and lock."""
    made = World(root, home)
    root.mkdir()
    for folder in ("recipes", "lua"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    shutil.copy(REPOSITORY / "lock.toml", root / "lock.toml")
    home.mkdir()
    return made
