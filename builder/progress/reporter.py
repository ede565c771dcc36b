"""Progress for the user, on stderr: running tasks, finished ones, and a sign of life from long ones.

`Reporter` is the port. Its public methods keep the contract (any thread may call them; a task ends once; texts hold no
control sequences; nothing raises because a terminal is odd or gone) and adapters fill in the hooks that begin with
`_on`, which are called one at a time:

    NullReporter          nothing
    plain.QuietReporter   warnings alone (`--quiet`)
    plain.PlainReporter   one line per start and end, and a line every 15 s for each that still runs
    terminal              live rows on a terminal (`choose` picks it; rich is imported only then)

Nothing here ever writes to stdout: that is for data.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from builder.base import units
from builder.base.addresses import scrubbed
from builder.progress.clean import clean, clean_lines
from builder.progress.goal import Goal

_LONGEST = 2000  # characters of a log line that are looked at, from its end
_VERBS = {
    "fetch": "fetching", "unpack": "unpacking", "build": "building", "check": "checking", "resolve": "resolving",
    "compose": "composing", "verify": "verifying", "test": "testing", "measure": "measuring", "clean": "cleaning",
}
class Task:
    """Something that runs: made by `Reporter.task`, ended by `done` or by leaving a `with` block.

    kind: "fetch", "build", ...; name: of its subject; total: the last value of `count` (bytes for "fetch"), None when
    unknown; status: "" while it runs, then "done", "failed", "interrupted" or the argument of `done`; last: the newest
    log line. brief: usually over at once, so it gets a line only when it takes long.
    """

    def __init__(self, reporter: "Reporter", kind: str, name: str, total: int | None, *, brief: bool) -> None:
        self._reporter = reporter
        self.brief = brief
        self.kind = kind
        self.name = name
        self.total = total
        self.count = 0
        self.last = ""
        self.status = ""
        self.started = self.spoke = reporter.now()

    @property
    def title(self) -> str:
        return f"{_VERBS.get(self.kind, self.kind)} {self.name}"

    def seconds(self) -> float:
        return self._reporter.now() - self.started

    def advance(self, count: int) -> None:
        self._reporter.advanced(self, count)

    def reached(self, count: int, total: int) -> None:
        """Set how far it is, of a total that may be known only now."""
        self._reporter.reached(self, count, total)

    def line(self, text: str | bytes) -> None:
        """The newest line of the log, as it came: it is cleaned here, and an empty one is passed over."""
        self._reporter.lined(self, text)

    def done(self, status: str = "done") -> None:
        """End the task. Only the first call counts, so a status given inside a `with` block stays."""
        self._reporter.finished(self, status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is None:
            self.done()
        else:
            self.done("failed" if issubclass(kind, Exception) else "interrupted")


class Reporter:
    """The port. Use it as a context manager, or call `close`: a terminal is then as it was before.

    now: the clock, in seconds; only differences count. verbose: every line of a task's log is shown, not its newest
    alone.
    """

    quiet = False  # no progress and no notes

    def __init__(self, *, now: Callable[[], float] = time.monotonic, verbose: bool = False) -> None:
        self.now = now
        self.verbose = verbose
        self._goals: dict[str, Goal] = {}  # by the kind of task
        self._lock = threading.RLock()
        self._tasks: dict[Task, None] = {}  # those that run, in the order they began

    def say(self, text: str) -> None:
        """Print one or more lines for the user."""
        with self._lock:
            self._on_text(clean_lines(scrubbed(text)))

    def warn(self, text: str) -> None:
        """Something that may be wrong but stops nothing."""
        with self._lock:
            self._on_text("warning: " + clean_lines(scrubbed(text)))

    def expect(self, kind: str, seconds: Mapping[str, float | None], *, jobs: int = 1) -> None:
        """Announce tasks of one kind: their names, with the seconds that each took before. See `Goal`."""
        with self._lock:
            self._goals[kind] = Goal({clean(name): each for name, each in seconds.items()}, jobs)

    def skip(self, kind: str, name: str) -> None:
        """Tell that an expected task need not be done after all."""
        with self._lock:
            if kind in self._goals:
                self._goals[kind].skip(clean(name))

    def task(self, kind: str, name: str, total: int | None = None, *, brief: bool = False) -> Task:
        task = Task(self, kind, clean(name), total, brief=brief)
        with self._lock:
            self._tasks[task] = None
            if kind in self._goals:
                self._goals[kind].begin(task.name)
            self._on_start(task)
        return task

    def advanced(self, task: Task, count: int) -> None:
        with self._lock:
            task.count += count

    def reached(self, task: Task, count: int, total: int) -> None:
        with self._lock:
            task.count, task.total = count, total

    def lined(self, task: Task, text: str | bytes) -> None:
        if line := clean(text[-_LONGEST:]).strip():
            task.last = line
            if self.verbose:
                with self._lock:
                    self._on_text(f"{task.name}> {line}")

    def finished(self, task: Task, status: str) -> None:
        with self._lock:
            if not task.status:
                task.status = clean(status)
                self._tasks.pop(task, None)
                if task.kind in self._goals:
                    self._goals[task.kind].end(task.name)
                self._on_finish(task)

    def close(self) -> None:
        """Stop the background threads. Calling it twice is fine; a later task starts them again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _on_text(self, text: str) -> None:
        raise NotImplementedError

    def _on_start(self, task: Task) -> None:
        raise NotImplementedError

    def _on_finish(self, task: Task) -> None:
        raise NotImplementedError


class NullReporter(Reporter):
    """Says nothing."""

    quiet = True

    def _on_text(self, text: str) -> None:
        pass

    def _on_start(self, task: Task) -> None:
        pass

    def _on_finish(self, task: Task) -> None:
        pass


def elapsed(tasks: Iterable[Task]) -> dict[str, float]:
    """How long each task has run, by its name."""
    return {task.name: task.seconds() for task in tasks}


def progress(task: Task) -> list[str]:
    """The state of a running task: time, how far it is, its last line."""
    known = [units.elapsed(task.seconds())]
    if task.count and task.kind == "fetch":
        of = f" of {units.size(task.total)}" if task.total else ""
        known.append(units.size(task.count) + of)
    elif task.count:
        known.append(str(task.count) + (f" of {task.total}" if task.total else ""))
    return [*known, f"last line: {task.last[:200]}"] if task.last else known


def finish(task: Task) -> str:
    """How a task ended, like "done, 53.2 MB in 12 s"."""
    amount = f"{units.size(task.count)} in " if task.count and task.kind == "fetch" else ""
    return f"{task.status}, {amount}{units.elapsed(task.seconds())}"
