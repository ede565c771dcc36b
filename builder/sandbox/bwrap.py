"""The sandbox by bubblewrap: all namespaces new, a root of read-only mounts, no network (except the machine's for a
server that needs it), no privileges.

    builder ── bwrap (watches) ── init (process 1 of its namespace, reaps) ── the command and its children

The options go through a pipe, which bubblewrap reads before it does anything else: until builder closes it, resource
limits can be set on it and so on all its children. It reports the number of `init` and whether the command was started
as JSON lines (bwrap(1), --json-status-fd). When `init` has ended, the kernel has ended every process of its namespace;
so the run is over when `init` has ended, and killing `init` leaves nothing.

Should builder be killed by SIGKILL in the few milliseconds in which bubblewrap sets up (before `init` asks the kernel
to end it with its parent), the process that started bubblewrap for builder ends the build (`hostuser`); a server would
keep running.

The kernel shows, in /proc/self/mountinfo, where on their file system the mounted directories lie: the one host path
that a build can read.
"""

import contextlib
import functools
import os
import re
import resource
import select
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO

from msgspec.structs import replace

from builder.base import environment, outside
from builder.base.errors import BuildError, SandboxError
from builder.recipe.recipe import Limits
from builder.sandbox import cgroup, chroot_farm, hostuser, processes, refusal, seccomp
from builder.sandbox.bwrap_options import IN_MEMORY, Descriptors, options
from builder.sandbox.port import Outcome, Sandbox, outcome
from builder.sandbox.processes import Usage
from builder.sandbox.program import from_within
from builder.sandbox.rlimits import Rlimits, rlimits
from builder.sandbox.spec import SandboxSpec
from builder.sandbox.watch import Follower, watch

_Process = subprocess.Popen[bytes] | hostuser.Process

_CHILD = re.compile(rb'"child-pid": *(\d+)')
_STARTED = b'"exit-code"'
_FAILED = 1  # exit code of bubblewrap when it fails, but also of many a command: status lines tell them apart
_NOTHING = "/nothing-to-run"  # a command that no sandbox has: set-up is complete when bubblewrap looks for it
_FILTER = seccomp.program(seccomp.NETWORK)


class Bubblewrap(Sandbox):
    """program: the words that start bubblewrap 0.4 or newer (`program.find_program`)."""

    def __init__(self, program: tuple[str, ...]) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._user: hostuser.User | None = None  # of builds, once one was started

    def close(self) -> None:
        if self._user is not None:
            self._user.close()
            self._user = None

    def _run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None, follower: Follower | None
    ) -> Outcome:
        with _Run(self._program, spec, log_fd, self._user_for(spec)) as run:
            watched = watch(run.pidfd, run.kill, run.usage, spec.limits, cancel, follower=follower, timed=spec.timed)
            code = run.end()
            if run.is_full() and not watched.killed:
                watched = replace(watched, killed="memory", peak=spec.limits.memory * processes.MIB)
        if code == _FAILED and not run.started and not watched.killed:
            raise self._not_started(spec)
        return outcome(code, watched)

    def probe(self) -> None:
        text = self._set_up(SandboxSpec(mounts=(), argv=(_NOTHING,), env={}, workdir="/"))
        if text:
            raise refusal.refusal(text)

    def prepare(self) -> None:
        with self._lock:
            if self._user is None:
                self._user = hostuser.User(own=hostuser.exists())

    def _user_for(self, spec: SandboxSpec) -> hostuser.User | None:
        """The user of builds; None for a server, which is builder's own child, so that other commands find it."""
        if spec.as_caller:
            return None
        self.prepare()
        with self._lock:
            assert self._user is not None
            self._user.wait()
            return self._user

    def _not_started(self, spec: SandboxSpec) -> SandboxError | BuildError:
        """The reason why the command did not start, found by the same sandbox with a command that is not there."""
        text = self._set_up(replace(spec, argv=(_NOTHING,), interactive=False, errors_fd=None))
        if text:
            return refusal.refusal(text)
        return BuildError(
            "the command cannot be started in the sandbox", where=spec.argv[0],
            hint="the tool set or an input must hold it, with the loader that it names",
        )

    def _set_up(self, spec: SandboxSpec) -> str:
        """The message of bubblewrap when it cannot make the sandbox of `spec`, else ""."""
        with open(os.memfd_create("log"), "w+b") as log:
            with _Run(self._program, spec, log.fileno(), self._user_for(spec)) as run:
                watch(run.pidfd, run.kill, run.usage, spec.limits, None)
                run.end()
            log.seek(0)
            text = log.read().decode(errors="replace")
        return "" if _NOTHING in text else text or "it said nothing"


