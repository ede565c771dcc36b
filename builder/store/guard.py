"""Locks between processes: the guard of the whole store, and one lock a key. Both are flock(2).

The kernel drops a flock when its process ends, however it ends, so no lock is ever left behind; and two descriptors of
one process exclude each other, so the locks hold between threads too.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.base.errors import StoreError
from builder.store.trouble import trying

_FIRST = 0.001
_SLOWEST = 0.1
_PATIENCE = 0.3  # seconds before the user is told of the wait


def _lock(file: int, how: int) -> bool:
    """Take the lock if that needs no waiting."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(take: Callable[[], bool], say: Callable[[], object], until: Callable[[float], bool]) -> bool:
    """Call `take` at growing intervals until it gives True, and `say` once; False if `until(seconds)` comes first."""
    start = time.monotonic()
    pause = _FIRST
    told = False
    while not take():
        waited = time.monotonic() - start
        if until(waited):
            return False
        if waited > _PATIENCE and not told:
            told = True
            say()
        time.sleep(pause)
        pause = min(2 * pause, _SLOWEST)
    return True


def _forever(_seconds: float) -> bool:
    return False


class Guard:
    """Held shared as long as a store is open, and exclusively by its only user while it removes things."""

    def __init__(self, path: str, say: Callable[[str], object]) -> None:
        self._say = say
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def alone(self) -> bool:
        """Take the guard exclusively if it is free. Follow it with `share` in any case."""
        return _lock(self._file, fcntl.LOCK_EX)

    def share(self) -> None:
        """Hold the guard together with others from now on; waits for a process that has it alone."""
        message = f"waiting for another builder that cleans the store {os.path.dirname(os.path.dirname(self._path))}"
        _wait(lambda: _lock(self._file, fcntl.LOCK_SH), lambda: self._say(message), _forever)

    @contextmanager
    def exclusively(self, patience: float) -> Iterator[None]:
        """Hold the guard alone; waits `patience` seconds for all others to close the store.

        Not atomic: another exclusive holder can come first, so read the store only after the guard was taken.

        Raises:
            StoreError: others still have the store open.
        """
        message = "waiting for other builders that use the store to end"
        try:
            if not _wait(self.alone, lambda: self._say(message), lambda waited: waited >= patience):
                raise StoreError(
                    f"other builders still use the store after {patience:g} seconds",
                    where=os.path.dirname(os.path.dirname(self._path)),
                    hint="wait for them to end, then run the command again; nothing was removed",
                )
            yield
        finally:
            self.share()

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self.close()


def is_locked(path: str) -> bool:
    """Whether the lock file `path` is held. The test holds it shared for a moment, which does not disturb waiters."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


@contextmanager
def key_lock(path: str, say: Callable[[], object], cancelled: Callable[[], bool]) -> Iterator[None]:
    """One process and thread at a time holds the lock file `path`, which exists only as long as it is wanted.

    say: called once if the lock is taken.

    Raises:
        StoreError: `cancelled()` became true while waiting.
    """
    file = _key_lock(path, say, cancelled)
    try:
        yield
    finally:
        # Unlinked while it is held: a waiter sees that the file has no name any more, and opens the next.
        with trying("release a lock", path):
            try:
                os.unlink(path)
            finally:
                os.close(file)


def _key_lock(path: str, say: Callable[[], object], cancelled: Callable[[], bool]) -> int:
    while True:
        with trying("take a lock", path):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                taken = _wait(lambda: _lock(file, fcntl.LOCK_EX), say, lambda _waited: cancelled())  # noqa: B023
                if taken and os.fstat(file).st_nlink > 0:
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)
        if not taken:
            raise StoreError(
                "cancelled while waiting for another builder that builds the same key",
                where=path,
                hint="run the command again",
            )
