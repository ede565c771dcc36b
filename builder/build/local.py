"""Executing derivations on this machine, each in a sandbox of its own.

    stage/
      build/     the sandbox's /build: $HOME, and src/ where the steps run
      output/    the sandbox's /output: $OUT
"""

import os
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from msgspec.structs import replace

from builder.base.environment import UMASK
from builder.base.errors import BuilderError, BuildError, SandboxError, StoreError
from builder.build import kept, workbench
from builder.build.executor import Executor, Job
from builder.build.jobserver import Jobserver
from builder.build.log import Log
from builder.plan.derivation import Derivation
from builder.progress.reporter import Reporter
from builder.sandbox.listing import tree_listing
from builder.sandbox.mounts import plan_mounts
from builder.sandbox.port import Outcome, Sandbox, limit_error
from builder.sandbox.spec import Mount, SandboxSpec
from builder.store.remove import remove_tree

LAST_LINES = 30
LONGEST = 300  # characters of a log line in an error
_ROOM = 1 << 20  # bytes; a disk with less is full


class LocalExecutor(Executor):
    """sandbox: opens the sandbox when the first build needs it, since the tools that start it are built first.

    tools: names of packages that start it. cores: shared by all builds. keep_failed: directory that the tree of a
    failed build is moved to, or "" to drop it.
    """

    def __init__(
        self, sandbox: Callable[[], Sandbox], reporter: Reporter, *, cores: int, keep_failed: str = "",
        tools: Collection[str] = (),
    ) -> None:
        self._find, self._reporter, self._keep_failed = sandbox, reporter, keep_failed
        self._tools = tools
        self._jobserver = Jobserver(cores)
        self._lock = threading.Lock()
        self._opened: Sandbox | None = None

    @property
    def weakness(self) -> str:
        return self.sandbox.weakness

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of all builds, opened once."""
        with self._lock:
            if self._opened is None:
                self._opened = self._find()
            return self._opened

    @property
    def tools(self) -> Collection[str]:
        return self._tools

    def prepare(self) -> None:
        with suppress(SandboxError):  # the tools may still have to be built; the first build reports any other error
            self.sandbox.prepare()

    def close(self) -> None:
        self._jobserver.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _execute(self, job: Job, cancel: threading.Event) -> str:
        build, output = os.path.join(job.stage, "build"), os.path.join(job.stage, "output")
        os.mkdir(build)
        os.mkdir(output)
        _prepare(job.derivation, build)
        spec = self.spec(job.derivation, job.tree_path, build, output)
        if not self._jobserver.acquire(cancel):
            raise KeyboardInterrupt
        try:
            with Log(job.log, job.task, every=self._reporter.verbose) as log:
                outcome = self.sandbox.run(spec, log.fd, cancel, log)
        finally:
            self._jobserver.release()
        if outcome.killed == "cancelled":
            raise KeyboardInterrupt
        if outcome.code != 0 or outcome.killed:
            full = _is_full(build)
            place = self._keep(job.derivation, build)
            raise _failed(job, outcome, log.step, place, full=full)
        return output

    def spec(self, derivation: Derivation, tree_path: Callable[[str], str], build: str, output: str) -> SandboxSpec:
        """The sandbox of a build: read-only inputs at their final paths, sources, and the two writable directories."""
        around = derivation.environment
        assert around.umask == UMASK, "sandboxes have one umask"
        layout = plan_mounts(
            [tree_listing(tree_path(each.tree), each.package) for each in derivation.inputs], around.files
        )
        sources = [
            Mount(tree_path(tree), f"{around.sources}/{name}") for name, tree in sorted(derivation.sources.items())
        ]
        writable = [Mount(build, around.build, writable=True), Mount(output, around.output, writable=True)]
        jobserver = self._jobserver
        return SandboxSpec(
            mounts=(*layout.mounts, *sources, *writable),
            links=layout.links,
            files=around.files,
            folders=layout.folders,
            argv=around.argv,
            env={**around.variables, "CORES": str(jobserver.cores), "MAKEFLAGS": jobserver.makeflags},
            workdir=around.workdir,
            hostname=around.hostname,
            uid=around.uid,
            gid=around.gid,
            open_files=around.open_files,
            limits=derivation.limits,
            pass_fds=jobserver.fds,
        )

    def shell(
        self, derivation: Derivation, tree_path: Callable[[str], str], stage: str, words: tuple[str, ...],
        failed: str = ""
    ) -> int:
        """Run `words`, or a shell, on this terminal in the sandbox of a build whose sources are ready; the exit code.

        stage: an empty directory. failed: directory of a kept tree to enter instead.
        """
        folders = {name: os.path.join(stage, name) for name in ("build", "output", "bench")}
        for folder in folders.values():
            os.mkdir(folder)
        if not failed:
            _prepare(derivation, folders["build"])
        workbench.write(folders["bench"], derivation, prepare=not failed, quiet=self._reporter.quiet)
        spec = self.spec(derivation, tree_path, failed or folders["build"], folders["output"])
        terminal = {"TERM": os.environ.get("TERM", "dumb"), "ENV": f"{workbench.PLACE}/settings"}
        if not words:
            self._reporter.say(workbench.banner(derivation, failed))
        spec = replace(
            spec, argv=("/bin/sh", f"{workbench.PLACE}/start", *(words or ("/bin/sh", "-i"))), interactive=True,
            mounts=(*spec.mounts, Mount(folders["bench"], workbench.PLACE)),
            env={**spec.env, **({} if words else terminal)},
        )  # fmt: skip
        self._reporter.close()  # the terminal is the shell's from here on
        try:
            return self.sandbox.run(spec, 2).code
        finally:
            if failed:
                kept.settle(failed)

    def _keep(self, derivation: Derivation, build: str) -> str:
        if not self._keep_failed:
            return ""
        target = os.path.join(self._keep_failed, derivation.id.replace(" ", "-"))
        number = 1
        while os.path.lexists(place := f"{target}-{number}"):
            number += 1
        kept.settle(build)
        try:
            os.makedirs(self._keep_failed, mode=0o700, exist_ok=True)
            shutil.move(build, place)  # may be another file system than the store's
        except OSError as error:  # how the build failed is more than its tree
            remove_tree(place)
            why = error.strerror or "it could not be copied"
            self._reporter.warn(f"the tree of the failed build could not be kept in {place}: {why}")
            return ""
        os.mkdir(build)
        return place


def _prepare(derivation: Derivation, build: str) -> None:
    """Fill the directory that becomes /build: the script, src/ and tmp/."""
    around = derivation.environment
    for name in ("src", "tmp"):
        os.mkdir(os.path.join(build, name))
    with open(build + around.script.removeprefix(around.build), "w", encoding="utf-8") as file:
        file.write(derivation.script())


def last_lines(log: str, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log file."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 65536))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def _is_full(path: str) -> bool:
    """Whether the file system of `path` has no room: then a failure is the machine's, whatever the step made of it."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize < _ROOM


def _failed(job: Job, outcome: Outcome, step: str, place: str, *, full: bool) -> BuilderError:
    derivation, log = job.derivation, job.log
    if outcome.killed:
        limit = limit_error(outcome, derivation.limits, derivation.id)
        message, hint = f"in step '{step}' {limit.message}", limit.hint + ", or "
    else:
        message, hint = f"step '{step}' ended with exit code {outcome.code}", ""
    tail = "\n".join("  | " + line[:LONGEST] for line in last_lines(log))
    name = derivation.name
    more = f"its tree is kept in {place}, `builder shell --failed {name}` enters it"
    if not place:
        more = f"`builder build --keep-failed {name}` keeps its tree"
    if full:
        hint = "the disk is full: free some space there or run `builder gc`, then run the command again; or "
    return (StoreError if full else BuildError)(
        f"{message}\n{tail}",
        where=derivation.id,
        hint=f"{hint}`builder log {name}` shows the whole log ({log}); {more}; "
        f"`builder shell {name}` opens its sandbox",
    )
