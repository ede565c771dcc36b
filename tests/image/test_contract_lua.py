"""C functions that Lua uses through FFI: reading the Lua, reading the declarations, and the rule."""

import pytest
from elf_maker import make
from hypothesis import given
from hypothesis import strategies as st
from layers import LOADER, MUSL, entries, image

from builder.image.contract import Image, cdef, lua_ffi
from builder.image.contract.lua_ffi import ANY, Use
from builder.image.contract.lua_tokens import MARK, NAME, TEXT, tokens
from builder.image.contract.rules import lua_ffi as rule


def test_tokens() -> None:
    source = b"""local x = 'a\\'b' -- comment "x"
--[==[ long
]] comment ]==] y[ [[
text]] ] "z\\z
  w" 0x1fULL 1e-5 .5 a..b
--[[ open to the end"""
    assert [tuple(each) for each in tokens(source)] == [
        (NAME, "local", 1), (NAME, "x", 1), (MARK, "=", 1), (TEXT, "a\\'b", 1), (NAME, "y", 3), (MARK, "[", 3),
        (TEXT, "text", 3), (MARK, "]", 4), (TEXT, "z\\z\n  w", 4), (NAME, "a", 5), (MARK, "..", 5), (NAME, "b", 5),
    ]  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(source: bytes) -> None:
    lua_ffi.read(b"local ffi = require 'ffi' " + source)


@pytest.mark.parametrize(
    ("text", "symbols", "constants"),
    [
        ("int f(void);", "f", ""),
        ("const unsigned char *f(int a, struct x *b), *g(void);", "f g", ""),
        ("int (*handler)(int, void *); char **environ; int table[3];", "handler environ table", ""),
        ("int (f)(void);", "f", ""),
        ("typedef int (*cb)(void); typedef struct { int a; } t; typedef enum { A, B = 2 } e;", "", "A B"),
        ("struct x { int a; int (*f)(void); }; union u; struct y;", "", ""),
        ("struct x { int a; } *get(struct x { int b; });", "get", ""),
        ("enum { X = 1 << 3, Y = X | (2, 3), Z, }; enum named { N };", "", "X Y Z N"),
        ("static const int SIZE = 16, OTHER = 3;", "", "SIZE OTHER"),
        ("extern int errno_like; // int no(void);\n/* int neither(void); */", "errno_like", ""),
        ('int f(void) __asm__("g" "64"); void h(void) __attribute__((noreturn));', "f=g64 h", ""),
        ('__attribute__((visibility("default"))) int f(char *s) ; ;', "f", ""),
        ("unsigned long long strtoull(const char *, char **, int)", "strtoull", ""),
        ("int f(int (*cmp)(const void *, const void *), size_t n);", "f", ""),
        ("", "", ""),
    ],
)
def test_declarations(text: str, symbols: str, constants: str) -> None:
    found = cdef.parse(text)
    expected = {name: symbol or name for name, _, symbol in (each.partition("=") for each in symbols.split())}
    assert (found.symbols, found.constants) == (expected, set(constants.split()))


@given(st.text('intvoid *(){}[];,=enumstatic"/\n_x1', max_size=80))
def test_any_text_can_be_a_declaration(text: str) -> None:
    cdef.parse(text)


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ('local ffi = require "ffi"\nlocal C = ffi.C\nC.f(1)', [Use(name="f", line=3, library=None)]),
        ('local F = require("ffi")\nF.C.f()', [Use(name="f", line=2, library=None)]),
        ('require("ffi").C.f()', [Use(name="f", line=1, library=None)]),
        ('require"ffi".C["f"]()', [Use(name="f", line=1, library=None)]),
        ('local ffi = require "ffi" local f = ffi.C.f', [Use(name="f", line=1, library=None)]),
        ('local ffi = require "ffi" local a, b, C = ffi.new, g(1, {2}), ffi.C C.f()', [Use(name="f", line=1, library=None)]),
        ('local ffi = require "ffi" local z = ffi.load("z") z.f()', [Use(name="f", line=1, library="z")]),
        ('local ffi = require "ffi" local z = ffi.load(path) z.f()', [Use(name="f", line=1, library=ANY)]),
        ('local ffi = require "ffi" local z = ffi.load "z" local C = ffi.C return self.C.f, x.z.g, {C = 1}', []),
        ('local ffi = require "ffi" local C = ffi.C -- C.f()\nlocal s = "C.g()" C[name]() other.f()', []),
        ("local C = other.C C.f()", []),
        ('local ffi = require "ffi" pcall(function() return ffi.C.f end)', [Use(name="f", line=1, library=None)]),
    ],
)  # fmt: skip
def test_uses(source: str, uses: list[Use]) -> None:
    assert lua_ffi.read(source.encode()).uses == uses


@pytest.mark.parametrize(
    "source",
    [
        "ffi.cdef[[int f(void);]]", "ffi.cdef [==[int f(void);]==]", "ffi.cdef('int f(void);')",
        "local cdef = ffi.cdef cdef[[int f(void);]]", "local x, cdef = 1, ffi.cdef cdef('int ' .. 'f(void);')",
        'require("ffi").cdef "int f(void);"',
    ],
)  # fmt: skip
def test_declarations_in_lua(source: str) -> None:
    assert lua_ffi.read(f'local ffi = require("ffi")\n{source}'.encode()).symbols == {"f": "f"}


