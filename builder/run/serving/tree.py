"""The processes of a sandbox as the host counts them.

    builder ── bwrap ── init (process 1 of the sandbox) ── nginx's master process ── its workers

A number alone names no process: it is used again. So a process is kept with the time at which it began.
"""

import contextlib
import os
import signal

from msgspec import Struct

from builder.sandbox.processes import read_parents

_DEPTH = 3  # from builder to the command


class Process(Struct, frozen=True):
    """started: clock ticks since the machine's start (proc(5), /proc/pid/stat, field 22)."""

    pid: int
    started: int

    def alive(self) -> bool:
        return begun(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; whether it was there."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive():
                    signal.pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        return False


def begun(pid: int) -> int | None:
    """When a process began; None when there is none of that number, or it has ended and its
    parent has not taken note yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def process(pid: int) -> Process | None:
    found = begun(pid)
    return None if found is None else Process(pid, found)


def children(pid: int) -> set[int]:
    return {child for child, parent in read_parents().items() if parent == pid}


def command_below(builder: int) -> Process | None:
    """The command that runs in the only sandbox that this builder has; None before it was started."""
    parents = read_parents()
    current = builder
    for _ in range(_DEPTH):
        below = [child for child, parent in parents.items() if parent == current]
        if len(below) != 1:
            return None
        current = below[0]
    return process(current)