class _Run:
    """One running bubblewrap. pidfd: a handle on it. started: whether the command was started; known after `end`."""

    def __init__(self, program: tuple[str, ...], spec: SandboxSpec, log_fd: int, user: hostuser.User | None) -> None:
        self.started = False
        self._init = 0
        self._init_fd: int | None = None
        self._shared = processes.Shared()
        self._group = _group(spec.limits)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._remove_group)
            self._process, self._status = _start(program, spec, log_fd, user, self._enter)
            on_failure.callback(_abandon, self._process)
            self._attach()
            on_failure.pop_all()

    def _remove_group(self) -> None:
        if self._group is not None:
            self._group.remove()
            self._group = None

    def _enter(self, pid: int) -> None:
        """Puts a process into the run's group; without a group, memory is counted by samples."""
        if self._group is not None:
            try:
                self._group.enter(pid)
            except OSError:
                self._remove_group()

    def _attach(self) -> None:
        self.pidfd = os.pidfd_open(self._process.pid)
        # The line comes before `init` does anything; it is empty when bubblewrap failed before that.
        if found := _CHILD.search(self._status.readline()):
            self._init = int(found.group(1))
            with contextlib.suppress(ProcessLookupError):
                self._init_fd = os.pidfd_open(self._init)

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._status.close()
        for each in self._handles():
            os.close(each)
        self._remove_group()

    def is_full(self) -> bool:
        """Whether the kernel ended the run because of its memory."""
        return self._group is not None and self._group.is_full()

    def kill(self) -> None:
        for each in self._handles():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(each, signal.SIGKILL)

    def end(self) -> int:
        """Ends and waits for all processes that are left; the command's exit code. May be called again."""
        if self._process.returncode is None:
            self.kill()
            for each in self._handles():
                _wait(each)
            self._process.wait()
            self.started = _STARTED in self._status.read()
        assert self._process.returncode is not None
        return self._process.returncode

    def usage(self) -> Usage:
        if not self._init:
            return Usage(0, 0)
        try:
            if processes.has_our_root(self._init):  # still being set up: it sees the machine's /proc
                return Usage(0, 0)
            if self._group is not None:
                return Usage(self._group.memory(), len(processes.inside(self._init)))
            in_memory = processes.in_memory_files(self._init, IN_MEMORY)
            folders = processes.inside(self._init)
        except OSError:  # it has ended, or a security module denies access
            in_memory, folders = 0, processes.below(self._init)
        return processes.measure(folders, in_memory + self._shared.size(folders))

    def _handles(self) -> list[int]:
        return [self.pidfd] if self._init_fd is None else [self._init_fd, self.pidfd]


_TAKING = threading.Lock()


@functools.cache
def _taken() -> str:
    with contextlib.suppress(OSError):
        return cgroup.take(cgroup.find())
    return ""


def _place() -> str:
    """Where control groups can be made, "" for nowhere: found and made ready once."""
    with _TAKING:
        return _taken()


def _group(limits: Limits) -> cgroup.Group | None:
    """A control group with these limits, where the kernel allows one."""
    place = _place()
    if not place:
        return None
    group = None
    try:
        group = cgroup.Group(place)
        group.limit(limits)
    except OSError:
        if group is not None:
            group.remove()
        return None
    return group


