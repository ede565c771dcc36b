"""Writing a layer as a tar archive, the same bytes on every machine.

Source: POSIX.1-2017, `pax` utility, "ustar Interchange Format" and "pax Header Block"; the attribute records
`SCHILY.xattr.NAME` are star's, which GNU tar, bsdtar and Go's archive/tar (umoci, skopeo, containerd) read.

- Entries stand in the order given. Names end in "/" for directories and have no leading "./".
- Times are 0, user and group have numbers and no names, device numbers are 0.
- An extended header precedes an entry only when ustar cannot hold it: a name longer than its 100 + 155 bytes, one that
  is not ASCII, a link's target of more than 100 bytes, 8 GiB and more, ids beyond 2097151, or attributes.
- Two blocks of zeros end the archive, without padding to a record of 20 blocks.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator

from builder.base.errors import StoreError
from builder.image.oci.entry import DIR, FILE, LINK, Entry

BLOCK = 512
_HEADER = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 100s 8s 32s 32s 8s 8s 155s 12x")
_TYPES = {FILE: b"0", LINK: b"2", DIR: b"5"}
_PAX = b"x"
_PAX_NAME = b"PaxHeader"  # the name of the file to a reader that knows no extended headers
_MAGIC = b"ustar\x0000"
_SPACES = b" " * 8  # the checksum is made with its own field blank
_ZERO = b"0000000\0"
_ZERO_TIME = b"00000000000\0"
_NAME, _PREFIX, _TARGET = 100, 155, 100  # bytes
_MAX_SIZE = 0o77777777777
_MAX_ID = 0o7777777
_PIECE = 1 << 20
_END = bytes(2 * BLOCK)

Sink = Callable[[bytes], object]


def write(entries: Iterable[Entry], sink: Sink) -> None:
    """Give the archive of `entries` to `sink`, in pieces of any size.

    Raises:
        StoreError: a file is not as long as its entry says. OSError: a file cannot be read.
    """
    for entry in entries:
        head = _head(entry)
        sink(head)
        if entry.kind != FILE:
            continue
        if entry.data is not None:
            sink(entry.data)
        elif entry.size < _PIECE:
            sink(_whole(entry))
        else:
            for piece in _pieces(entry):
                sink(piece)
        sink(_padding(entry.size))
    sink(_END)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _head(entry: Entry) -> bytes:
    """The entry's header block, after an extended header when it needs one."""
    name = (entry.path + "/" if entry.kind == DIR else entry.path).encode()
    target = entry.target.encode()
    prefix, short = _split(name)
    records = list(_records(entry, name, target, split=bool(short)))
    head = _block(
        short or _ascii(name)[:_NAME],
        prefix,
        target=_ascii(target)[:_TARGET],
        kind=_TYPES[entry.kind],
        mode=entry.mode,
        uid=entry.uid if entry.uid <= _MAX_ID else 0,
        gid=entry.gid if entry.gid <= _MAX_ID else 0,
        size=entry.size if entry.size <= _MAX_SIZE else 0,
    )
    if not records:
        return head
    body = b"".join(records)
    return _block(_PAX_NAME, kind=_PAX, mode=0o644, size=len(body)) + body + _padding(len(body)) + head


def _records(entry: Entry, name: bytes, target: bytes, *, split: bool) -> Iterator[bytes]:
    """The properties of an entry that ustar cannot hold, in order of keyword."""
    for xattr, value in entry.xattrs:
        yield _record(f"SCHILY.xattr.{xattr}", value)
    if entry.gid > _MAX_ID:
        yield _record("gid", b"%d" % entry.gid)
    if len(target) > _TARGET or not target.isascii():
        yield _record("linkpath", target)
    if not split or not name.isascii():
        yield _record("path", name)
    if entry.size > _MAX_SIZE:
        yield _record("size", b"%d" % entry.size)
    if entry.uid > _MAX_ID:
        yield _record("uid", b"%d" % entry.uid)


def _record(keyword: str, value: bytes) -> bytes:
    """`LENGTH KEYWORD=VALUE\\n`, where LENGTH counts its own digits."""
    rest = b" %s=%s\n" % (keyword.encode(), value)
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) fields of a name, parted at a slash when it is long; (b"", b"") when they cannot hold it."""
    if not name.isascii():
        return b"", b""
    if len(name) <= _NAME:
        return b"", name
    cut = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    return (name[:cut], name[cut + 1 :]) if cut > 0 and len(name) - cut - 1 <= _NAME else (b"", b"")


def _ascii(text: bytes) -> bytes:
    """`text` for a field whose true value stands in the extended header."""
    return text if text.isascii() else bytes(each if each < 128 else 95 for each in text)


def _block(
    name: bytes,
    prefix: bytes = b"",
    *,
    kind: bytes,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    target: bytes = b"",
) -> bytes:
    block = _HEADER.pack(
        name, b"%07o\0" % mode, b"%07o\0" % uid, b"%07o\0" % gid, b"%011o\0" % size, _ZERO_TIME, _SPACES, kind,
        target, _MAGIC, b"", b"", _ZERO, _ZERO, prefix,
    )  # fmt: skip
    return b"%s%06o\0 %s" % (block[:148], sum(block), block[156:])


def _whole(entry: Entry) -> bytes:
    file = os.open(entry.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        data = os.read(file, entry.size + 1)
    finally:
        os.close(file)
    if len(data) != entry.size:
        raise _changed(entry, len(data))
    return data


def _pieces(entry: Entry) -> Iterator[bytes]:
    left = entry.size
    file = os.open(entry.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while piece := os.read(file, _PIECE):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    finally:
        os.close(file)
    if left:
        raise _changed(entry, entry.size - left)


def _changed(entry: Entry, found: int) -> StoreError:
    size = f"more than {entry.size}" if found > entry.size else str(found)
    return StoreError(
        f"the file has {size} bytes, not {entry.size}: it was changed after the layer was composed",
        where=entry.source,
        hint="run `builder store verify`, then build again",
    )
