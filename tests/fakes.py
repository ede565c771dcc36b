"""Fakes: each implements one of the builder's ports, without the world behind it, and keeps or counts what it was asked.

    Executor   CopyExecutor             runs a derivation on copies, with the machine's tools and without a sandbox
    Sandbox    Serving, Scripted, Never a server; a function in place of a run; none at all
    Known      FakeStore                a store that knows keys and trees, and holds nothing
    Reporter   Listener                 keeps the texts and the tasks

`builder.progress.reporter.NullReporter` is the reporter of tests that look at nothing.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable

from msgspec import Struct, field

from builder.base.errors import BuildError
from builder.build.executor import Executor, Job
from builder.plan.derivation import Trees
from builder.progress.reporter import Reporter, Task
from builder.sandbox import Outcome, Sandbox, SandboxSpec
from builder.sandbox.watch import Follower


class CopyExecutor(Executor):
    """Runs a derivation beside copies of its sources, with the machine's own tools and without a sandbox."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @property
    def weakness(self) -> str:
        return "copy"

    def _execute(self, job: Job, cancel: threading.Event) -> str:
        self.ran.append(job.derivation.id)
        places = {name: os.path.join(job.stage, name) for name in ("build", "output", "sources")}
        for path in (*places.values(), places["build"] + "/src", places["build"] + "/tmp"):
            os.mkdir(path)
        for name, tree in job.derivation.sources.items():
            shutil.copytree(job.tree_path(tree), f"{places['sources']}/{name}", symlinks=True)
        around = job.derivation.environment
        moved = {getattr(around, name): path for name, path in places.items()}
        script = _moved(job.derivation.script(), moved)
        env = {name: _moved(text, moved) for name, text in around.variables.items()} | {"CORES": "1"}
        with open(job.log, "wb") as log:
            argv, workdir = ["/bin/sh", "-c", script], _moved(around.workdir, moved)
            done = subprocess.run(argv, check=False, cwd=workdir, env=env, stdout=log, stderr=log)
        if done.returncode:
            raise BuildError(f"exit code {done.returncode}", where=job.derivation.id)
        return places["output"]


def _moved(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


class Serving(Sandbox):
    """What is to compile and to be checked is well; a server runs until it is cancelled, unless it fails as told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self.ended = ""

    def _run(
        self, spec: SandboxSpec, _log_fd: int, cancel: threading.Event | None, _follower: Follower | None
    ) -> Outcome:
        assert not spec.network, "nothing is tried in the machine's network"
        if cancel is None:
            return Outcome(code=0)
        if self._failure:
            raise self._failure
        self.ended = "cancelled" if cancel.wait(20) else "time"
        return Outcome(code=137, killed=self.ended)

    def probe(self) -> None: ...


class Scripted(Sandbox):
    """Runs nothing: `script` is called with the spec and the log, and says how the run ends. Counts those side by side."""

    def __init__(self, script: Callable[[SandboxSpec, int], Outcome]) -> None:
        self._script = script
        self._lock = threading.Lock()
        self.now = self.most = 0

    def _run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None, _follower: Follower | None
    ) -> Outcome:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return self._script(spec, log_fd)
        finally:
            with self._lock:
                self.now -= 1

    def probe(self) -> None: ...


class Never(Sandbox):
    def _run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None, _follower: Follower | None
    ) -> Outcome:
        raise AssertionError

    def probe(self) -> None:
        raise AssertionError


class FakeStore(Struct):
    """What a store knows, and how often each key was asked for."""

    records: dict[str, Trees] = field(default_factory=dict)
    trees: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def has_tree(self, tree: str) -> bool:
        return tree in self.trees

    def outputs(self, key: str) -> Trees | None:
        self.asked.append(key)
        return self.records.get(key)


class Listener(Reporter):
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.starts: list[str] = []
        self.ends: list[str] = []

    def _on_text(self, text: str) -> None:
        self.texts.append(text)

    def _on_start(self, task: Task) -> None:
        self.starts.append(task.name)

    def _on_finish(self, task: Task) -> None:
        if not task.brief:
            self.ends.append(f"{task.title}: {task.status}, {task.count} of {task.total}")