def _start(
    program: tuple[str, ...], spec: SandboxSpec, log_fd: int, user: hostuser.User | None, enter: Callable[[int], None]
) -> tuple[_Process, BinaryIO]:
    """Starts bubblewrap; the process and the stream of its status lines.

    enter: called with the number of the process before that does anything.
    """
    with contextlib.ExitStack() as open_here:
        options_in, options_out = _pipe(open_here)
        status_in, status_out = _pipe(open_here)
        files = {path: _in_memory_file(text.encode(), open_here) for path, text in spec.files.items()}
        filters = tuple(_in_memory_file(each, open_here) for each in (_FILTER,) if each)
        namespaces = () if user is None or user.namespace is None else (user.namespace,)
        theirs = Descriptors(options_in, status_out, files, filters, namespaces)
        if namespaces:
            _hand_over(spec, log_fd)
        folder, words = from_within(program)
        argv = [*words, "--args", str(options_in), "--", *spec.argv]
        outputs = {} if spec.interactive else {1: log_fd, 2: log_fd if spec.errors_fd is None else spec.errors_fd}
        outputs |= {each: each for each in (*theirs.all(), *spec.pass_fds)}
        limits = rlimits(spec.limits, spec.open_files)
        process = _spawn(argv, folder, outputs, limits, user, quiet=not spec.interactive)
        try:
            enter(process.pid)
            _let_go(process.pid, [] if user is not None else limits, options(spec, theirs), options_out)
        except BaseException:
            _abandon(process)
            raise
        return process, os.fdopen(os.dup(status_in), "rb")


def _hand_over(spec: SandboxSpec, log_fd: int) -> None:
    """Give the build's user all that it writes to; pipes, too, because a build may open /dev/stderr again."""
    for each in spec.mounts:
        if each.writable:
            chroot_farm.hand_over(each.source, hostuser.ID, hostuser.ID)
    for descriptor in (log_fd, *spec.pass_fds, *(() if spec.errors_fd is None else (spec.errors_fd,))):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, hostuser.ID, hostuser.ID)


def _spawn(
    argv: list[str], folder: str, fds: Mapping[int, int], limits: Rlimits, user: hostuser.User | None, *, quiet: bool
) -> _Process:
    """Starts bubblewrap, as the user of builds and limited, or as the caller. fds: number that it sees -> descriptor.

    quiet: with an empty input, and in a session of its own, so that builder alone gets the terminal's interrupts.
    """
    try:
        if user is not None:
            return user.start(argv, folder, fds, limits, quiet=quiet)
        return outside.start(
            argv, cwd=folder, env={}, umask=environment.UMASK, pass_fds=[each for each in fds if each > 2],
            start_new_session=quiet, stdin=subprocess.DEVNULL if quiet else None, stdout=fds.get(1), stderr=fds.get(2),
        )
    except OSError as error:
        raise SandboxError(
            f"bubblewrap cannot be started: {error.strerror}", where=argv[0],
            hint="check the tool set: builder store verify",
        ) from error


def _let_go(pid: int, limits: Rlimits, words: list[str], options_out: int) -> None:
    """Limits the waiting bubblewrap and hands it its options."""
    for which, limit in limits:
        with contextlib.suppress(PermissionError):  # a setuid bubblewrap cannot be limited by a plain user
            resource.prlimit(pid, which, limit)
    with contextlib.suppress(BrokenPipeError), open(options_out, "wb", closefd=False) as stream:
        stream.write("\0".join(words).encode("utf-8", "surrogateescape"))


def _wait(pidfd: int) -> None:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll()


def _abandon(process: _Process) -> None:
    process.kill()
    process.wait()


def _pipe(ours: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for each in ends:
        ours.callback(os.close, each)
    return ends


def _in_memory_file(content: bytes, ours: contextlib.ExitStack) -> int:
    descriptor = os.memfd_create("file")
    ours.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
