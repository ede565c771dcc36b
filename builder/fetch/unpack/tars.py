"""Tar archives (POSIX.1-2001 pax, ustar, GNU). `tarfile` decodes single header blocks, this module reads the archive.

`tarfile`'s own walk trusts the headers: it reads a negative size as "the rest of the file", holds extended headers in
memory whole, recurses into them, keeps them for all later entries, and parses their records in quadratic time. Here the
stream is read forward only, in bounded pieces, and every extended header counts towards a budget.
"""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple, TypeVar

from builder.fetch.unpack.streams import FAILURES, decompressed
from builder.fetch.unpack.tree import Tree, shown

_A = TypeVar("_A")
_B = TypeVar("_B")

_BLOCK = 512
_END = bytes(_BLOCK)
_CHUNK = 1 << 20
_HEADER = 1 << 18  # bytes of one extended header: it holds a path, a link and attributes
_HEADERS_AN_ENTRY = 4096  # bytes of all headers for each entry allowed
_RECORD = 64  # bytes that a record of an extended header counts besides its own: reading it takes time
_EXTENDED = 16  # extended headers of one entry; pax and GNU tar write at most three
_PADDING = 16 << 20  # bytes after the end mark; tar pads to its blocking factor, 10 KiB by default

_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: b"path", tarfile.GNUTYPE_LONGLINK: b"linkpath"}
_USED = (b"path", b"linkpath", b"size")  # records that change what is unpacked; others are times, owners, attributes
_KEPT = (b"uid", b"gid", b"SCHILY.xattr.")  # beginnings of records that a layer of an image is read for
_KINDS = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}


def read(file: IO[bytes], tree: Tree) -> None:
    """Unpack a tar, compressed or not, into `tree`.

    Raises:
        ArchiveError: it is hostile, damaged, truncated, or over a limit of the tree.
    """
    for member in members(file, tree):
        _take(member, tree)


class Member(NamedTuple):
    """An entry: its header block with the right size, and by its extended headers: name, link target, all records.

    content: to be read before the next entry.
    """

    info: tarfile.TarInfo
    name: bytes
    target: bytes
    records: Mapping[bytes, bytes]
    content: Iterator[bytes]


def members(file: IO[bytes], tree: Tree) -> Iterator[Member]:
    """The entries of a tar, compressed or not. `tree` has the limits and makes the errors; nothing is written to it.

    Raises: as `read`, but for the rules on paths and links.
    """
    source = _Blocks(file, tree)
    while (member := _member(source, tree)) is not None:
        yield member
    source.finish()


def _member(source: "_Blocks", tree: Tree) -> Member | None:
    """The next entry; None at the end. Of several extended headers the first one counts."""
    told: dict[bytes, bytes] = {}
    for _ in range(_EXTENDED):
        info = source.header()
        if info is None:
            if told:
                raise tree.damaged("its last header belongs to no entry")
            return None
        if info.size < 0:
            raise tree.refuse(f"{shown(_raw(info.name))} has a negative size")
        if info.type in _LONG:
            told.setdefault(_LONG[info.type], source.content(info.size).partition(b"\0")[0])
        elif info.type in _PAX:
            records = dict(_records(source.content(info.size), source, tree))
            if info.type != tarfile.XGLTYPE:
                told = {**records, **told}
            elif any(key in _USED for key in records):
                raise tree.refuse("a global header renames or resizes all entries")
        else:
            return _applied(info, told, source, tree)
    raise tree.refuse(f"an entry has more than {_EXTENDED} extended headers")


def _applied(info: tarfile.TarInfo, told: dict[bytes, bytes], source: "_Blocks", tree: Tree) -> Member:
    """An entry as its extended headers have it."""
    name, target = told.get(b"path", _raw(info.name)), told.get(b"linkpath", _raw(info.linkname))
    if info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith(b"GNU.sparse.") for key in told):
        raise tree.refuse(f"{shown(name)} is a sparse file", "pack it without --sparse")
    if (size := told.get(b"size")) is not None:
        if not (size.isdigit() and len(size) < 20):
            raise tree.refuse(f"{shown(name)} has a size that is no number: {shown(size)}")
        info.size = int(size)
    return Member(info, name, target, told, source.data(info.size))


def _records(data: bytes, source: "_Blocks", tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """The records "LENGTH KEY=VALUE\\n" of a pax header that matter (POSIX.1-2001, pax, "Extended Header")."""
    at = 0
    while at < len(data):
        length, _, _ = data[at : at + 20].partition(b" ")
        end = at + int(length) if length.isdigit() else 0
        if not at < end <= len(data) or data[end - 1 : end] != b"\n":
            raise tree.damaged("a record of an extended header is wrong")
        key, _, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        source.spend(_RECORD)
        if key in _USED or key.startswith((b"GNU.sparse.", *_KEPT)):
            yield key, value
        at = end


def _take(member: Member, tree: Tree) -> None:
    info, name = member.info, member.name
    if info.isdir():
        tree.folder(name)
    elif info.isreg():
        tree.file(name, executable=bool(info.mode & 0o100), chunks=member.content)
    elif info.issym():
        tree.link(name, member.target)
    elif info.islnk():
        tree.copy(name, member.target)
    else:
        raise tree.refuse(f"{shown(name)} is {_KINDS.get(info.type, 'of unknown kind ' + shown(info.type))}")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _Blocks:
    """A tar as headers and content, one after another."""

    def __init__(self, file: IO[bytes], tree: Tree) -> None:
        self._tree = tree
        self._left = tree.limits.entries * _HEADERS_AN_ENTRY + _CHUNK
        self._stream = self._try(decompressed, file)

    def header(self) -> tarfile.TarInfo | None:
        """The next header block; None when it is the end mark, a block of zeros."""
        self.spend(_BLOCK)
        block = self._exactly(_BLOCK)
        if block == _END:
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._tree.damaged("a header is wrong") from error

    def content(self, size: int) -> bytes:
        """The content of an extended header."""
        if size > _HEADER:
            raise self._tree.refuse(f"it has a header of {size} bytes")
        self.spend(size)
        return self._exactly(size + -size % _BLOCK)[:size]

    def spend(self, size: int) -> None:
        """Count the cost of a header towards the budget of all headers."""
        self._left -= size
        if self._left < 0:
            raise self._tree.refuse("it has too many headers")

    def data(self, size: int) -> Iterator[bytes]:
        """The content of the member whose header was read last, and the padding after it."""
        left = size
        while left > 0:
            chunk = self._some(min(left, _CHUNK))
            if not chunk:
                raise self._tree.truncated()
            left -= len(chunk)
            yield chunk
        self._exactly(-size % _BLOCK)

    def finish(self) -> None:
        """Read to the end of the stream, so that it compares its own check sums."""
        read = 0
        while data := self._some(_CHUNK):
            read += len(data)
            if read > _PADDING:
                raise self._tree.refuse(f"more than {_PADDING} bytes follow its end")

    def _exactly(self, size: int) -> bytes:
        data = self._some(size) if size else b""
        if len(data) == size:
            return data
        parts = bytearray(data)
        while len(parts) < size:
            more = self._some(size - len(parts))
            if not more:
                raise self._tree.truncated()
            parts += more
        return bytes(parts)

    def _some(self, size: int) -> bytes:
        return self._try(self._stream.read, size)

    def _try(self, call: Callable[[_A], _B], argument: _A) -> _B:
        try:
            return call(argument)
        except EOFError:
            raise self._tree.truncated() from None
        except FAILURES as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise self._tree.damaged(error) from error
