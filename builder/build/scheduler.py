"""Runs tasks in dependency order on a few threads. It knows neither packages nor builds.

The order is kept by `graphlib` of the standard library, which gives the names that are ready one by one.
"""

import heapq
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter

from msgspec import Struct, field

Work = Callable[[], None]


class Result(Struct):
    """The fate of the tasks. failed: in the order of their failure; skipped: those that needed a
    failed one, or whose turn did not come any more."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, BaseException] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def run(
    needs: Mapping[str, Iterable[str]],
    prepare: Callable[[str], Work | None],
    *,
    jobs: int,
    priority: Mapping[str, float],
    keep_going: bool = False,
    cancel: threading.Event | None = None,
) -> Result:
    """Run every task of `needs` (task -> tasks that come before it), at most `jobs` at a time.

    `prepare` is called in this thread when a task's turn has come; it returns the work for a worker thread, or None
    when there is nothing to do. Among ready tasks the one with the highest priority goes first, then by name. On the
    first failure no more are started, unless `keep_going`: then all that does not need a failed one still runs. An
    exception in this thread (an interrupt too) sets `cancel` and waits for the workers.
    """
    chosen = _Run(
        needs=needs, prepare=prepare, jobs=jobs, priority=priority, keep_going=keep_going,
        cancel=cancel or threading.Event(),
    )
    return chosen.loop()


class _Run:
    def __init__(
        self,
        *,
        needs: Mapping[str, Iterable[str]],
        prepare: Callable[[str], Work | None],
        jobs: int,
        priority: Mapping[str, float],
        keep_going: bool,
        cancel: threading.Event,
    ) -> None:
        self.needs = {name: tuple(each) for name, each in needs.items()}
        self.prepare = prepare
        self.jobs = jobs
        self.priority = priority
        self.keep_going = keep_going
        self.cancel = cancel
        self.sorter = TopologicalSorter(self.needs)
        self.ready: list[tuple[float, str]] = []
        self.workers: list[threading.Thread] = []
        self.todo: queue.SimpleQueue[tuple[str, Work] | None] = queue.SimpleQueue()
        self.finished: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        self.bad: set[str] = set()
        self.result = Result()
        self.running = 0

    def loop(self) -> Result:
        self.sorter.prepare()
        try:
            self.take()
            while self.ready or self.running:
                while self.ready and self.running < self.jobs and not self.stopping:
                    self.start(heapq.heappop(self.ready)[1])
                if self.running:
                    self.finish(*self.finished.get())
                elif self.stopping:
                    break
        except BaseException:
            self.cancel.set()
            raise
        finally:
            for _ in self.workers:
                self.todo.put(None)
            for worker in self.workers:
                worker.join()
        settled = {*self.result.done, *self.result.failed}
        self.result.skipped = sorted(set(self.needs) - settled)
        return self.result

    @property
    def stopping(self) -> bool:
        return bool(self.result.failed) and not self.keep_going

    def take(self) -> None:
        """Move the tasks that the sorter found ready into the heap."""
        for name in self.sorter.get_ready():
            heapq.heappush(self.ready, (-self.priority.get(name, 0), name))

    def start(self, name: str) -> None:
        if self.bad.intersection(self.needs.get(name, ())):
            self.bad.add(name)
            self.settle(name)
            return
        try:
            work = self.prepare(name)
        except Exception as error:
            self.fail(name, error)
            self.settle(name)
            return
        if work is None:
            self.result.done.append(name)
            self.settle(name)
            return
        self.running += 1
        self.todo.put((name, work))
        if len(self.workers) < self.running:
            self.add_worker()

    def add_worker(self) -> None:
        """Start one more thread; where the machine gives none, those that there are do the work."""
        thread = threading.Thread(target=self.work, name=f"build-{len(self.workers)}")
        try:
            thread.start()
        except RuntimeError:
            if not self.workers:
                raise
        else:
            self.workers.append(thread)

    def work(self) -> None:
        """One thread: takes work until it is told that there is none any more."""
        while (given := self.todo.get()) is not None:
            name, work = given
            try:
                work()
            except BaseException as error:  # an interrupt inside a worker must not lose the task
                self.finished.put((name, error))
            else:
                self.finished.put((name, None))

    def finish(self, name: str, error: BaseException | None) -> None:
        self.running -= 1
        if error is None:
            self.result.done.append(name)
        else:
            self.fail(name, error)
        self.settle(name)

    def fail(self, name: str, error: BaseException) -> None:
        self.result.failed[name] = error
        self.bad.add(name)

    def settle(self, name: str) -> None:
        self.sorter.done(name)
        self.take()
