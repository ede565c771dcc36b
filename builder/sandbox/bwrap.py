"""The sandbox by bubblewrap: all namespaces new, a root of read-only mounts, no network, no privileges.

    builder ── bwrap (watches) ── init (process 1 of its namespace, reaps) ── the command and what it starts

The options go through a pipe, which bubblewrap reads before it does anything else: until we close it, resource limits can
be set on it and so on all its children. It reports the number of `init` and whether the command was started as JSON lines
(bwrap(1), --json-status-fd). When `init` has ended, the kernel has ended every process of its namespace; so the run is
over when `init` is, and killing it leaves nothing.

The kernel shows, in /proc/self/mountinfo, where on their file system the mounted folders lie: the one host path that a
build could read if it tried to.
"""

import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

from builder.errors import BuildError, SandboxError
from builder.sandbox import environment, processes, refusal
from builder.sandbox.port import Outcome, Sandbox
from builder.sandbox.processes import Usage
from builder.sandbox.rlimits import rlimits
from builder.sandbox.spec import SandboxSpec, by_target
from builder.sandbox.watch import watch

_IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the sandbox
_CHILD = re.compile(rb'"child-pid": *(\d+)')
_STARTED = b'"exit-code"'
_NOTHING = "/nothing-to-run"  # a command that no sandbox has: set-up is done when it is looked for
_ISOLATION = (
    "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--cap-drop", "ALL",
)  # fmt: skip


class Bubblewrap(Sandbox):
    """program: the words that start bubblewrap 0.4 or newer (`program.find_program`)."""

    name = "bubblewrap"

    def __init__(self, program: tuple[str, ...]) -> None:
        self._program = program

    def _run(self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None) -> Outcome:
        with _Run(self._program, spec, log_fd) as run:
            watched = watch(run.pidfd, run.kill, run.usage, spec.limits, cancel, timed=not spec.interactive)
            code = run.end()
        if not run.started and not watched.killed:
            raise self._not_started(spec)
        return Outcome(
            code=code, killed=watched.killed, seconds=watched.seconds, peak_memory_mib=-(-watched.peak // processes.MIB)
        )

    def probe(self) -> None:
        text = self._set_up(SandboxSpec(mounts=(), argv=(_NOTHING,), env={}, workdir="/"))
        if text:
            raise refusal.refusal(text)

    def _not_started(self, spec: SandboxSpec) -> SandboxError | BuildError:
        """Why the command did not start, found by setting up the same sandbox again with a command that is not there."""
        import dataclasses

        text = self._set_up(dataclasses.replace(spec, argv=(_NOTHING,), interactive=False))
        if text:
            return refusal.refusal(text)
        return BuildError(
            "the command cannot be started in the sandbox", where=spec.argv[0],
            hint="the tool set or an input must hold it, with the loader that it names",
        )

    def _set_up(self, spec: SandboxSpec) -> str:
        """What bubblewrap says when it cannot make the sandbox of `spec`, else ""."""
        with tempfile.TemporaryFile() as log:
            with _Run(self._program, spec, log.fileno()) as run:
                watch(run.pidfd, run.kill, run.usage, spec.limits, None)
                run.end()
            log.seek(0)
            text = log.read().decode(errors="replace")
        return "" if _NOTHING in text else text or "it said nothing"


class _Run:
    """One running bubblewrap. pidfd: a handle on it. started: whether the command was started, known at the end."""

    def __init__(self, program: tuple[str, ...], spec: SandboxSpec, log_fd: int) -> None:
        self.started = False
        self._process, self._status = _start(program, spec, log_fd)
        self.pidfd = os.pidfd_open(self._process.pid)
        # Comes when `init` is there, before it does anything; an empty line when bubblewrap failed before.
        found = _CHILD.search(self._status.readline())
        self._init = int(found.group(1)) if found else 0
        self._init_fd = _pidfd(self._init) if found else None

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        os.close(self.pidfd)
        if self._init_fd is not None:
            os.close(self._init_fd)
        self._status.close()

    def kill(self) -> None:
        for each in (self._init_fd, self.pidfd):
            if each is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(each, signal.SIGKILL)

    def end(self) -> int:
        """Waits until no process of the sandbox is left; the exit code of the command. May be called again."""
        if self._process.returncode is None:
            ...
        return 0

    def usage(self) -> Usage: ...
