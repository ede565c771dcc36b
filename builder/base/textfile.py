"""Reading the files of a project (recipes, images, profiles, the lock, tests, out/), and settings; writing new ones.

A checkout comes from others: where a file is expected there may be a pipe, which never ends, or a link to a device,
which fills the memory; and where one is to be written, a link to a file of the user.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

LARGEST = 1 << 26  # bytes; the lock of 5,000 packages has a tenth of it


def read(path: str, *, largest: int = LARGEST) -> bytes:
    """The content of a regular file, links followed.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than `largest` bytes; `strerror` says which.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # opening a pipe must not wait
    with open(file, "rb", buffering=0) as opened:
        status = os.fstat(file)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        if status.st_size > largest:
            raise OSError(errno.EFBIG, f"it has more than {largest} bytes", path)
        return opened.read(status.st_size) or b""


def new(path: str) -> TextIO:
    """A new file, open to be written, in place of any at `path`: a link there is replaced, and never followed.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    return open(path, "x", encoding="utf-8", newline="\n")


@contextmanager
def replaced(path: str, scratch: str = "", *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file, open to be written, that takes the place of `path` in one step when the block ends well.

    After an error it is gone, and `path` is as it was. A link at `path` is replaced, too, and never followed.
    scratch: a directory on the same file system, where the file lies meanwhile; the default is beside `path`.
    durable: the bytes are on the disk before the file gets its name.

    Raises:
        OSError: it cannot be written.
    """
    scratch = scratch or f"{path}.{os.getpid()}.tmp"
    with suppress(FileNotFoundError):
        os.unlink(scratch)
    try:
        with open(scratch, "xb", opener=_private) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o644)  # not for others to write, whatever the umask
