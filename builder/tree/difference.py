"""Differences of two trees that should be one, for people: the files, the places in them, and the bytes there."""

import os
from collections.abc import Iterator

from builder.base.digest import CHUNK
from builder.tree import nar

_KINDS = {"file": "file", "dir": "directory", "link": "link"}
_SHOWN = 24  # bytes around the first difference of two files


def of_trees(first: str, second: str, *, limit: int = 10) -> list[str]:
    """The first `limit` differences in lines, files with their first differing bytes. Raises as `nar.scan`."""
    lines = compare(first, second, limit)
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
            start, size = section["sh_offset"], section["sh_size"]
            if section["sh_type"] != "SHT_NOBITS" and start <= offset < start + size:
                return f", in section {section.name}"
    except ELFError:
        return ", in a damaged ELF file"
    return ", in the ELF headers"


def compare(expected: str, found: str, limit: int = 20) -> list[str]:
    """How the tree `found` differs from the tree `expected`: at most `limit` lines, then one that counts the rest.

    Raises as `nar.scan` does.
    """
    lines: list[str] = []
    rest = 0
    for line in _lines(expected, found):
        if len(lines) < limit:
            lines.append(line)
        else:
            rest += 1
    return [*lines, f"... and {rest} more"] if rest else lines


def _lines(expected: str, found: str) -> Iterator[str]:
    old = {entry.path: entry for entry in nar.scan(expected)}
    new = {entry.path: entry for entry in nar.scan(found)}
    told: set[str] = set()  # what differs as a whole, and all below it
    for path in sorted(old.keys() | new.keys(), key=os.fsencode):
        if path.rpartition("/")[0] in told:
            told.add(path)
        elif path not in new:
            told.add(path)
            yield f"missing: {_named(old[path], old)}"
        elif path not in old:
            told.add(path)
            yield f"added: {_named(new[path], new)}"
        elif old[path].kind != new[path].kind:
            told.add(path)
            yield f"kind: {_title(path)} was a {_KINDS[old[path].kind]}, is a {_KINDS[new[path].kind]}"
        else:
            yield from _difference(old[path], new[path], os.path.join(expected, path), os.path.join(found, path))


def _title(path: str) -> str:
    return nar.shown(path) or "the tree itself"


def _named(entry: nar.Entry, side: dict[str, nar.Entry]) -> str:
    if entry.kind != "dir":
        return nar.shown(entry.path)
    below = sum(1 for path in side if path.startswith(entry.path + "/"))
    return f"{nar.shown(entry.path)}/ with {below} entries"


def _difference(old: nar.Entry, new: nar.Entry, old_path: str, new_path: str) -> Iterator[str]:
    name = _title(old.path)
    if old.target != new.target:
        yield f"link: {name} pointed to {nar.shown(old.target)}, points to {nar.shown(new.target)}"
    if old.executable != new.executable:
        yield f"mode: {name} " + ("is executable now" if new.executable else "is not executable any more")
    if old.kind == "file":
        place = _first_difference(old_path.rstrip("/"), new_path.rstrip("/"))
        if place is not None:
            sizes = f"{old.size} bytes" if old.size == new.size else f"{old.size} bytes before, {new.size} now"
            yield f"content: {name} differs from byte {place} on ({sizes})"


def _first_difference(old: str, new: str) -> int | None:
    """The offset of the first byte that differs, or None; the end of the shorter file counts as a difference."""
    place = 0
    with open(old, "rb", buffering=0) as left, open(new, "rb", buffering=0) as right:
        while True:
            one, two = left.read(CHUNK), right.read(CHUNK)
            if one != two:
                pairs = enumerate(zip(one, two, strict=False))
                return place + next((at for at, (a, b) in pairs if a != b), min(len(one), len(two)))
            if not one:
                return None
            place += len(one)
