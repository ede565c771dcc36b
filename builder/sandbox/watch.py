"""Waits for a sandbox to end, and ends it at its limits of time, memory and processes, or when the run is cancelled.

The thread that waits also watches, so there is one thread for each run, and a run that ends before the first sample
costs nothing more. Sampling is coarse on purpose; `rlimits` is the second net under it.
"""

import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from builder.recipe.recipe import Limits
from builder.sandbox.processes import MIB, Usage

TICK = 0.05  # seconds between looks at the clock and at `cancel`
SAMPLE = 0.25  # seconds between samples of memory and processes
_KILL_WAIT = 30.0  # seconds that the kernel may take to end all processes


class Follower(Protocol):
    """Reads the output of a run, while it runs."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when the run writes."""

    def look(self) -> None:
        """Read the output so far, without waiting; called at least once a tick."""


class Watched(Struct, frozen=True):
    """How a watched run ended. killed: "" or why. peak: bytes, the highest sample."""

    killed: str
    peak: int
    seconds: float


def watch(
    pidfd: int, kill: Callable[[], None], usage: Callable[[], Usage], limits: Limits, cancel: threading.Event | None,
    *, follower: Follower | None = None, timed: bool = True,
) -> Watched:
    """Returns when the process of `pidfd` has ended. `kill` is called at most once; timed: whether time is limited."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if follower is not None:
        poller.register(follower.fileno(), select.POLLIN)
    start = time.monotonic()
    sample_at = start + SAMPLE
    peak = 0
    killed = ""
    while not killed and not _ended(poller, pidfd, TICK):
        if follower is not None:
            follower.look()
        now = time.monotonic()
        if cancel is not None and cancel.is_set():
            killed = "cancelled"
        elif timed and now - start >= limits.seconds:
            killed = "time"
        elif now >= sample_at:
            used = usage()
            peak = max(peak, used.memory)
            killed = _beyond(used, limits)
            sample_at = time.monotonic() + SAMPLE
    if killed:
        kill()
        last = select.poll()
        last.register(pidfd, select.POLLIN)
        last.poll(_KILL_WAIT * 1000)
    return Watched(killed, peak, time.monotonic() - start)


def _ended(poller: "select.poll", pidfd: int, seconds: float) -> bool:
    return any(each == pidfd for each, _ in poller.poll(seconds * 1000))


def _beyond(used: Usage, limits: Limits) -> str:
    if used.memory > limits.memory * MIB:
        return "memory"
    return "processes" if used.processes > limits.processes else ""
