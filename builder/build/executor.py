"""The port through which derivations are executed: on this machine (`local`), or by whatever else can run one.

An executor gets a derivation and the trees that it names, and nothing else that could influence the output. It decides
how these are shown to the build, how many builds run at a time, and how limits hold.
"""

import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, Self

from msgspec import Struct

from builder.base.errors import BuildError
from builder.plan.derivation import Derivation
from builder.progress.reporter import Task


class Job(Struct, frozen=True, kw_only=True):
    """One execution. tree_path: tree digest -> directory that holds the tree, read-only.

    stage: an empty directory that is the executor's until it returns. log: path of the file that becomes the build's
    log.
    """

    derivation: Derivation
    tree_path: Callable[[str], str]
    stage: str
    log: str
    task: Task


class Executor(ABC):
    """Runs derivations with steps."""

    @property
    @abstractmethod
    def weakness(self) -> str:
        """The name of an isolation weaker than namespaces without network, which the lock then has; "" for none."""

    def execute(self, job: Job, cancel: threading.Event) -> str:
        """Run a derivation to its end; the directory of its output, below the stage.

        Raises:
            BuildError: a step failed, a limit was reached, or the output is no directory.
            StoreError: the machine ran out of room.
            SandboxError: the machine cannot isolate builds.
            KeyboardInterrupt: `cancel` was set.
        """
        assert not job.derivation.builtin, "the builder joins trees itself"
        output = self._execute(job, cancel)
        assert output.startswith(job.stage + "/"), "outputs are moved into the store from the stage"
        if not stat.S_ISDIR(os.lstat(output).st_mode):
            raise BuildError(
                "its output is no directory", where=job.derivation.id, hint="the steps put files into $OUT"
            )
        return output

    @abstractmethod
    def _execute(self, job: Job, cancel: threading.Event) -> str: ...

    @property
    def tools(self) -> Collection[str]:
        """Names of packages, made without an executor, that must be realised before the first execution."""
        return ()

    def prepare(self) -> None:  # noqa: B027 - most adapters need no time
        """Begin slow preparations for the first execution, without waiting for them."""

    def close(self) -> None:  # noqa: B027 - most adapters keep nothing
        """End all that is kept between executions."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
