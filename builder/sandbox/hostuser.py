"""The user of the host that root's builds belong to: one that owns nothing.

    in the sandbox      on the host
    1000                65530, the user of builds
    0                   65529, unused: the kernel mounts no terminals (devpts) where there is no 0
    65534               0: while bubblewrap sets up, it may pass root's own directories

So the host's device nodes and other files of root that a build sees do not belong to it. systemd reserves 65520 to
65533 as unused (systemd.io/UIDS-GIDS). One user namespace with this table serves all sandboxes of a run: they join it,
which its owner may, and that is the user of builds.

Root of a container without such users is a plain user of the host, and is treated as one: builds belong to the caller.
A process starts them, too, and ends them if builder is killed before they have asked the kernel to be ended with it.
"""

import _socket  # not `socket`, whose enumerations take longer to make than a build to start
import contextlib
import errno
import functools
import marshal
import os
import signal
import subprocess
import sys
import threading
import weakref
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from builder.base import environment, outside
from builder.base.errors import SandboxError
from builder.sandbox import refusal
from builder.sandbox.rlimits import Rlimits

ID = 65530  # of the user and of its group
_TABLE = f"{environment.UID} {ID} 1\n0 {ID - 1} 1\n65534 0 1\n"
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostuser_child.py")


@functools.cache
def exists() -> bool:
    """Whether builder runs as root and can give builds a user of their own."""
    return os.geteuid() == 0 and all(map(has_both, map(_text, ("/proc/self/uid_map", "/proc/self/gid_map"))))


def has_both(table: str) -> bool:
    """Whether a table of users (user_namespaces(7): first inside, first outside, how many) has the two numbers."""
    rows = [[int(word) for word in line.split()] for line in table.splitlines()]
    return any(first < ID < first + count for first, _, count in rows)


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


class Process:
    """A program that a `User` runs: the part of `subprocess.Popen` that a sandbox needs."""

    def __init__(self, user: "User", pid: int) -> None:
        self._user = user
        self.pid = pid  # stays this process's until `wait`
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, which must be near: nothing else is started meanwhile. The result is as of `Popen.wait`."""
        if self.returncode is None:
            try:
                self.returncode = os.waitstatus_to_exitcode(self._user.ask(self.pid))
            except OSError:  # the process that started it has ended, and it with that one
                self.returncode = -signal.SIGKILL
        return self.returncode


class User:
    """The user that runs bubblewrap: a process of its own that starts it for builder.

    The process is small, so starting from it is quick: Python would change the user of a child in a copy of its whole
    process. It ends with builder, and then ends all that it started. Safe to use from many threads.

    own: whether it is the user of builds, not the caller. namespace: a descriptor of the user namespace that the
    process has made, else None; known from `wait` on.
    """

    def __init__(self, *, own: bool) -> None:
        self.namespace: int | None = None
        self._lock = threading.Lock()
        self._socket, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            words = [str(ID) if own else "", _TABLE, str(environment.UMASK), str(theirs.fileno())]
            argv = [sys.executable, "-I", "-S", _CHILD, *words]
            # A process group of its own: builder handles signals from the terminal, and to its group, itself.
            process = outside.start(argv, env=outside.environment(), pass_fds=(theirs.fileno(),), process_group=0)
        finally:
            theirs.close()
        self.close = weakref.finalize(self, _end, self._socket, process)  # a sandbox that is dropped ends it, too
        self._own, self._ready = own, False
        self._refused: SandboxError | None = None

    def wait(self) -> None:
        """Wait until it can start programs.

        Raises:
            SandboxError: this machine refuses it.
        """
        if self._ready:
            return
        if self._refused is not None:
            raise self._refused
        space = _socket.CMSG_SPACE(array("i").itemsize)
        said, found, _, _ = self._socket.recvmsg(1 << 12, space, _socket.MSG_CMSG_CLOEXEC)
        if found:
            self.namespace = array("i", found[0][2])[0]
            weakref.finalize(self, os.close, self.namespace)
        elif self._own:
            self.close()
            self._refused = refusal.refusal(said.decode(errors="replace"))
            raise self._refused
        self._ready = True

    def start(
        self, argv: Iterable[str], folder: str, descriptors: Mapping[int, int], limits: Rlimits, *, quiet: bool
    ) -> Process:
        """Start a program in a directory. descriptors: number that it sees -> descriptor. quiet: in a session of its
        own, with an empty input.

        Raises:
            OSError: it cannot be started.
        """
        where = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            words = (list(argv), list(descriptors), limits, 0 if quiet else os.getpgrp())
            return Process(self, self.ask(words, where, *descriptors.values()))
        finally:
            os.close(where)

    def ask(self, request: Any, *descriptors: int) -> int:
        """The child's answer (`hostuser_child`).

        Raises:
            OSError: the answer is an error, or the child has ended.
        """
        with open(os.memfd_create("request"), "wb") as file:
            file.write(marshal.dumps(request))
            file.flush()
            said = self._exchange([file.fileno(), *descriptors])
        if not said:
            raise OSError(errno.ESRCH, "the process that starts builds has ended")
        if (answer := int(said)) < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def _exchange(self, descriptors: list[int]) -> bytes:
        with self._lock:
            try:
                rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors))
                self._socket.sendmsg([b"."], [rights], _socket.MSG_NOSIGNAL)
                return self._socket.recv(32)
            except BaseException:  # an interrupt, too: the next request would get the answer to this one
                with contextlib.suppress(OSError):
                    self._socket.shutdown(_socket.SHUT_RDWR)
                raise


def _end(ours: _socket.socket, process: "subprocess.Popen[bytes]") -> None:
    ours.close()
    process.wait()
