"""The scheduler: order, parallelism, failures and interrupts, on graphs of any shape."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from graphlib import CycleError
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from builder.base.errors import BuildError
from builder.build import scheduler
from builder.build.build import _raise_failures
from builder.build.scheduler import Result, Work

Needs = Mapping[str, tuple[str, ...]]
NO_PRIORITY: Mapping[str, float] = {}


class Broken(Exception):  # noqa: N818 - what a test's task fails with
    pass


class Tasks(Struct):
    """Counts what runs. kinds: task -> "ok" (default), "fail" (its work), "refuse" (its preparation), "none" (no work)."""

    needs: Needs
    kinds: Mapping[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    most: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, name: str) -> Work | None:
        assert threading.current_thread() is threading.main_thread()
        with self._lock:
            self.started.append(name)
            if not set(self.needs[name]) <= set(self.ended):
                self.early.append(name)
        kind = self.kinds.get(name, "ok")
        if kind == "refuse":
            raise Broken(name)
        if kind == "none":
            self.ended.append(name)
            return None
        return lambda: self.work(name, kind)

    def work(self, name: str, kind: str) -> None:
        assert threading.current_thread() is not threading.main_thread()
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        time.sleep(0.0002)
        with self._lock:
            self._running -= 1
            if kind == "ok":
                self.ended.append(name)
        if kind == "fail":
            raise Broken(name)

    def run(self, jobs: int = 2, keep_going: bool = False, priority: Mapping[str, float] = NO_PRIORITY) -> Result:
        return scheduler.run(self.needs, self.prepare, jobs=jobs, priority=priority, keep_going=keep_going)


def below(needs: Needs, wanted: set[str]) -> set[str]:
    """All tasks that need one of `wanted`, directly or not, written as simply as can be."""
    found = set(wanted)
    for _ in needs:
        found |= {name for name in needs if found & set(needs[name])}
    return {name for name in needs if found & set(needs[name])}


@st.composite
def graphs(draw: st.DrawFn) -> Needs:
    """Tasks "0", "1", ... each of which needs some with smaller numbers, in an order of their own."""
    count = draw(st.integers(0, 9))
    needs = {str(i): tuple(map(str, draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else () for i in range(count)}
    return {name: needs[name] for name in draw(st.permutations(sorted(needs)))}


@st.composite
def broken_graphs(draw: st.DrawFn) -> tuple[Needs, Mapping[str, str]]:
    needs = draw(graphs())
    kinds = st.sampled_from(["ok", "ok", "ok", "none", "fail", "refuse"])
    return needs, {name: draw(kinds) for name in needs}


@settings(max_examples=80)
@given(needs=graphs(), jobs=st.integers(1, 4))
def test_everything_runs_once_in_order(needs: Needs, jobs: int) -> None:
    tasks = Tasks(needs)
    result = tasks.run(jobs)
    assert sorted(tasks.started) == sorted(result.done) == sorted(needs)
    assert (tasks.early, result.failed, result.skipped) == ([], {}, [])
    assert tasks.most <= jobs
    assert bool(tasks.most) == bool(needs)


@settings(max_examples=80)
@given(graph=broken_graphs(), jobs=st.integers(1, 4))
def test_keep_going_runs_exactly_what_needs_no_failure(graph: tuple[Needs, Mapping[str, str]], jobs: int) -> None:
    needs, kinds = graph
    tasks = Tasks(needs, kinds)
    result = tasks.run(jobs, keep_going=True)
    bad = {name for name in needs if kinds[name] in ("fail", "refuse")}
    skipped = below(needs, bad)
    assert result.skipped == sorted(skipped)
    assert set(result.failed) == bad - skipped
    assert sorted(result.done) == sorted(set(needs) - bad - skipped)
    assert sorted(tasks.started) == sorted(set(needs) - skipped)
    assert all(str(error) == name for name, error in result.failed.items())
    assert tasks.early == []


@settings(max_examples=80)
@given(graph=broken_graphs(), jobs=st.integers(1, 4))
def test_without_it_nothing_starts_after_a_failure(graph: tuple[Needs, Mapping[str, str]], jobs: int) -> None:
    needs, kinds = graph
    tasks = Tasks(needs, kinds)
    result = tasks.run(jobs)
    assert {*result.done, *result.failed, *result.skipped} == set(needs)
    assert len(result.done) + len(result.failed) + len(result.skipped) == len(needs)
    assert sorted(tasks.started) == sorted({*result.done, *result.failed})
    assert bool(result.failed) == bool({"fail", "refuse"} & set(kinds.values()))
    assert len(result.failed) <= jobs  # only what ran already can fail too
    assert tasks.early == []


def test_one_at_a_time_it_goes_by_priority_then_by_name() -> None:
    tasks = Tasks(dict.fromkeys("dcba", ()))
    tasks.run(1, priority={"c": 5.0, "d": 1.0})
    assert tasks.started == ["c", "d", "a", "b"]


def test_what_becomes_ready_is_put_in_by_its_priority() -> None:
    tasks = Tasks({"root": (), "slow": ("root",), "a": (), "b": ()})
    tasks.run(1, priority={"root": 9.0, "slow": 8.0})
    assert tasks.started == ["root", "slow", "a", "b"]


def test_jobs_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def meet() -> None:
        meeting.wait()

    result = scheduler.run(dict.fromkeys("abc", ()), lambda _: meet, jobs=3, priority={})
    assert sorted(result.done) == ["a", "b", "c"]


def test_failures_stand_in_the_order_in_which_they_happened() -> None:
    order = {name: threading.Event() for name in "abc"}

    def prepare(name: str) -> Work:
        def work() -> None:
            before = {"a": "b", "b": "c"}.get(name)
            assert before is None or order[before].wait(10)
            try:
                raise Broken(name)
            finally:
                threading.Timer(0.05, order[name].set).start()

        return work

    result = scheduler.run(dict.fromkeys("abc", ()), prepare, jobs=3, priority={})
    assert list(result.failed) == ["c", "b", "a"]


def test_the_error_is_the_one_that_was_raised() -> None:
    error = Broken("it")

    def fail() -> None:
        raise error

    result = scheduler.run({"a": ()}, lambda _: fail, jobs=1, priority={})
    assert result.failed["a"] is error


def test_an_interrupt_inside_a_worker_is_a_failure_of_its_task() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    result = scheduler.run({"a": (), "b": ("a",)}, lambda _: interrupted, jobs=1, priority={})
    assert isinstance(result.failed["a"], KeyboardInterrupt)
    assert result.skipped == ["b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_cancels_the_workers_and_waits_for_them(error: type[BaseException]) -> None:
    cancel = threading.Event()
    left: list[str] = []

    def prepare(name: str) -> Work:
        if name == "b":
            raise error

        def work() -> None:
            assert cancel.wait(10)
            left.append(name)

        return work

    with pytest.raises(error):
        scheduler.run({"a": (), "b": (), "c": ("a",)}, prepare, jobs=2, priority={}, cancel=cancel)
    assert left == ["a"]


def test_an_interrupt_while_waiting_cancels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = threading.Event()

    class Interrupted:
        def put(self, _: object) -> None:
            pass

        def get(self) -> object:
            raise KeyboardInterrupt

    queues = iter((queue.SimpleQueue[object](), Interrupted()))  # of what is to do, and of what has ended
    monkeypatch.setattr(scheduler, "queue", SimpleNamespace(SimpleQueue=lambda: next(queues)))
    ended: list[bool] = []
    work: Callable[[], None] = lambda: ended.append(cancel.wait(10))  # noqa: E731 - the shortest way to say it
    with pytest.raises(KeyboardInterrupt):
        scheduler.run({"a": ()}, lambda _: work, jobs=1, priority={}, cancel=cancel)
    assert ended == [True]


def test_a_cycle_is_refused_before_anything_runs() -> None:
    tasks = Tasks({"a": ("b",), "b": ("a",), "c": ()})
    with pytest.raises(CycleError):
        tasks.run()
    assert tasks.started == []


def test_a_long_chain_of_nothing_to_do() -> None:
    """Deeper than Python's stack."""
    count = 3000
    needs = {str(i): (str(i - 1),) if i else () for i in range(count)}
    result = scheduler.run(needs, lambda _: None, jobs=1, priority={})
    assert result.done == [str(i) for i in range(count)]


def test_of_many_packages_that_were_not_built_ten_are_named() -> None:
    result = Result(failed={"a 1": BuildError("it broke", where="a 1")}, skipped=[f"b{number} 1" for number in range(12)])
    with pytest.raises(BuildError, match=r"not built because of that: b0 1, .*b9 1 and 2 more$"):
        _raise_failures(result)
