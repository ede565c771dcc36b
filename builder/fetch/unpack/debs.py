"""Debian binary packages (deb(5)): an ar archive whose member `data.tar.*` holds the files. `arpy` reads the ar.

`arpy` trusts sizes: a negative one would make it go round in circles, a large one would be read into memory. For a
"thin" archive it opens other files of the machine. All of that is refused here.
"""

from typing import IO, cast

import arpy

from builder.fetch.unpack import tars
from builder.fetch.unpack.tree import Tree

_MAGIC = b"!<arch>\n"
_MEMBERS = 16  # debian-binary, control.tar, data.tar, and signatures
_NAME = 4096  # bytes that arpy may read at once while it looks for headers


def read(file: IO[bytes], tree: Tree) -> None:
    """Unpack the data of a Debian package into `tree`."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise tree.damaged("it is no Debian package")
    file.seek(0)
    guarded = _Guarded(file, tree)
    try:
        member = _data(arpy.Archive(fileobj=cast(IO[bytes], guarded)), tree)
    except (arpy.ArchiveFormatError, ValueError) as error:
        if "too short" in str(error):
            raise tree.truncated() from error
        raise tree.damaged(error) from error
    guarded.limit = None
    tars.read(cast(IO[bytes], _Member(member)), tree)


def _data(archive: arpy.Archive, tree: Tree) -> arpy.ArchiveFileData:
    """The member that holds the files."""
    for _ in range(_MEMBERS):
        header = archive.read_next_header()
        if header is None:
            break
        if header.size < 0:
            raise tree.damaged("a member has a negative size")
        if header.name is not None and bytes(header.name).startswith(b"data.tar"):
            return archive.archived_files[header.name]
    raise tree.damaged("it has no data.tar")


class _Member:
    """A member as a file; reading it raises EOFError where it ends early, as decoders do."""

    def __init__(self, data: arpy.ArchiveFileData) -> None:
        self._data = data
        self.seek = data.seek
        self.tell = data.tell

    def read(self, size: int) -> bytes:
        try:
            return cast(bytes, self._data.read(size))
        except arpy.ArchiveAccessError:
            raise EOFError from None


class _Guarded:
    """The file as `arpy` reads it; `limit` bounds one read."""

    def __init__(self, file: IO[bytes], tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self.limit: int | None = _NAME
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int) -> bytes:
        if self.limit is not None and not 0 <= size <= self.limit:
            raise self._tree.damaged(f"it has a header of {size} bytes")
        return self._file.read(size)
