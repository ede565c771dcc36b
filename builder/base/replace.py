"""Putting a finished directory in the place of an old one, so that an interrupt leaves one of the two, whole.

    out/                     locked (flock) while a directory of it is replaced; other commands wait
      openresty/             the directory that users see
      .openresty.new/        being written; the next process removes the one of a killed process
      .openresty.old/        only where the kernel cannot exchange directories

Linux exchanges two directories in one step (renameat2(2), RENAME_EXCHANGE), so there is no moment without an image.
Where the file system or the C library cannot, the old directory is renamed to `.old` first: between the two renames the
name is absent, and the next process puts the old directory back before anything else.

Only the builder's own directories are replaced: one with a file of another name than the builder writes there belongs
to the user, and so does a link. An empty directory counts as free.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from builder.base import within
from builder.base.errors import MachineError, RefusedError

_AT_FDCWD = -100  # paths are taken from the working directory (fcntl.h)
_RENAME_EXCHANGE = 2  # linux/fs.h
_DEEPEST = 8  # of directories within each other: the builder writes fewer, and what removes them has no deep stack
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@contextmanager
def replacing(target: str, ours: re.Pattern[str]) -> Iterator[str]:
    """A fresh directory beside `target` that takes its place when the block ends well, and goes when it does not.

    ours: pattern of the paths of files in such a directory, from the directory on; one with any other file stays.

    Raises:
        RefusedError: the builder did not write what is there.
        MachineError: the directory above cannot be written to.
    """
    place = os.path.abspath(target)
    above = os.path.dirname(place)
    try:
        os.makedirs(above, exist_ok=True)
        lock = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for each in (place, _beside(place, "new"), _beside(place, "old")):
            _require_ours(each, ours)
        _recover(place)
        with _fresh(place) as fresh:
            yield fresh
            _require_ours(place, ours)
            _put(fresh, place)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _unwritable(place, error) from error
    finally:
        os.close(lock)  # lets go of the lock


def _require_ours(place: str, ours: re.Pattern[str]) -> None:
    found = stranger(place, ours)
    if found is not None:
        text = f"it holds {found}, which the builder did not write" if found else "the builder did not write it"
        raise RefusedError(
            f"{text}, so it is not replaced", where=place, hint="move it to another place, then run the command again"
        )


def stranger(place: str, ours: re.Pattern[str]) -> str | None:
    """The path below `place` of the first file that is not ours, "" where `place` itself is no directory; None for
    neither."""
    if not os.path.lexists(place):
        return None
    if not stat.S_ISDIR(os.lstat(place).st_mode):
        return ""
    todo = [place]
    while todo:
        folder = todo.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                path = os.path.relpath(entry.path, place)
                if entry.is_dir(follow_symlinks=False) and path.count("/") < _DEEPEST:
                    todo.append(entry.path)
                elif not entry.is_file(follow_symlinks=False) or not ours.fullmatch(path):
                    return path
    return None


@contextmanager
def _fresh(place: str) -> Iterator[str]:
    fresh = _beside(place, "new")
    try:
        os.mkdir(fresh, 0o755)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        yield fresh
    finally:
        within.remove(fresh)  # after an exchange this is the old one


def _recover(place: str) -> None:
    """Clean up after a killed process. The lock is held, so no other process is at work on any of it."""
    old = _beside(place, "old")
    if os.path.lexists(old) and not os.path.lexists(place):
        os.rename(old, place)
    for leftover in (old, _beside(place, "new")):
        within.remove(leftover)


def _put(fresh: str, place: str) -> None:
    if not os.path.lexists(place):
        os.rename(fresh, place)
    elif not exchange(fresh, place):
        old = _beside(place, "old")
        os.rename(place, old)
        os.rename(fresh, place)
        within.remove(old)


def _beside(place: str, kind: str) -> str:
    """A hidden name in the same directory: "out/.openresty.new"."""
    return os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.{kind}")


def exchange(one: str, two: str) -> bool:
    """Let two paths swap names in one step; whether this system can."""
    import ctypes  # noqa: PLC0415 - takes as long to import as all that is done here

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    return bool(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(two), ctypes.c_uint(_RENAME_EXCHANGE)) == 0)


def _unwritable(place: str, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write to {os.path.dirname(place)}: {error.strerror}",
        where=place,
        hint="free space or permissions there, or write elsewhere with --out",
    )
