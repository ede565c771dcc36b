"""Progress: texts, signs of life, and what hostile log lines, odd terminals and many threads cannot do."""

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import units
from builder.progress.choose import choose
from builder.progress.clean import clean
from builder.progress.plain import Lenient, PlainReporter
from builder.progress.reporter import NullReporter
from builder.progress.terminal import RichReporter


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.value = 100.0

    def __call__(self) -> float:
        return self.value


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    yield Terminal()


@pytest.mark.parametrize(("raw", "cleaned"), [
    ("plain", "plain"),
    ("", ""),
    ("  kept indent", "  kept indent"),
    ("tab\there", "tab here"),
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b[2J\x1b[Hscreen", "screen"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]0;title\x1b\\after", "after"),
    ("\x1b]8;;http://bad/\x07link\x1b]8;;\x07", "link"),
    ("\x1bP1$r0m\x1b\\dcs", "dcs"),
    ("before\x1b]52;c;never ended", "before"),
    ("\x9b31meight bit", "eight bit"),
    ("\x1b(0charset", "charset"),
    ("cut \x1b[", "cut"),
    ("bell\x07 null\x00.", "bell  null ."),
    ("10 %\r20 %\r30 %\r", "30 %"),
    ("right \u202eto left", "right  to left"),
    ("lone \ud800 surrogate", "lone   surrogate"),
    ("zlib — 日本", "zlib — 日本"),
    (b"bytes \xff\xfe", "bytes \ufffd\ufffd"),
])
def test_a_line_is_stripped_of_what_steers_a_terminal(raw: str | bytes, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.one_of(st.text(), st.binary()))
def test_a_clean_line_is_printable_and_stays_as_it_is(raw: str | bytes) -> None:
    once = clean(raw)
    assert once.isprintable()
    assert clean(once) == once


def test_plain_lines_for_a_build_that_works_and_one_that_fails(clock: Clock) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=clock) as report:
        report.say("2 to build\nas planned")
        with report.task("build", "openssl 3.5.7"):
            clock.value += 125
        with pytest.raises(ValueError, match="broken"), report.task("build", "nginx 1.26.3"):
            raise ValueError("broken")
        report.warn("one failed")
    assert stream.getvalue().splitlines() == [
        "2 to build",
        "as planned",
        "building openssl 3.5.7",
        "building openssl 3.5.7: done, 2 min 05 s",
        "building nginx 1.26.3",
        "building nginx 1.26.3: failed, 0.0 s",
        "warning: one failed",
    ]


def test_a_download_says_how_much(clock: Clock) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=clock) as report:
        task = report.task("fetch", "openssl-3.5.7.tar.gz", 53_153_930)
        task.advance(20_000_000)
        clock.value += 16
        report.beat()
        task.advance(33_153_930)
        task.done()
    assert stream.getvalue().splitlines()[1:] == [
        "fetching openssl-3.5.7.tar.gz: 16 s, 20.0 MB of 53.2 MB",
        "fetching openssl-3.5.7.tar.gz: done, 53.2 MB in 16 s",
    ]


def test_a_task_that_takes_long_gives_signs_of_life_with_its_last_line(clock: Clock) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=clock) as report:
        task = report.task("build", "openssl 3.5.7")
        for _ in range(3):
            clock.value += 14
            task.line(b"cc \x1b[1mcrypto/aes.c\n")
            task.line("   \n")
            report.beat()
        task.done()
    assert stream.getvalue().splitlines()[1:-1] == ["building openssl 3.5.7: 28 s, last line: cc crypto/aes.c"]


def test_signs_of_life_come_by_themselves() -> None:
    stream = io.StringIO()
    with PlainReporter(stream, heartbeat=0.01) as report, report.task("build", "slow"):
        limit = time.monotonic() + 5
        while "building slow: 0." not in stream.getvalue() and time.monotonic() < limit:
            time.sleep(0.01)
    assert "building slow: 0." in stream.getvalue()
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_no_thread_is_started_before_the_first_task() -> None:
    with PlainReporter(io.StringIO()) as report:
        report.say("nothing to do")
        assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_an_interrupted_task_says_so_and_the_first_status_stays(clock: Clock) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=clock) as report:
        with pytest.raises(KeyboardInterrupt), report.task("build", "a"):
            raise KeyboardInterrupt
        with report.task("fetch", "b") as task:
            task.done("cached")
            task.done("again")
    assert stream.getvalue().splitlines()[1::2] == ["building a: interrupted, 0.0 s", "fetching b: cached, 0.0 s"]


def test_names_and_texts_cannot_steer_a_terminal_either(clock: Clock) -> None:
    stream = io.StringIO()
    with PlainReporter(stream, now=clock) as report:
        report.say("see \x1b[2Jhere\nand \x1b]0;x\x07there")
        report.task("build", "evil\x1b[1A").done("odd\x1b[1A")
    assert stream.getvalue().splitlines() == ["see here", "and there", "building evil", "building evil: odd, 0.0 s"]


def test_a_stream_of_another_encoding_gets_question_marks(clock: Clock) -> None:
    raw = io.BytesIO()
    with PlainReporter(io.TextIOWrapper(raw, encoding="ascii", errors="strict"), now=clock) as report:
        report.say("zlib — 1.3")
        assert raw.getvalue() == b"zlib ? 1.3\n"


def test_a_reader_that_left_stops_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Gone(), closed):
        with PlainReporter(stream) as report, report.task("build", "a"):
            report.say("x")


