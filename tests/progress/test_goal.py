"""How far a run is, how much time is left, and what failed before."""

import io
import os
import threading
import time
from pathlib import Path

from builder.build import failures
from builder.build.log import Log
from builder.fetch.part import Part
from builder.progress.choose import choose
from builder.progress.goal import Goal
from builder.progress.plain import PlainReporter, QuietReporter
from builder.progress.terminal import RichReporter


def test_time_left_is_shared_by_the_jobs_and_at_least_that_of_the_longest() -> None:
    goal = Goal({"a": 100.0, "b": 60.0, "c": 40.0}, jobs=2)
    assert goal.time_left({}) == "about 1 min 40 s left"
    assert goal.time_left({"a": 90.0}) == "about 1 min 00 s left"
    goal.end("b")
    goal.end("a")
    assert (goal.ended, goal.total, goal.time_left({"c": 10.0})) == (2, 3, "about 30 s left")
    assert goal.time_left({"c": 400.0}) == "", "it takes longer than before: nothing is known"


def test_what_was_never_built_makes_the_time_a_lower_bound() -> None:
    assert Goal({"a": 100.0, "b": None}).time_left({}) == "at least 1 min 40 s left"
    assert Goal({"a": None}).time_left({}) == ""
    assert Goal({}).time_left({}) == ""


def test_what_need_not_be_done_is_not_counted() -> None:
    goal = Goal({"a": 100.0, "b": 10.0})
    goal.skip("a")
    goal.skip("never expected")
    goal.begin("b")
    assert (goal.begun, goal.total, goal.time_left({})) == (1, 1, "about 10 s left")


def test_plain_lines_say_which_of_all_it_is() -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=lambda: 0.0) as report:
        report.expect("build", {"zlib 1": 60.0, "nginx 1": 90.0, "spared 1": 1.0})
        report.skip("build", "spared 1")
        report.task("build", "zlib 1").done()
        report.task("build", "nginx 1").done()
        report.task("build", "unexpected 1").done()
    assert stream.getvalue().splitlines()[0::2] == [
        "building zlib 1 (1 of 2, about 2 min 30 s left)", "building nginx 1 (2 of 2, about 1 min 30 s left)",
        "building unexpected 1 (2 of 2)",
    ]


def test_a_single_thing_is_not_counted() -> None:
    stream = io.StringIO()
    with PlainReporter(stream) as report:
        report.expect("build", {"zlib 1": 60.0})
        report.task("build", "zlib 1")
    assert stream.getvalue() == "building zlib 1\n"


def test_the_terminals_summary_counts_and_tells_the_time_left() -> None:
    report = RichReporter(io.StringIO(), now=lambda: 0.0, width=100)
    report.expect("build", {"zlib 1": 60.0, "nginx 1": 90.0}, jobs=2)
    report.task("build", "zlib 1").done()
    with report.task("build", "nginx 1") as task, report.task("unpack", "nginx 1", brief=True):
        assert report._summary([task], 0, 100).plain == "1 running; done: 1 of 2 built, about 1 min 30 s left; 0.0 s"
    report.close()


def test_brief_tasks_leave_no_lines_but_signs_of_life() -> None:
    stream = io.StringIO()
    clock = [0.0]
    with PlainReporter(stream, now=lambda: clock[0]) as report, report.task("unpack", "zlib 1", brief=True):
        assert stream.getvalue() == ""
        clock[0] = 20.0
        report.beat()
    assert stream.getvalue() == "unpacking zlib 1: 20 s\n"


def test_quiet_says_warnings_alone() -> None:
    stream = io.StringIO()
    with choose(stream, quiet=True) as report, report.task("build", "a") as task:
        assert isinstance(report, QuietReporter)
        report.say("note")
        task.line("log line")
        report.warn("odd \x1b[2J")
    assert stream.getvalue() == "warning: odd\n"


def test_verbose_shows_every_line_of_a_log(tmp_path: Path) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, verbose=True) as report:
        task = report.task("build", "zlib 1")
        with Log(str(tmp_path / "log"), task, every=True) as log:
            os.write(log.fd, b"cc a.c\ncc \x1b[1mb.c\nwithout an en")
            log.look()
            limit = time.monotonic() + 20
            while "b.c" not in stream.getvalue() and time.monotonic() < limit:
                time.sleep(0.01)
            os.write(log.fd, b"d\n" + b"x\n" * 500)
    lines = stream.getvalue().splitlines()
    assert lines[:5] == ["building zlib 1", "zlib 1> cc a.c", "zlib 1> cc b.c", "zlib 1> without an end", "zlib 1> x"]
    assert len(lines) == 504


def test_a_failure_is_remembered_until_a_success(tmp_path: Path) -> None:
    log = str(tmp_path / "key.log")
    assert failures.last(log) == ""
    failures.note(log)
    written = os.stat(tmp_path / "key.failed").st_mtime
    assert failures.last(log, written + 725) == "failed 12 min 05 s ago"
    assert failures.last(log, written - 60) == "failed 0.0 s ago", "a clock that was set back"
    failures.forget(log)
    failures.forget(log)
    assert (failures.last(log), os.listdir(tmp_path)) == ("", [])


def test_a_download_of_another_program_counts_once(tmp_path: Path) -> None:
    counted: list[int] = []
    with Part(str(tmp_path / "part"), limit=1000, cancel=threading.Event(), progress=counted.append) as part:
        for size in (0, 40, 40, 70):
            part.announce(size)
        assert sum(counted) == 70
        part.write(b"x" * 60)
        assert sum(counted) == 70
        part.write(b"x" * 40)
        assert sum(counted) == 100
        part.restart()
        assert sum(counted) == 0
        part.announce(50)
    assert sum(counted) == 0, "what did not come is taken back"
