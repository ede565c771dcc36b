"""Differences of two trees that should be one, for people: which files, where in them, and what stands there."""

import os
from collections.abc import Iterator

from builder.tree import nar

_SHOWN = 24  # bytes around the first difference of two files


def of_trees(first: str, second: str, *, limit: int = 10) -> list[str]:
    """Lines about the first `limit` things that differ, each file with its first differing bytes."""
    lines = nar.compare(first, second, limit)
    more = [line for path in _both(first, second) for line in _of_files(path, first, second)]
    return lines + more[: 3 * limit]


def _both(first: str, second: str) -> Iterator[str]:
    """Paths of files that both trees have, sorted."""
    for entry in nar.scan(first):
        other = os.path.join(second, entry.path)
        if entry.kind == "file" and os.path.isfile(other) and not os.path.islink(other):
            yield entry.path


def _of_files(path: str, first: str, second: str) -> Iterator[str]:
    with open(os.path.join(first, path), "rb") as one, open(os.path.join(second, path), "rb") as other:
        left, right = one.read(), other.read()
    if left == right:
        return
    offset = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start = max(0, offset - _SHOWN // 3)
    section = _section(left, offset)
    yield f"{path}: {len(left)} and {len(right)} bytes, first difference at byte {offset}{section}"
    yield f"  first   {_shown(left[start : start + _SHOWN])}"
    yield f"  second  {_shown(right[start : start + _SHOWN])}"


def _shown(data: bytes) -> str:
    text = "".join(chr(each) if 32 <= each < 127 else "." for each in data)
    return f"{data.hex(' ')}  |{text}|"


def _section(data: bytes, offset: int) -> str:
    """The ELF section that holds an offset, as words to append; nothing for other files."""
    if not data.startswith(b"\x7fELF"):
        return ""
    import io  # noqa: PLC0415 - only a difference needs these

    from elftools.common.exceptions import ELFError  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        for section in ELFFile(io.BytesIO(data)).iter_sections():
            if section["sh_type"] != "SHT_NOBITS" and section["sh_offset"] <= offset < section["sh_offset"] + section["sh_size"]:
                return f", in section {section.name}"
    except ELFError:
        return ", in a damaged ELF file"
    return ", in the ELF headers"
