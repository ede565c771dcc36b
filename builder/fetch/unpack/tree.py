"""The directory that an archive is unpacked into, with the rules on paths, links, limits and modes for all formats.

The directory is empty at first and no other process writes to it, so its content is known from memory: a path is
created only below directories that are in `_kinds` as directories, and is never opened through a link.
"""

import errno
import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from msgspec import Struct

from builder.base.errors import ArchiveError
from builder.fetch.unpack import links

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TARGET = 4095  # bytes of a link's target that Linux takes (PATH_MAX less the final NUL)
_COPY = 1 << 20
_NAMES_AN_ENTRY = 256  # bytes of names and targets for each entry allowed: they are held in memory
_REFUSED = "an honest release has no such thing: compare the file with what upstream published"
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of a tree: `unpacked` bytes of regular files, `entries` files, directories and links."""

    unpacked: int = 4 << 30
    entries: int = 250_000


class Totals(Struct, frozen=True):
    """The sums of a tree: bytes of regular files; files, directories (without the top) and links."""

    unpacked: int
    entries: int


class TruncatedError(ArchiveError):
    """The archive ends before its content does."""

    reason = "truncated"


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The work was cancelled."""


class Tree:
    """Writes the entries of an archive below `into`. Use it as a context manager: leaving it checks the links.

    name: the archive's, for messages. strip: leading directories to take off. root: the tree is the root of a file
    system. `reserve` and `folder` are for one thread; `write` may be called by several.
    """

    def __init__(
        self, into: str, *, name: str, strip: int, limits: Limits, root: bool, cancel: threading.Event | None = None
    ) -> None:
        self._into = os.fsencode(into) + b"/"
        self._name = name
        self._strip = strip
        self.limits = limits
        self._root = root
        self._cancel = cancel or threading.Event()
        self._kinds: dict[bytes, str] = {}
        self._links: dict[bytes, bytes] = {}
        self._top: list[bytes] | None = None
        self._unpacked = 0
        self._names = limits.entries * _NAMES_AN_ENTRY + _COPY
        self._lock = threading.Lock()

    @property
    def totals(self) -> Totals:
        return Totals(self._unpacked, len(self._kinds))

    def refuse(self, message: str, hint: str = _REFUSED) -> ArchiveError:
        """The error for an entry or a size that the archive must not have."""
        return ArchiveError(message, where=self._name, hint=hint)

    def too_many(self) -> ArchiveError:
        message = f"it has more than {self.limits.entries} entries"
        return self.refuse(message, "raise 'entries' of the source if that is right")

    def truncated(self) -> ArchiveError:
        return TruncatedError("the archive ends early: it is truncated", where=self._name, hint="fetch it again")

    def damaged(self, error: object) -> ArchiveError:
        return ArchiveError(f"the archive is damaged: {error}", where=self._name, hint="fetch it again")

    def folder(self, name: bytes) -> None:
        path = self._path(name, folder=True)
        if path and self._kinds.get(path) != "folder":
            self._claim(path, "folder")
            os.mkdir(self._into + path)

    def file(self, name: bytes, *, executable: bool, chunks: Iterable[bytes]) -> None:
        self.write(self.reserve(name), executable=executable, chunks=chunks)

    def reserve(self, name: bytes) -> bytes:
        """Take the place of a file; `write` gets the returned path."""
        path = self._path(name)
        self._claim(path, "file")
        return path

    def write(self, path: bytes, *, executable: bool, chunks: Iterable[bytes]) -> None:
        """Write a reserved file, counting its bytes."""
        handle = os.open(self._into + path, _NEW, 0o755 if executable else 0o644)
        try:
            if executable:
                os.fchmod(handle, 0o755)  # whatever the umask is
            for chunk in chunks:
                self._count(len(chunk))
                _write_all(handle, chunk)
        finally:
            os.close(handle)

    def link(self, name: bytes, target: bytes) -> None:
        path = self._path(name)
        if not target or b"\0" in target or len(target) > _TARGET:
            raise self.refuse(f"the symbolic link {shown(path)} has no usable target")
        self._claim(path, "link", len(target))
        self._links[path] = target
        os.symlink(target, self._into + path)

    def copy(self, name: bytes, of: bytes) -> None:
        """A hard link to the file `of`, named as in the archive."""
        source = self._path(of)
        if self._kinds.get(source) != "file":
            raise self.refuse(f"the hard link {shown(name)} leads to {shown(of)}, which is no file before it")
        with open(self._into + source, "rb", buffering=0) as file:
            executable = bool(os.fstat(file.fileno()).st_mode & 0o100)
            self.file(name, executable=executable, chunks=iter(lambda: file.read(_COPY), b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in _BAD_NAME:
            raise self.refuse(f"it has a name that this file system does not take: {error.strerror}") from error
        if error is None:
            self._finish()

    def _path(self, name: bytes, *, folder: bool = False) -> bytes:
        """Where an entry goes, b"" for the top itself (directories only)."""
        if name.startswith(b"/"):
            raise self.refuse(f"{shown(name)} is an absolute path")
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise self.refuse(f"{shown(name)} leads out of the tree")
        if b"\0" in name:
            raise self.refuse(f"{shown(name)} has a NUL byte")
        if self._strip:
            parts = self._stripped(name, parts, folder)
        if not parts and not folder:
            raise self.refuse(f"{shown(name)} is not a path of a file")
        return b"/".join(parts)

    def _stripped(self, name: bytes, parts: list[bytes], folder: bool) -> list[bytes]:
        top, rest = parts[: self._strip], parts[self._strip :]
        if not rest and not folder:
            raise self.refuse(f"{shown(name)} lies outside the top directory", "set 'strip' of the source to less")
        if self._top is None or (len(self._top) < len(top) and top[: len(self._top)] == self._top):
            self._top = top
        elif top != self._top[: len(top)]:
            message = f"there is more than one top directory: {shown(b'/'.join(self._top))} and {shown(b'/'.join(top))}"
            raise self.refuse(message, "set 'strip' of the source to less")
        return rest

    def _claim(self, path: bytes, kind: str, more: int = 0) -> None:
        """Give a new path its kind, and make the directories above it. more: bytes that are kept besides the path."""
        if path in self._kinds:
            raise self.refuse(f"{shown(path)} is there twice, as a {self._kinds[path]} and as a {kind}")
        above = path.rpartition(b"/")[0]
        if above and self._kinds.get(above) != "folder":
            self._make_above(path)
        self._kinds[path] = kind
        if len(self._kinds) > self.limits.entries:
            raise self.too_many()
        self._names -= len(path) + more
        if self._names < 0:
            raise self.refuse("its names are too long for so many entries")
        if self._cancel.is_set():
            raise Cancelled

    def _make_above(self, path: bytes) -> None:
        """Make the directories above a path that the archive has not named."""
        parts = path.split(b"/")
        for end in range(1, len(parts)):
            above = b"/".join(parts[:end])
            kind = self._kinds.get(above)
            if kind is None:
                self._claim(above, "folder")
                os.mkdir(self._into + above)
            elif kind != "folder":
                raise self.refuse(f"{shown(path)} lies below a {kind}")

    def _count(self, count: int) -> None:
        with self._lock:
            self._unpacked += count
        if self._unpacked > self.limits.unpacked:
            message = f"it unpacks to more than {self.limits.unpacked} bytes"
            raise self.refuse(message, "raise 'unpacked' of the source if that is right")
        if self._cancel.is_set():
            raise Cancelled

    def _finish(self) -> None:
        try:
            leaving = links.leaving(self._links, root=self._root)
        except links.TangledError:
            raise self.refuse("its symbolic links are tangled") from None
        if leaving:
            path = min(leaving)
            raise self.refuse(f"the symbolic link {shown(path)} to {shown(self._links[path])} leads out of the tree")


def shown(name: bytes) -> str:
    """A hostile path in quotes, safe to print."""
    return repr(name[:200].decode("utf-8", "backslashreplace"))


def _write_all(handle: int, data: bytes) -> None:
    written = os.write(handle, data)
    while written < len(data):
        written += os.write(handle, data[written:])
