"""The parts of an ELF file that the loader and a linker see: interpreter, needed libraries,
run paths, versions and symbols.

Source: System V ABI, chapters 4 and 5 (gABI); symbol versions: LSB Core, "Symbol Versioning". Segments are read, not
sections: `strip` may drop those, and the loader never looks at them. pyelftools reads the headers; the symbol table,
thousands of entries, is read with `struct` because pyelftools makes several objects of each.
"""

import io
import struct
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

MAGIC = b"\x7fELF"
_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym: name, info, other, section, value, size
_NEED = struct.Struct("<HHIII")  # Elf64_Verneed: version, count, file, first, next
_VERSION = struct.Struct("<IHHII")  # Elf64_Vernaux: hash, flags, other, name, next
_EXPORTED = {1, 2, 10}  # STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE
_HIDDEN = {1, 2}  # STV_INTERNAL, STV_HIDDEN
_UNDEFINED = 0  # SHN_UNDEF


class DamagedError(Exception):
    """The file begins as ELF does and cannot be read further."""


class Elf(Struct, frozen=True, kw_only=True):
    """One program or library.

    machine: "x86_64", "aarch64", or pyelftools' name of another one. interpreter: "" for libraries and static programs.
    run_paths: in order, as written. versions: those needed of libraries, "GLIBC_2.34" and the like. glibc_tag: it has
    the note that glibc's start code puts into every program, static ones too.
    """

    machine: str
    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    run_paths: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    exports: frozenset[str] = frozenset()
    glibc_tag: bool = False


def read(data: bytes) -> Elf | None:
    """The program or library that `data` is; None for anything else, object files and other word sizes among it.

    Raises:
        DamagedError: it is ELF of the right kind, but what its headers point to is not there.
    """
    if not data.startswith(MAGIC) or data[4:6] != b"\x02\x01":  # 64 bits, little-endian
        return None
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415  heavy, and only wanted for real images

    try:
        file = ELFFile(io.BytesIO(data))
        if file["e_type"] not in {"ET_EXEC", "ET_DYN"}:
            return None
        return _read(file, data)
    except Exception as error:  # on damaged files pyelftools fails in many ways, assertions among them
        raise DamagedError(str(error) or type(error).__name__) from error


def _read(file: Any, data: bytes) -> Elf:
    machine = file["e_machine"]
    found: dict[str, Any] = {"machine": _MACHINES.get(machine, machine)}
    for segment in file.iter_segments():
        kind = segment["p_type"]
        if kind == "PT_INTERP":
            found["interpreter"] = segment.get_interp_name()
        elif kind == "PT_NOTE":
            found["glibc_tag"] = found.get("glibc_tag", False) or any(map(_is_glibc, segment.iter_notes()))
        elif kind == "PT_DYNAMIC":
            found |= _dynamic(segment, data)
    return Elf(**found)


def _is_glibc(note: Any) -> bool:
    """glibc's csu/abi-note.c: owner "GNU", type NT_GNU_ABI_TAG. musl and the compilers have no such note."""
    return bool(note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_ABI_TAG")


def _dynamic(segment: Any, data: bytes) -> dict[str, Any]:
    needed, paths = [], {}
    found: dict[str, Any] = {}
    for tag in segment.iter_tags():
        name = tag.entry.d_tag
        if name == "DT_NEEDED":
            needed.append(tag.needed)
        elif name in {"DT_RPATH", "DT_RUNPATH"}:
            paths[name] = tag.rpath if name == "DT_RPATH" else tag.runpath
        elif name == "DT_SONAME":
            found["soname"] = tag.soname
    run_path = paths.get("DT_RUNPATH", paths.get("DT_RPATH", ""))  # the newer one wins when both are there
    strings = _strings(segment, data)
    return found | {
        "needed": tuple(needed),
        "run_paths": tuple(run_path.split(":")) if run_path else (),
        "versions": tuple(sorted(set(_versions(segment, data, strings)))),
        "exports": frozenset(_exports(segment, data, strings)),
    }


def _strings(segment: Any, data: bytes) -> bytes:
    _, offset = segment.get_table_offset("DT_STRTAB")
    size = next((tag.entry.d_val for tag in segment.iter_tags("DT_STRSZ")), 0)
    return data[offset : offset + size] if offset is not None else b""


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("utf-8", "backslashreplace")


def _exports(segment: Any, data: bytes, strings: bytes) -> Iterator[str]:
    """Names of the dynamic symbols that other files can use."""
    _, offset = segment.get_table_offset("DT_SYMTAB")
    if offset is None:
        return
    table = memoryview(data)[offset : offset + segment.num_symbols() * _SYMBOL.size]
    for name, info, other, section, _, _ in _SYMBOL.iter_unpack(table):
        if section != _UNDEFINED and info >> 4 in _EXPORTED and other & 3 not in _HIDDEN:
            yield _text(strings, name)


def _versions(segment: Any, data: bytes, strings: bytes) -> Iterator[str]:
    """Names of the versions that are needed of other files: two linked lists, one in the
    other. A step of 0 ends one."""
    _, at = segment.get_table_offset("DT_VERNEED")
    count = next((tag.entry.d_val for tag in segment.iter_tags("DT_VERNEEDNUM")), 0)
    for _ in range(count if at is not None else 0):
        _, entries, _, first, following = _NEED.unpack_from(data, at)
        place = at + first
        for _ in range(entries):
            _, _, _, name, step = _VERSION.unpack_from(data, place)
            yield _text(strings, name)
            if not step:
                break
            place += step
        if not following:
            return
        at += following