def test_libraries_that_are_loaded() -> None:
    assert lua_ffi.read(b'local ffi = require "ffi"\nlocal ok = pcall(ffi.load, "no")\nffi.load("a", true) ffi.load(x)').loads == {"a": 3}


# --- the rule


def lua(text: str) -> bytes:
    return b'local ffi = require "ffi"\nlocal C = ffi.C\n' + text.encode()


def host(*exports: str, **modules: str) -> Image:
    """An image with nginx that holds LuaJIT and exports, libssl that it needs, libother that it does not, and Lua."""
    files = LOADER | {
        "sbin/nginx": make(interpreter=MUSL, needed=["libssl.so"], exports=["luaL_newstate", *exports]),
        "lib/libssl.so": make(exports=["SSL_new"]),
        "lib/libother.so": make(exports=["other"]),
    }
    return image(entries(files | {f"lualib/{name}.lua": lua(text) for name, text in modules.items()}))


def found(checked: Image) -> list[str]:
    return [str(each) for each in rule.check(checked)]


HINT = " (add the nginx module or library that has it, or leave out the Lua that uses it)"


def test_exported_by_nginx_its_libraries_and_the_c_library() -> None:
    text = "ffi.cdef[[void *SSL_new(void); void free(void*); int ngx_f(void); enum { K };]] C.SSL_new() C.free() C.ngx_f(C.K)"
    assert found(host("ngx_f", m=text)) == []


def test_not_exported() -> None:
    checked = host(a="ffi.cdef[[int ngx_f(void);]]\nC.ngx_f() C.ngx_f()", b="C.ngx_f() C.ngx_f()", c="C.undeclared()", d="C.other()")
    assert found(checked) == [
        "[lua-ffi] lualib/a.lua:4: uses ngx_f through FFI, and nginx, its libraries and the C library do not export it;"
        f" also at lualib/a.lua:4, lualib/b.lua:3, ...{HINT}",
        "[lua-ffi] lualib/c.lua:3: uses undeclared through FFI, which no shipped Lua declares, and nginx, its libraries and the"
        f" C library do not export it{HINT}",
        "[lua-ffi] lualib/d.lua:3: uses other through FFI, which no shipped Lua declares, and nginx, its libraries and the"
        f" C library do not export it{HINT}",
    ]


def test_a_fallback_behind_pcall_is_no_excuse() -> None:
    """The C half of lua-var-nginx-module was missing for years because of one."""
    text = "ffi.cdef[[int ngx_http_lua_var_ffi_uri(void);]]\nlocal ok = pcall(function() return C.ngx_http_lua_var_ffi_uri end)"
    assert [each.path for each in rule.check(host("ngx_http_lua_ffi_exit", var=text))] == ["lualib/var.lua:4"]


def test_another_symbol_under_a_name() -> None:
    text = 'ffi.cdef[[int f(void) __asm__("ngx_f");]] C.f()'
    assert found(host("ngx_f", m=text)) == []
    (finding,) = rule.check(host("f", m=text))
    assert finding.message.startswith("uses f (ngx_f) through FFI, and nginx")


def test_subsystems_that_nginx_does_not_have() -> None:
    text = "ffi.cdef[[int ngx_stream_lua_ffi_exit(void), ngx_http_lua_ffi_exit(void);]]"
    text += "C.ngx_stream_lua_ffi_exit() C.ngx_http_lua_ffi_exit()"
    assert found(host("ngx_http_lua_ffi_exit", m=text)) == []
    (finding,) = rule.check(host("ngx_http_lua_ffi_exit", "ngx_stream_lua_ffi_var", m=text))
    assert "uses ngx_stream_lua_ffi_exit through FFI" in finding.message


def test_functions_for_another_system() -> None:
    text = "ffi.cdef[[int ngx_http_lua_ffi_shdict_get_macos(void*);]] C.ngx_http_lua_ffi_shdict_get_macos()"
    assert found(host("ngx_http_lua_ffi_exit", m=text)) == []


def test_libraries_of_ffi_load() -> None:
    text = 'ffi.cdef[[int other(void); int no(void);]]\nlocal o = ffi.load("other") o.other() o.no()'
    assert found(host(m=text)) == [
        f"[lua-ffi] lualib/m.lua:4: uses no through FFI, and lib/libother.so does not export it{HINT}",
    ]
    assert found(host(m='local o = ffi.load("/lib/libother.so") o.other()')) == []
    assert found(host(m="local o = ffi.load(name) o.other()")) == []
    (finding,) = rule.check(host(m="local o = ffi.load(name) o.gone()"))
    assert finding.message == "uses gone through FFI, which no shipped Lua declares, and no shipped library exports it"


def test_a_library_of_ffi_load_that_is_not_there() -> None:
    (finding,) = rule.check(host(m='local o = ffi.load("gone") o.f()'))
    assert finding.message == "uses f through FFI, which no shipped Lua declares, and there is no library 'gone' in the image"


def test_nobody_runs_lua() -> None:
    files = LOADER | {"m.lua": lua("C.free()"), "plain.lua": b"return {}"}
    (finding,) = rule.check(image(entries(files)))
    assert finding.message == "uses free through FFI, which no shipped Lua declares, and no program of the image runs Lua"


def test_lua_without_ffi_needs_nobody() -> None:
    assert found(image(entries({"m.lua": b"local C = x.C return C.f -- ffi"}))) == []
