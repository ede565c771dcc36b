"""The weaker sandbox, for root where the kernel refuses namespaces (many containers): a root directory of hard links.

    builder ── chroot_child.py (supervisor, root) ── the command (user 1000 in the root directory)

It guarantees: only the spec's files are in sight, tools and inputs belong to root and cannot be written, the user has
no privileges and can gain none, a filter denies sockets other than AF_UNIX, and the supervisor adopts every process
that the command leaves behind and ends it. It does not guarantee the rest: processes of the host can be signalled when
they belong to the same user number, abstract sockets of AF_UNIX are shared, the host's network settings and (where the
kernel also refuses that namespace) host name can be read, and there is no /proc. So the records of outputs name the
sandbox.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from msgspec.structs import replace

from builder.base import environment, outside
from builder.base.errors import BuildError, SandboxError
from builder.sandbox import processes, seccomp
from builder.sandbox.chroot_roots import Roots
from builder.sandbox.port import Outcome, Sandbox, outcome
from builder.sandbox.rlimits import rlimits
from builder.sandbox.spec import SandboxSpec
from builder.sandbox.watch import Follower, Watched, watch

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chroot_child.py")


class Chroot(Sandbox):
    """scratch: a directory on the file system of the store, for root directories; they are removed by `close`.

    self_exe: the target of /proc/self/exe in the sandbox, "" for none: the zig compiler finds its files by it.

    Raises:
        SandboxError: builder does not run as root, or does not know this machine's system calls.
    """

    weakness = "chroot"

    def __init__(self, scratch: str, *, self_exe: str = "") -> None:
        self._filter = seccomp.program(seccomp.LOCAL, shared=True)
        self._links = {"/proc/self/exe": self_exe} if self_exe else {}
        self._roots = Roots(scratch)
        if os.geteuid() != 0:
            raise SandboxError("--sandbox chroot works for root only", where="chroot", hint="start builder as root")
        if not self._filter:
            raise SandboxError(
                "--sandbox chroot cannot deny the network on this kind of machine", where="chroot",
                hint="build on x86_64 or aarch64, or where the kernel allows user namespaces",
            )

    def _run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None, follower: Follower | None
    ) -> Outcome:
        assert not spec.network and spec.errors_fd is None, "the filter denies the network"
        with self._roots.lease(self._linked(spec)) as root:
            job = self._job(spec, root)
            with _supervisor(job, None if spec.interactive else log_fd, spec.pass_fds) as (process, problem):
                if problem:
                    raise _not_started(problem, spec)
                watched = _watch(process, spec, cancel, follower)
        return outcome(process.returncode, watched)

    def probe(self) -> None:
        spec = SandboxSpec(mounts=(), argv=("/nothing-to-run",), env={}, workdir="/")
        with contextlib.suppress(BuildError), open(os.devnull, "wb") as nowhere:
            self._run(spec, nowhere.fileno(), None, None)

    def close(self) -> None:
        self._roots.close()

    def _linked(self, spec: SandboxSpec) -> SandboxSpec:
        return replace(spec, links={**self._links, **spec.links})

    def _job(self, spec: SandboxSpec, root: str) -> bytes:
        """The job for the supervisor, as JSON; see `chroot_child.py`."""
        found = {
            "parent": os.getpid(), "root": root, "workdir": spec.workdir, "argv": spec.argv,
            "interactive": spec.interactive, "env": {**spec.env, "PWD": spec.workdir}, "hostname": spec.hostname,
            "uid": spec.uid, "gid": spec.gid,
            "umask": environment.UMASK, "limits": rlimits(spec.limits, spec.open_files), "filter": self._filter.hex(),
        }  # fmt: skip
        return json.dumps(found).encode()


def _watch(
    process: "subprocess.Popen[bytes]", spec: SandboxSpec, cancel: threading.Event | None, follower: Follower | None
) -> Watched:
    shared = processes.Shared()

    def usage() -> processes.Usage:
        folders = processes.below(process.pid)
        return processes.measure(folders, shared.size(folders))

    pidfd = os.pidfd_open(process.pid)
    try:
        return watch(pidfd, process.terminate, usage, spec.limits, cancel, follower=follower, timed=spec.timed)
    finally:
        os.close(pidfd)


@contextlib.contextmanager
def _supervisor(
    job: bytes, log_fd: int | None, inherited: tuple[int, ...]
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A running supervisor, and its message if the command could not be started. It ends with the block."""
    with contextlib.ExitStack() as open_here:
        told, said = os.pipe()
        report = open_here.enter_context(open(told, encoding="utf-8", errors="replace"))
        with open(os.memfd_create("job"), "wb") as file, open(said, "wb"):
            file.write(job)
            file.flush()
            file.seek(0)
            process = outside.start(
                [sys.executable, "-I", "-S", _CHILD, str(file.fileno()), str(said)],
                pass_fds=(file.fileno(), said, *inherited),
                stdin=None if log_fd is None else subprocess.DEVNULL, stdout=log_fd, stderr=log_fd,
                start_new_session=log_fd is not None, env=outside.environment(),
            )  # fmt: skip
        try:
            yield process, report.read()
        finally:
            process.terminate()
            process.wait()


def _not_started(problem: str, spec: SandboxSpec) -> SandboxError | BuildError:
    what, _, error = problem.partition(": ")
    if what == "run":
        return BuildError(
            f"the command cannot be started in the sandbox: {error}", where=spec.argv[0],
            hint="the tool set or an input must hold it, with the loader that it names",
        )
    return SandboxError(
        f"this machine refuses to {what}: {error}", where="chroot",
        hint="--sandbox chroot needs the capabilities SYS_CHROOT, SETUID, SETGID, CHOWN and MKNOD",
    )
