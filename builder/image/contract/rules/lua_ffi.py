"""Rule `lua-ffi`: C functions that shipped Lua uses through FFI exist where LuaJIT looks for them.

`ffi.C` is what the process has: the program that holds LuaJIT (or loads its library), the libraries that
it needs, and the C library. A library of `ffi.load` must be in the image and have what is used of it.

lua-nginx-module and stream-lua-nginx-module are one code base for two subsystems of nginx, and lua-resty-core has the
halves for both, chosen when it is loaded. So what a subsystem provides (its symbols begin with `ngx_http_lua_ffi_`,
`ngx_stream_lua_ffi_`) is asked for only when nginx has that subsystem's module, that is, exports any symbol of it.
Its functions whose names end in `_macos` are compiled there only (`#if (NGX_DARWIN)`), and called there only.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from builder.image.contract import linking, lua_ffi
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image
from builder.image.contract.lua_ffi import ANY, Module

RULE = "lua-ffi"
_LUAJIT = "luaL_newstate"  # a program that has it can run Lua
_SUBSYSTEM = re.compile(r"ngx_(?:http|stream)_lua_ffi_")
_FOREIGN = re.compile(r"ngx_(?:http|stream)_lua_ffi_\w+_macos")
_SHOWN = 3


def check(image: Image) -> Iterator[Finding]:
    modules = {path: lua_ffi.read(source) for path, source in image.lua.items()}
    symbols, constants = lua_ffi.merged(list(modules.values()))
    wanted = _wanted(modules, constants)
    if not wanted:
        return
    space = _process(image)
    present = {found.group() for name in space if (found := _SUBSYSTEM.match(name))}
    for (library, name), places in sorted(wanted.items(), key=lambda each: each[1]):
        symbol = symbols.get(name, name)
        subsystem = _SUBSYSTEM.match(symbol)
        if (subsystem and subsystem.group() not in present) or _FOREIGN.fullmatch(symbol):
            continue
        if symbol not in (space if library is None else _library(image, library)):
            yield _finding(image, (library, name), symbol, places, declared=name in symbols)


def _wanted(modules: dict[str, Module], constants: set[str]) -> dict[tuple[str | None, str], list[str]]:
    """(library, name) -> places "path:line", of everything used but constants."""
    wanted: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for path, module in modules.items():
        for use in module.uses:
            if use.name not in constants:
                wanted[use.library, use.name].append(f"{path}:{use.line}")
    return wanted


def _process(image: Image) -> frozenset[str]:
    """The symbols that `ffi.C` can find in any program that runs Lua."""
    found: set[str] = set()
    for program, files in _hosts(image).items():
        found.update(*(image.elves[each].exports for each in files))
        loader = image.rootfs.file(image.elves[program].interpreter)
        if loader in image.elves:
            found.update(image.elves[loader].exports)
    return frozenset(found)


def _hosts(image: Image) -> dict[str, tuple[str, ...]]:
    """Programs that have LuaJIT in them or load it -> the program and its libraries."""
    loaded = {path: (path, *each.libraries) for path, each in image.programs.items()}
    return {
        path: files for path, files in loaded.items() if any(_LUAJIT in image.elves[each].exports for each in files)
    }


def _library(image: Image, library: str) -> frozenset[str]:
    """The symbols that a library of `ffi.load` exports; every library of the image together
    when its name is not known."""
    if library == ANY:
        return frozenset().union(*(each.exports for each in image.elves.values() if not each.interpreter))
    path = _located(image, library)
    return image.elves[path].exports if path else frozenset()


def _located(image: Image, library: str) -> str | None:
    """The file that `ffi.load(library)` opens in a program that runs Lua (LuaJIT, src/lj_clib.c: `clib_extname`)."""
    if "/" in library:
        found = image.rootfs.file(library)
        return found if found in image.elves else None
    name = library if "." in library else f"{library}.so"
    name = name if name.startswith("lib") else f"lib{name}"
    return next(
        (path for host in _hosts(image) if (path := linking.locate(image.rootfs, image.elves, host, name))), None
    )


def _finding(image: Image, use: tuple[str | None, str], symbol: str, places: list[str], *, declared: bool) -> Finding:
    library, name = use
    shown = f"{name} ({symbol})" if symbol != name else name
    nowhere = "" if declared else ", which no shipped Lua declares"
    also = places[1:_SHOWN] + (["..."] if len(places) > _SHOWN else [])
    return Finding(
        rule=RULE,
        path=places[0],
        message=f"uses {shown} through FFI{nowhere}, and {_lacking(image, library)}"
        + (f"; also at {', '.join(also)}" if also else ""),
        hint="add the nginx module or library that has it, or leave out the Lua that uses it",
    )


def _lacking(image: Image, library: str | None) -> str:
    if library is None:
        return (
            "nginx, its libraries and the C library do not export it"
            if _hosts(image)
            else "no program of the image runs Lua"
        )
    if library == ANY:
        return "no shipped library exports it"
    path = _located(image, library)
    return f"{path} does not export it" if path else f"there is no library '{library}' in the image"
