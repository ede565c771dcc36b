"""Tar archives (POSIX.1-2001 pax, ustar, GNU): `tarfile` reads the headers, this module the data.

`tarfile` holds a whole extended header in memory, takes a broken header for the end of the archive, and would seek
where headers tell it to. So it reads through `_Headers`, which goes forward only and gives out a bounded amount.
"""

import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from builder.unpack.streams import FAILURES, Stream, decompressed
from builder.unpack.tree import Tree, shown

_BLOCK = 512
_CHUNK = 1 << 20
_HEADER = 1 << 18  # bytes of one extended header: it holds a path, a link and attributes
_HEADERS_AN_ENTRY = 4096  # bytes of all headers for each entry allowed
_PADDING = 16 << 20  # bytes after the end mark; tar pads to its blocking factor, 10 KiB by default


def read(file: IO[bytes], tree: Tree) -> None:
    """Unpack a tar, compressed or not, into `tree`."""
    read_stream(decompressed(file), tree)


def read_stream(stream: Stream, tree: Tree) -> None:
    source = _Headers(stream, tree)
    try:
        archive = tarfile.TarFile(
            fileobj=cast(IO[bytes], source), mode="r", encoding="utf-8", errors="surrogateescape", errorlevel=2
        )
        while (member := archive.next()) is not None:
            cast(Any, archive).members.clear()  # or it keeps them all
            _take(member, source, tree)
    except (tarfile.TarError, RecursionError, ValueError, OverflowError) as error:
        if source.ended:
            raise tree.truncated() from error
        raise tree.damaged(error) from error
    source.finish()


def _take(member: tarfile.TarInfo, source: "_Headers", tree: Tree) -> None:
    name = _raw(member.name)
    if member.isdir():
        tree.folder(name)
    elif member.sparse is not None:
        raise tree.refuse(f"{shown(name)} is a sparse file", "pack it without --sparse")
    elif member.isreg():
        tree.file(name, executable=bool(member.mode & 0o100), chunks=source.data(member.size))
    elif member.issym():
        tree.link(name, _raw(member.linkname))
    elif member.islnk():
        tree.copy(name, _raw(member.linkname))
    else:
        kinds = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}
        raise tree.refuse(f"{shown(name)} is {kinds.get(member.type, 'of unknown kind ' + shown(member.type))}")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _Headers:
    """The file that `tarfile` sees: blocks one after another. `data` takes a member's content past it."""

    def __init__(self, stream: Stream, tree: Tree) -> None:
        self._stream = stream
        self._tree = tree
        self._position = 0
        self._left = tree.limits.entries * _HEADERS_AN_ENTRY + _CHUNK
        self._last = b""  # what tarfile read last
        self.ended = False

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise self._tree.refuse(f"it has a header of {size} bytes")
        self._left -= size
        if self._left < 0:
            raise self._tree.refuse("it has too many headers")
        self._last = self._exactly(size)
        return self._last

    def seek(self, position: int) -> None:
        """Only `tarfile` calls this, to come to the next header, where `data` left off."""
        if not 0 <= position - self._position <= _HEADER:
            raise self._tree.refuse("its headers do not follow one another")
        self.read(position - self._position)

    def data(self, size: int) -> Iterator[bytes]:
        """The content of the member whose header was read last, and the padding after it."""
        left = size
        while left:
            chunk = self._some(min(left, _CHUNK))
            if not chunk:
                raise self._tree.truncated()
            left -= len(chunk)
            yield chunk
        if len(self._exactly(-size % _BLOCK)) != -size % _BLOCK:
            raise self._tree.truncated()

    def finish(self) -> None:
        """Check that the archive ended with its mark, a block of zeros, and the stream as its own check sums say."""
        if len(self._last) < _BLOCK:
            raise self._tree.truncated()
        if self._last.strip(b"\0"):
            raise self._tree.damaged("a header is wrong")
        end = self._position + _PADDING
        while self._some(_CHUNK):
            if self._position > end:
                raise self._tree.refuse(f"more than {_PADDING} bytes follow its end")

    def _exactly(self, size: int) -> bytes:
        """`size` bytes, fewer at the end of the stream."""
        data = self._some(size) if size else b""
        while data and len(data) < size and (more := self._some(size - len(data))):
            data += more
        return data

    def _some(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except EOFError:
            raise self._tree.truncated() from None
        except FAILURES as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise self._tree.damaged(error) from error
        self._position += len(data)
        self.ended = not data
        return data
