"""A file in quarantine: bytes from elsewhere that are not verified yet.

It is written from its beginning to its end and hashed on the way. It stays when the run is interrupted, and the next
run resumes it.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

from msgspec import Struct

from builder.base.digest import CHUNK
from builder.fetch.unpack import Cancelled


class TooLarge(Exception):  # noqa: N818 - becomes a MismatchError that describes the file
    """The file is longer than it may be. `size` is the announced size, or 0."""

    def __init__(self, size: int = 0) -> None:
        super().__init__(size)
        self.size = size


class File(Struct, frozen=True):
    """A downloaded file with its digest and size."""

    path: str
    sha256: str
    size: int


class Part:
    """One such file, open. limit: bytes it may hold. progress: called with bytes added (or removed, below 0).

    size: bytes so far. resumed: some of them come from an earlier run, perhaps from another place.
    """

    def __init__(self, path: str, *, limit: int, cancel: threading.Event, progress: Callable[[int], object]) -> None:
        self.path = path
        self.limit = limit
        self.size = 0
        self.resumed = False
        self._cancel = cancel
        self._progress = progress
        self._announced = 0
        self._hasher = hashlib.sha256()
        self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115 - this object is the context manager
        self._read_back()

    @property
    def file(self) -> File:
        """The file as far as it has been written."""
        return File(self.path, self._hasher.hexdigest(), self.size)

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge: they go beyond the limit; those within it were added.
            Cancelled: the run was cancelled.
        """
        if self._cancel.is_set():
            raise Cancelled
        fitting = memoryview(chunk)[: self.limit - self.size]
        self._hasher.update(fitting)
        written = 0
        while written < len(fitting):
            written += self._file.write(fitting[written:])
        self.size += written
        if self.size > self._announced:
            self._progress(self.size - max(self._announced, self.size - written))
        if written < len(chunk):
            raise TooLarge

    def announce(self, size: int) -> None:
        """Show the progress of another program, which has so many bytes of the file that will be written here."""
        if size > max(self.size, self._announced):
            self._progress(size - max(self.size, self._announced))
            self._announced = size

    def restart(self) -> None:
        """Forget all bytes."""
        self._progress(-max(self.size, self._announced))
        self._announced = 0
        self._file.truncate(0)
        self._hasher = hashlib.sha256()
        self.size = 0
        self.resumed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._progress(min(self.size - self._announced, 0))  # announced, and not written
        self._file.close()

    def _read_back(self) -> None:
        """Take over the bytes that an earlier run left."""
        if os.fstat(self._file.fileno()).st_size > self.limit:
            self._file.truncate(0)
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._hasher.update(chunk)
            self.size += len(chunk)
        self.resumed = self.size > 0
        self._progress(self.size)
