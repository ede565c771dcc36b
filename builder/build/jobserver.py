"""Cores shared between builds: a GNU make jobserver that all running sandboxes and the builder draw on.

A pipe holds one byte a core. The builder takes one before it starts a build, and each `make` inside takes one for every
job beyond its first (GNU make manual, "POSIX Jobserver Interaction"; pipe style, which make 4.3 knows). So the number
of compilers at work is the number of cores, however the builds divide them.

Builds are strangers: one may fill the pipe, empty it, and set flags on its descriptors. So the builder reads and writes
through descriptions of its own (open(2)), which never wait, and counts by the builds that run, not by the bytes that it
finds. A build that keeps all tokens delays the start of others until its own limit of time at the most.
"""

import fcntl
import os
import select
import struct
import termios
import threading
from contextlib import suppress


class Jobserver:
    """`cores` tokens in a pipe whose both ends are inherited by sandboxes."""

    def __init__(self, cores: int) -> None:
        self.cores = max(1, cores)
        self._lock = threading.Lock()
        self._users = 0
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self._in = os.open(f"/proc/self/fd/{self.read}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._out = os.open(f"/proc/self/fd/{self.write}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._fill(self.cores)

    def close(self) -> None:
        for each in (self.read, self.write, self._in, self._out):
            os.close(each)

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
            select.select([self._in], [], [], 0.2)
        return False

    def release(self) -> None:
        """Give a build's token back. After the last build, the tokens that killed builds kept are replaced."""
        with self._lock:
            self._users -= 1
            most, found = self.cores - self._users, self._count()
            if self._users and found < most:
                self._fill(1)
            else:
                self._take(found)
                self._fill(most)

    def _count(self) -> int:
        """How many bytes lie in the pipe: FIONREAD of ioctl_tty(2)."""
        return int(struct.unpack("i", fcntl.ioctl(self._in, termios.FIONREAD, b"\0" * 4))[0])

    def _take(self, most: int) -> int:
        """Take up to `most` tokens without waiting; how many there were."""
        try:
            return len(os.read(self._in, most))
        except BlockingIOError:
            return 0

    def _fill(self, count: int) -> None:
        """Put tokens into the pipe as far as it has room: where a build filled it meanwhile, there are enough."""
        with suppress(BlockingIOError):
            os.write(self._out, b"+" * count)
