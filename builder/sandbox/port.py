"""The port: a `Sandbox` runs a `SandboxSpec`, and gives an `Outcome`."""

import contextlib
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

from msgspec import Struct

from builder.base.errors import BuildError
from builder.recipe.recipe import Limits
from builder.sandbox.processes import MIB
from builder.sandbox.spec import SandboxSpec
from builder.sandbox.watch import Follower, Watched


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended.

    code: exit code of the command, 128 + N if signal N ended it. killed: "", or why the sandbox was ended: "time",
    "memory", "processes", "cancelled". seconds: by the wall clock. peak_memory_mib: the highest sample, 0 for a run
    that ended before the first one (see `watch.SAMPLE`).
    """

    code: int
    killed: str = ""
    seconds: float = 0.0
    peak_memory_mib: int = 0


class Sandbox(ABC):
    """Runs a command that sees only the files of its spec. Safe to use from many threads.

    weakness: its name, where it isolates less than new namespaces without network; records and lock carry it.
    """

    weakness = ""

    def run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None = None, follower: Follower | None = None
    ) -> Outcome:
        """Runs the command to its end; no process of it is left afterwards. Standard output and error go to `log_fd`,
        the other end of a pipe that `follower` reads, if there is one.

        Raises:
            SandboxError: the machine refuses the sandbox.
            BuildError: the command cannot be started.
        """
        if cancel is not None and cancel.is_set():
            return Outcome(code=137, killed="cancelled")
        with _signals_for_the_shell() if spec.interactive else contextlib.nullcontext():
            return self._run(spec, log_fd, cancel, follower)

    @abstractmethod
    def _run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None, follower: Follower | None
    ) -> Outcome: ...

    def prepare(self) -> None:  # noqa: B027 - most adapters need no time
        """Begins the slow part of the first run of a build, without waiting for it."""

    @abstractmethod
    def probe(self) -> None:
        """Raises SandboxError if no sandbox can be made on this machine."""

    def close(self) -> None:  # noqa: B027 - most adapters keep nothing
        """Removes files that were kept between runs."""

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _signals_for_the_shell() -> Iterator[None]:
    """Ctrl-C for a command in a shell reaches builder, too, which ignores it. (A caught signal is not inherited.)

    Afterwards the terminal is again that of the process group that had it: a shell inside cannot name that group.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGQUIT)}
    owner = 0
    with contextlib.suppress(OSError):  # standard input is no terminal, or another session's
        owner = os.tcgetpgrp(0)
    try:
        yield
    finally:
        if owner:
            # A process that changes a terminal from the background gets SIGTTOU.
            silent = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                os.tcsetpgrp(0, owner)
            signal.signal(signal.SIGTTOU, silent)
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(returncode: int, watched: Watched) -> Outcome:
    """The outcome of a watched process. returncode: as Python has it, -N for a process that signal N ended."""
    code = returncode if returncode >= 0 else 128 - returncode
    peak = -(-watched.peak // MIB)
    return Outcome(code=code, killed=watched.killed, seconds=watched.seconds, peak_memory_mib=peak)


def limit_error(outcome: Outcome, limits: Limits, where: str) -> BuildError:
    """The error of a run that was killed for a limit; `where` names the build, like "openssl 3.5.7"."""
    message, hint = {
        "time": (f"the build took longer than {limits.seconds} seconds", "if it needs more, raise 'seconds'"),
        "memory": (
            f"the build used more than {limits.memory} MiB of memory", "give it fewer cores, or raise 'memory' (MiB)",
        ),
        "processes": (
            f"the build ran more than {limits.processes} processes at a time", "if it needs more, raise 'processes'",
        ),
    }[outcome.killed]
    return BuildError(message, where=where, hint=f"{hint} under [limits] in the recipe")
