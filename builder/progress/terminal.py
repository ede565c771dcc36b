"""Live rows on a terminal: downloads and builds side by side, each with its elapsed time and its last log line.

    fetching  openssl 3.5.7           12 s  [#######...........]  41 % of 53.2 MB, 4.1 MB/s
    building  nginx 1.26.3            45 s  cc -c src/core/ngx_string.c
    2 running; done: 14 of 49 fetched, 31 of 50 built, about 4 min 10 s left; 1 min 05 s

A task that took long or did not go well leaves a line above the rows; the others are counted only. Rich draws; every
text reaches it as `Text`, so that nothing in a log is markup.

Two threads meet here: those that report hold the reporter's lock and then take Rich's, and Rich's drawing thread holds
its own. So drawing takes no lock of ours: it reads tuples and copies that are replaced whole.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from builder.base import units
from builder.progress.plain import Lenient
from builder.progress.reporter import Reporter, Task, elapsed, finish

_LONG = 2.0  # seconds after which the end of a task is worth a line of its own
_QUIET = ("done", "cached", "passed")
_PAST = {
    "fetch": "fetched", "build": "built", "unpack": "unpacked", "check": "checked", "verify": "verified",
    "test": "tested",
}
_BAR = 20


class RichReporter(Reporter):
    """Live rows, redrawn four times a second by a thread of Rich while tasks run: then the terminal is free for
    others."""

    def __init__(
        self, stream: TextIO, *, now: Callable[[], float] = time.monotonic, width: int | None = None,
        verbose: bool = False
    ) -> None:
        super().__init__(now=now, verbose=verbose)
        file = cast(TextIO, Lenient(stream))
        self._console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._running: tuple[Task, ...] = ()
        self._ended: Counter[str] = Counter()
        self._begun = now()
        self._drawn = False  # whether rows are on the screen
        self._guard = threading.Lock()

    def close(self) -> None:
        with self._guard:
            live, self._live = self._live, None
            self._drawn = False
            if live is not None:
                live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tasks = sorted(self._running, key=lambda task: task.kind != "fetch")
        if not tasks:
            return
        self._drawn = True
        width = options.max_width
        shown = max(options.size.height - 4, 3)
        names = min(max((len(task.name) for task in tasks[:shown]), default=0), width // 3)
        for task in tasks[:shown]:
            yield row(task, names, width)
        yield self._summary(tasks, len(tasks) - shown, width)

    def _on_text(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _on_start(self, task: Task) -> None:
        self._running = tuple(self._tasks)
        with self._guard:
            if self._live is None:
                self._live = Live(
                    self, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
                )
                self._live.start()

    def _on_finish(self, task: Task) -> None:
        self._running = tuple(self._tasks)
        good = task.status in _QUIET
        self._ended[task.kind] += good and not task.brief
        if not good or self.verbose or (task.seconds() >= _LONG and not task.brief):
            self._on_text(f"{task.title}: {finish(task)}")
        # Stopping costs a millisecond, which tasks too short for a row need not spend.
        if self._drawn and not self._running:
            self.close()

    def _summary(self, tasks: list[Task], hidden: int, width: int) -> Text:
        ended = self._ended.copy()
        shown = sorted({*self._goals, *(kind for kind, count in ended.items() if count)})
        done = ", ".join(self._count(kind, ended[kind], tasks) for kind in shown)
        parts = [f"{len(tasks)} running" + (f" ({hidden} not shown)" if hidden > 0 else "")]
        parts += [f"done: {done}"] if done else []
        return _cut("; ".join([*parts, units.elapsed(self.now() - self._begun)]), width, "dim")

    def _count(self, kind: str, ended: int, tasks: list[Task]) -> str:
        """Like "31 of 50 built, about 4 min 10 s left"."""
        goal = self._goals.get(kind)
        if goal is None or goal.total < 2:
            return f"{ended} {_PAST.get(kind, kind)}"
        left = goal.time_left(elapsed(tasks))
        return f"{goal.ended} of {goal.total} {_PAST.get(kind, kind)}{', ' * bool(left)}{left}"


def row(task: Task, names: int, width: int) -> Text:
    """One task on one line of at most `width` cells, its name in `names` cells."""
    line = Text()
    verb, _, _ = task.title.partition(" ")
    line.append(f"{verb:<10}", "cyan" if task.kind == "fetch" else "green")
    line.append(_fit(task.name, names), "bold")
    line.append(f"{units.elapsed(task.seconds()):>11}  ")
    for text, style in _rest(task):
        line.append(text, style)
    return _cut(line, width)


def _rest(task: Task) -> Iterator[tuple[str, str]]:
    if task.total:
        share = min(task.count / task.total, 1.0)
        full = int(share * _BAR)
        yield f"[{'#' * full}{'.' * (_BAR - full)}] ", "cyan"
        yield f"{share:4.0%} of {_amount(task, task.total)}", ""
    elif task.count:
        yield _amount(task, task.count), ""
    if task.kind == "fetch" and task.count:
        yield f", {units.size(task.count / max(task.seconds(), 0.1))}/s", ""
    if task.last:
        yield (" " if task.count else "") + task.last, "dim"


def _amount(task: Task, count: int) -> str:
    return units.size(count) if task.kind == "fetch" else str(count)


def _fit(text: str, cells: int) -> str:
    part = Text(text)
    part.truncate(cells, overflow="ellipsis", pad=True)
    return part.plain


def _cut(text: Text | str, width: int, style: str = "") -> Text:
    line = Text(text, style) if isinstance(text, str) else text
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line
