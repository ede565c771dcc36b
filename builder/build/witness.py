"""Witnesses: whether the effect of a patch can be seen in the built files.

A patch that is listed but was never applied leaves no trace, and nothing else fails. So a patch names a string that
some built file must hold, or a symbol that some built ELF file (System V ABI, chapter 4, "Symbol Table") must have, in
its own symbol tables or in those of its split-off debug file.
"""

import mmap
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from builder.recipe.source import Patch

_ELF = b"\x7fELF"
_ARCHIVE = b"!<arch>\n"


def missing(patches: Iterable[Patch], trees: Sequence[str]) -> list[Patch]:
    """The patches whose witness no regular file below the directories `trees` shows, in their order.

    Patches that say why they can have none are passed over.

    Raises:
        OSError: a tree cannot be read.
    """
    wanted = [patch for patch in patches if patch.none is None]
    for path in _files(trees):
        if not wanted:
            break
        with _bytes_of(path) as data:
            if data:
                wanted = _unseen(wanted, data)
    return wanted


def _unseen(patches: list[Patch], data: mmap.mmap) -> list[Patch]:
    """Those of the patches whose witness one file does not show."""
    names = [patch.symbol for patch in patches if patch.symbol is not None]
    symbols = set(symbols_among(names, data)) if names else set()
    return [
        patch
        for patch in patches
        if patch.symbol not in symbols and (patch.string is None or data.find(patch.string.encode()) < 0)
    ]


def symbols_among(names: Iterable[str], data: mmap.mmap | bytes) -> Iterator[str]:
    """Those of `names` that an ELF file, or a member of a static library, has as symbols (defined or wanted)."""
    if data[:8] == _ARCHIVE:
        yield from (name for name in names if data.find(b"\0" + name.encode() + b"\0") >= 0)
    elif data[:4] == _ELF and len(data) > 5:
        tables = list(_symbol_tables(data))
        yield from (name for name in names if any(_has(table, strings, name) for table, strings in tables))


def _has(offsets: frozenset[int], strings: bytes, name: str) -> bool:
    """Whether a symbol table whose names begin at `offsets` has a name. Linkers let a name be the tail of a longer
    one, so each place where it ends a string is asked about."""
    text = name.encode() + b"\0"
    at = strings.find(text)
    while at >= 0:
        if at in offsets:
            return True
        at = strings.find(text, at + 1)
    return False


def _symbol_tables(data: mmap.mmap | bytes) -> Iterator[tuple[frozenset[int], bytes]]:
    """Each symbol table of an ELF file: where the names of its symbols begin, and the strings they begin in.

    Read here and not with a library: only two kinds of section matter, a damaged file must not raise, and a debug file
    can have 100,000 symbols. A section that does not fit the file counts as absent.
    """
    order = {1: "<", 2: ">"}.get(data[5], "<")
    wide = data[4] == 2
    sections = list(_sections(data, order, wide))
    for kind, offset, size, link in sections:
        if kind in (2, 11) and link < len(sections):  # SHT_SYMTAB, SHT_DYNSYM
            _, strings_at, strings_size, _ = sections[link]
            entry = struct.Struct(order + ("I20x" if wide else "I12x"))  # st_name comes first; the rest is not needed
            table = data[offset : offset + size]
            table = table[: len(table) - len(table) % entry.size]
            offsets = frozenset(start for (start,) in entry.iter_unpack(table))
            yield offsets, data[strings_at : strings_at + strings_size]


def _sections(data: mmap.mmap | bytes, order: str, wide: bool) -> Iterator[tuple[int, int, int, int]]:
    """(sh_type, sh_offset, sh_size, sh_link) of each section header."""
    try:
        start, step, count = struct.unpack_from(order + ("Q10xHH" if wide else "I10xHH"), data, 40 if wide else 32)
        for number in range(count):
            header = struct.unpack_from(order + ("4xI16xQQI" if wide else "4xI8xIII"), data, start + number * step)
            yield header[0], header[1], header[2], header[3]
    except (struct.error, OverflowError):  # an offset that is none
        return


@contextmanager
def _bytes_of(path: bytes) -> Iterator[mmap.mmap | None]:
    """A file's bytes without reading them all; None when it is empty."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield None
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data


def _files(trees: Sequence[str]) -> Iterator[bytes]:
    """Regular files below directories, or the tree itself when it is a file; links are not followed."""
    stack = [os.fsencode(tree) for tree in reversed(trees)]
    while stack:
        path = stack.pop()
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            stack += sorted((entry.path for entry in os.scandir(path)), reverse=True)
        elif stat.S_ISREG(mode):
            yield path