def test_many_threads_keep_lines_whole() -> None:
    stream = io.StringIO()

    def work(number: int) -> None:
        with report.task("build", f"package-{number}") as task:
            task.line(f"line {number}")
            task.advance(1)

    with PlainReporter(stream) as report, ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(300)))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 600
    assert {line.split(":")[0] for line in lines} == {f"building package-{n}" for n in range(300)}


def test_null_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with NullReporter() as report, report.task("build", "a", 3) as task:
        report.say("x")
        report.warn("x")
        task.advance(1)
        task.line("x")
    assert capfd.readouterr() == ("", "")


def test_terminal_shows_rows_with_name_time_and_last_line(terminal: Terminal, clock: Clock) -> None:
    with RichReporter(terminal, now=clock, width=100) as report:
        build = report.task("build", "nginx 1.26.3")
        fetch = report.task("fetch", "openssl 3.5.7", 50_000_000)
        build.line("cc -c src/core/[bold]nginx.c")
        clock.value += 10
        fetch.advance(20_000_000)
        lines = [line.plain for line in report.__rich_console__(report._console, report._console.options)]  # type: ignore[union-attr]
    assert lines == [
        "fetching  openssl 3.5.7       10 s  [########............]  40% of 50.0 MB, 2.0 MB/s",
        "building  nginx 1.26.3        10 s  cc -c src/core/[bold]nginx.c",
        "2 running; 10 s",
    ]


def test_terminal_rows_never_pass_the_width(terminal: Terminal, clock: Clock) -> None:
    with RichReporter(terminal, now=clock, width=40) as report:
        report.task("build", "日本語" * 30).line("x" * 5000)
        rows = list(report.__rich_console__(report._console, report._console.options))
    assert [line.cell_len <= 40 for line in rows] == [True, True]  # type: ignore[union-attr]


def test_terminal_leaves_lines_for_long_and_failed_tasks_and_counts_the_rest(terminal: Terminal, clock: Clock) -> None:
    with RichReporter(terminal, now=clock, width=100) as report:
        for number in range(5):
            report.task("build", f"tiny-{number}").done()
        long = report.task("build", "slow")
        clock.value += 3
        long.done()
        report.task("fetch", "lost").done("failed")
        summary = report._summary([], 0, 100).plain
    shown = terminal.getvalue()
    assert summary == "0 running; done: 6 built; 3.0 s"
    assert "building slow: done, 3.0 s" in shown
    assert "fetching lost: failed, 0.0 s" in shown
    assert "tiny-1: done" not in shown


def test_terminal_is_free_for_others_when_nothing_runs(terminal: Terminal) -> None:
    with RichReporter(terminal, width=80) as report:
        with report.task("build", "a"):
            assert report._live is not None
            report._live.refresh()
            assert "1 running" in terminal.getvalue()
        assert report._live is None
        assert terminal.getvalue().endswith("\x1b[2K\x1b[?25h\r")  # the rows are gone, and the cursor is back
        report.task("build", "b")
        assert report._live is not None


def test_terminal_is_given_back_after_an_interrupt(terminal: Terminal) -> None:
    with pytest.raises(KeyboardInterrupt), RichReporter(terminal, width=80) as report, report.task("build", "a"):
        assert "\x1b[?25l" in terminal.getvalue()
        raise KeyboardInterrupt
    assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")
    assert "building a: interrupted" in terminal.getvalue()


def test_terminal_draws_while_many_threads_report(terminal: Terminal) -> None:
    def work(number: int) -> None:
        with report.task("build", f"package-{number}") as task:
            task.line(f"line {number}")
            if number % 10 == 0:
                report.say(f"said {number}")

    with RichReporter(terminal, width=80) as report:
        live_drawn = threading.Event()

        def draw() -> None:
            while not live_drawn.is_set():
                if report._live is not None:
                    report._live.refresh()

        drawer = threading.Thread(target=draw)
        drawer.start()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(100)))
        live_drawn.set()
        drawer.join(timeout=10)
        assert not drawer.is_alive()
    assert all(f"said {number}" in terminal.getvalue() for number in range(0, 100, 10))


def test_terminal_of_another_encoding_and_a_closed_one() -> None:
    odd = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    closed = io.StringIO()
    closed.close()
    for stream in (odd, closed, Gone()):
        with RichReporter(stream, width=30) as report, report.task("build", "日本語"):
            report.say("日本語")


def test_make_picks_by_the_stream(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(None), NullReporter)
    assert isinstance(choose(io.StringIO()), PlainReporter)
    assert isinstance(choose(terminal), RichReporter)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose(terminal), PlainReporter)


def test_importing_the_reporter_imports_no_rich() -> None:
    code = "import builder.progress.choose, io, sys; builder.progress.choose.choose(io.StringIO()); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_nothing_goes_to_stdout(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for report in (PlainReporter(sys.stderr), RichReporter(sys.stderr, width=80)):
        with report, report.task("build", "a"):
            report.say("text")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("text") == 2


def test_lenient_counts_what_it_was_given() -> None:
    assert Lenient(Gone()).write("four") == 4


@pytest.mark.parametrize(("seconds", "text"), [
    (-1, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"),
    (125, "2 min 05 s"), (3599.7, "1 h 00 min"), (3725, "1 h 02 min"),
])
def test_elapsed(seconds: float, text: str) -> None:
    assert units.elapsed(seconds) == text


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (999, "999 B"), (14_200, "14.2 kB"), (999_960, "1.0 MB"), (53_153_930, "53.2 MB"),
    (1.3e9, "1.3 GB"), (2.5e12, "2.5 TB"),
])
def test_size(count: float, text: str) -> None:
    assert units.size(count) == text


def test_counted() -> None:
    assert [units.counted(n, "finding") for n in (0, 1, 2)] == ["0 findings", "1 finding", "2 findings"]
