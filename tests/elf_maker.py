"""ELF files for tests, made byte by byte: what a loader reads of them is true, and they have no code."""

import struct
from collections.abc import Sequence

MACHINES = {"x86_64": 62, "aarch64": 183, "riscv": 243}
_HEADER, _SEGMENT = 64, 56
_LOAD, _DYNAMIC, _INTERP, _NOTE = 1, 2, 3, 4  # p_type
_NULL, _NEEDED, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _RPATH, _RUNPATH = 0, 1, 4, 5, 6, 10, 11, 14, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        self.data += text.encode() + b"\0"
        return len(self.data) - len(text.encode()) - 1


def make(
    *,
    interpreter: str = "",
    needed: Sequence[str] = (),
    runpath: str = "",
    rpath: str = "",
    soname: str = "",
    exports: Sequence[str] = (),
    undefined: Sequence[str] = (),
    hidden: Sequence[str] = (),
    versions: Sequence[str] = (),
    machine: str = "x86_64",
    kind: int = 3,
    glibc_tag: bool = False,
    text: bytes = b"",
) -> bytes:
    """An ELF file of 64 bits. `kind` is e_type: 3 for ET_DYN, 1 for an object file. `text` is appended."""
    strings = _Strings()
    tags = [(_NEEDED, strings.add(name)) for name in needed]
    tags += [(tag, strings.add(value)) for tag, value in ((_RUNPATH, runpath), (_RPATH, rpath), (_SONAME, soname)) if value]
    symbols = [bytes(24)]
    symbols += [struct.pack("<IBBHQQ", strings.add(name), 1 << 4 | 2, 0, 1, 0x1000, 8) for name in exports]
    symbols += [struct.pack("<IBBHQQ", strings.add(name), 1 << 4 | 2, 0, 0, 0, 0) for name in undefined]
    symbols += [struct.pack("<IBBHQQ", strings.add(name), 1 << 4 | 2, 2, 1, 0x1000, 8) for name in hidden]
    need = _version_needs(strings, versions)
    parts: list[tuple[int, bytes]] = []
    if interpreter:
        parts.append((_INTERP, interpreter.encode() + b"\0"))
    if glibc_tag:
        parts.append((_NOTE, struct.pack("<III4s4I", 4, 16, 1, b"GNU\0", 0, 3, 2, 0)))
    tables = {
        _STRTAB: strings.data,
        _SYMTAB: b"".join(symbols),
        _HASH: struct.pack("<4I", 1, len(symbols), 0, 0) + bytes(4 * len(symbols)),
        **({_VERNEED: need} if versions else {}),
    }
    tags += [(_STRSZ, len(strings.data)), (_SYMENT, 24), *([(_VERNEEDNUM, 1)] if versions else [])]
    return _laid_out(parts, tables, tags, MACHINES[machine], kind) + text


def _version_needs(strings: _Strings, versions: Sequence[str]) -> bytes:
    head = struct.pack("<HHIII", 1, len(versions), strings.add("libc.so.6"), 16, 0)
    rows = (struct.pack("<IHHII", 0, 0, 2, strings.add(name), 16) for name in versions)
    return head + b"".join(rows)


def _laid_out(parts: list[tuple[int, bytes]], tables: dict[int, bytes], tags: list[tuple[int, int]], machine: int, kind: int) -> bytes:
    """Header, segments, parts, tables, dynamic section; addresses are the same as offsets."""
    count = len(parts) + 2
    at = _HEADER + count * _SEGMENT
    body = b""
    segments = []

    def place(data: bytes) -> int:
        nonlocal body
        body += bytes(-(at + len(body)) % 8)
        offset = at + len(body)
        body += data
        return offset

    for kind_of_segment, data in parts:
        segments.append((kind_of_segment, place(data), len(data)))
    tags = tags + [(tag, place(data)) for tag, data in tables.items()]
    dynamic = b"".join(struct.pack("<QQ", *each) for each in [*tags, (_NULL, 0)])
    segments.append((_DYNAMIC, place(dynamic), len(dynamic)))
    segments.insert(0, (_LOAD, 0, at + len(body)))
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, count, 64, 0, 0)
    return header + b"".join(struct.pack("<IIQQQQQQ", t, 5, o, o, o, s, s, 8) for t, o, s in segments) + body
