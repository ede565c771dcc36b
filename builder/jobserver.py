"""Cores shared between builds: a GNU make jobserver that all running sandboxes and the builder draw on.

A pipe holds one byte a core. The builder takes one before it starts a build, and each `make` inside takes one for every
job beyond its first (GNU make manual, "POSIX Jobserver Interaction"; pipe style, which make 4.3 knows). So the number of
compilers at work is the number of cores, however the builds divide them.
"""

import os
import select
import threading
from types import TracebackType


class Jobserver:
    """`cores` tokens in a pipe whose both ends are inherited by sandboxes."""

    def __init__(self, cores: int) -> None:
        self.cores = max(1, cores)
        self._lock = threading.Lock()
        self._users = 0
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        os.write(self.write, b"+" * self.cores)

    def __enter__(self) -> "Jobserver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.read)
        os.close(self.write)

    @property
    def fds(self) -> tuple[int, int]:
        return self.read, self.write

    @property
    def makeflags(self) -> str:
        return f" -j{self.cores} --jobserver-auth={self.read},{self.write}"

    def acquire(self, cancel: threading.Event) -> bool:
        """Take the token of a build that starts; False when `cancel` was set while waiting."""
        while not cancel.is_set():
            with self._lock:
                if self._take(1):
                    self._users += 1
                    return True
            select.select([self.read], [], [], 0.2)
        return False

    def release(self) -> None:
        """Give a build's token back. When nobody is left, tokens that killed builds took with them are made up for."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._take(4096)
                os.write(self.write, b"+" * self.cores)
            else:
                os.write(self.write, b"+")

    def _take(self, most: int) -> int:
        """Take up to `most` tokens without waiting; how many there were."""
        try:
            return len(os.read(self.read, most))
        except BlockingIOError:
            return 0
