"""What came of a test file, from its output: blocks, failures, trouble; and how that is told."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from builder.run.testing import blocks, junit, summary
from builder.run.testing.results import Ended, FileResult, result, without_debug

FINE = """\
# builder: block 1 at 0.100 TEST 1: hello
ok 1 - t/a.t TEST 1: hello - status code ok
ok 2 - t/a.t TEST 1: hello - response_body - response is expected
# builder: block 2 at 0.400 TEST 2: hello again
ok 3 - t/a.t TEST 2: hello again - status code ok # SKIP no HTTP/2
# builder: end at 1.000
1..3
"""
FAILED = """\
1..3
# builder: block 1 at 0.1 TEST 1: hello
ok 1 - t/a.t TEST 1: hello - status code ok
not ok 2 - t/a.t TEST 1: hello - response_body - response is expected
#   Failed test 't/a.t TEST 1: hello - response_body - response is expected'
#   at /usr/share/perl5/Test/Nginx/Socket.pm line 12.
#          got: "x"
#     expected: "y"
# builder: block 2 at 0.5 TEST 2: bye
ok 3 - t/a.t TEST 2: bye - status code ok
# builder: end at 0.9
# Looks like you failed 1 test of 3.
"""
LOG = """\
2026/11/23 09:43:22 [debug] 1#1: *1 HTTP/1.1 200 OK
Server: nginx
2026/11/23 09:43:22 [error] 1#1: *1 lua: boom
stack traceback:
\tin function 'f'
2026/11/23 09:43:22 [debug] 1#1: *1 http finalize
"""


def well(seconds: float = 1.0) -> Ended:
    return Ended(code=0, seconds=seconds)


def failed() -> FileResult:
    return result("t/a.t", FAILED, Ended(code=1, seconds=1.0), logs={1: LOG})


def test_checks_are_put_together_by_block() -> None:
    found = result("t/a.t", FINE, well())
    assert found.passed
    assert [(each.number, each.title, each.seconds, len(each.checks), each.skipped) for each in found.blocks] == [
        (1, "TEST 1: hello", 0.3, 2, ""), (2, "TEST 2: hello again", 0.6, 1, "no HTTP/2"),
    ]  # fmt: skip
    assert found.tail == ()


def test_a_failure_has_the_difference_and_the_log() -> None:
    found = failed()
    assert (found.passed, found.trouble) == (False, "")
    (failure,) = found.blocks[0].failures
    assert failure.what == "response_body - response is expected"
    assert failure.details == ('         got: "x"', '    expected: "y"')
    assert found.blocks[0].log == LOG
    assert found.blocks[1].passed


def test_a_check_that_comes_after_its_block_is_given_to_it() -> None:
    text = FINE.replace("ok 3 -", "not ok 3 - t/a.t TEST 1: hello - shutdown log\nok 4 -").replace("1..3", "1..4")
    found = result("t/a.t", text, Ended(code=1, seconds=1.0))
    assert [len(each.failures) for each in found.blocks] == [1, 0]
    assert found.blocks[0].failures[0].what == "shutdown log"


def test_a_title_that_begins_like_another_is_its_own() -> None:
    text = "# builder: block 1 at 0 T\n# builder: block 2 at 1 T more\nnot ok 1 - T more - x\n# builder: end at 2\n1..1\n"
    assert [len(each.failures) for each in result("t/a.t", text, Ended(code=1, seconds=2)).blocks] == [0, 1]


def test_a_file_without_marks_is_check_by_check() -> None:
    found = result("t/unit/a_test.lua", "1..2\nok 1\tA.one\nnot ok 2\tA.two\n#   expected: 1\n", Ended(code=1, seconds=0.1))
    assert [(each.title, each.passed) for each in found.blocks] == [("A.one", True), ("A.two", False)]
    assert found.blocks[1].failures[0].details == ("  expected: 1",)


@pytest.mark.parametrize(("text", "ended", "trouble"), [
    ("", well(), "it ran no test"),
    ("oops\n", Ended(code=2, seconds=1), "it died with exit code 2, after 0 checks"),
    ("1..3\nok 1\n", Ended(code=255, seconds=1), "it died with exit code 255, after 1 of 3 checks"),
    ("1..3\nok 1\n", well(), "it planned 3 checks and ran 1"),
    ("1..3\nnot ok 1\n", Ended(code=1, seconds=1), "it planned 3 checks and ran 1"),
    ("1..1\nok 1\n", Ended(code=255, seconds=1), "it died with exit code 255, after 1 checks"),
    ("ok 1\nBail out!  no server\n", Ended(code=255, seconds=1), "it gave up after 1 checks: no server"),
    ("1..0\nBail out!  no server\n", Ended(code=255, seconds=1), "it gave up after 0 checks: no server"),
    ("1..9\nok 1\n", Ended(code=137, seconds=120, killed="time", limit="120 s"),
     "it took longer than 120 s and was ended with all its processes, after 1 checks"),
])  # fmt: skip
def test_trouble(text: str, ended: Ended, trouble: str) -> None:
    found = result("t/a.t", text, ended)
    assert (found.trouble, found.passed, found.skipped) == (trouble, False, "")
    assert list(found.tail) == text.splitlines()


def test_the_block_at_work_is_named_when_a_file_breaks() -> None:
    text = FINE.replace("# builder: end at 1.000\n", "")
    found = result("t/a.t", text, Ended(code=137, seconds=9, killed="time", limit="9 s"))
    assert found.trouble == "it took longer than 9 s and was ended with all its processes, after 3 checks, in 'TEST 2: hello again'"
    assert [each.unfinished for each in found.blocks] == [False, True]
    assert found.blocks[1].seconds == 8.6
    assert not any("builder:" in line for line in found.tail)


def test_a_file_may_skip_itself() -> None:
    found = result("t/a.t", "1..0 # SKIP no stream\n", well())
    assert (found.passed, found.skipped) == (True, "no stream")


def test_debug_lines_are_left_out_with_what_belongs_to_them() -> None:
    assert without_debug(LOG) == ["2026/11/23 09:43:22 [error] 1#1: *1 lua: boom", "stack traceback:", "\tin function 'f'"]


# ---- what is told


def test_the_summary_shows_differences_and_totals() -> None:
    found = [result("t/b.t", FINE, well(), left_out=2), failed(), result("t/c.t", "1..0 # SKIP no stream\n", well())]
    assert summary.text(found, seconds=61, jobs=2, shown=lambda name: f"out/tests/{name}") == """\
t/a.t: TEST 1: hello
  not ok: response_body - response is expected
  |          got: "x"
  |     expected: "y"
  error log, whole in out/tests/t/a.t/1.log
  | 2026/11/23 09:43:22 [error] 1#1: *1 lua: boom
  | stack traceback:
  |  in function 'f'

skipped
  t/b.t: TEST 2: hello again: no HTTP/2
  t/c.t: no stream

failed
  t/a.t: TEST 1: hello

files   1 passed, 1 failed, 1 skipped
blocks  2 passed, 1 failed, 1 skipped, 2 left out
checks  4 passed, 1 failed, 1 skipped
time    1 min 01 s, 2 at a time"""


def test_long_texts_are_cut_and_cannot_steer_a_terminal() -> None:
    text = "# builder: block 1 at 0 T\x1b[2J\nnot ok 1 - T\x1b[2J - x\n" + "".join(f"# {n}\x1b]0;x\x07\n" for n in range(50)) + "1..1\n"
    log = "".join(f"line {n}\n" for n in range(60))
    shown = summary.text([result("t/a.t", text, Ended(code=1, seconds=1), logs={1: log})], seconds=1, jobs=1, shown=str)
    assert "\x1b" not in shown
    assert "  | 23\n  | (26 more lines of what it says)\n" in shown
    assert "  | (20 more lines of the log)\n  | line 20\n" in shown


def test_the_same_as_data() -> None:
    found = summary.data([failed()], seconds=1.23456)
    assert (found["passed"], found["seconds"]) == (False, 1.235)
    assert found["counts"]["blocks"] == {"passed": 1, "failed": 1, "skipped": 0, "left out": 0}
    (row,) = found["files"]
    assert row["blocks"][0]["failures"] == [
        {"what": "response_body - response is expected", "details": ['         got: "x"', '    expected: "y"']}
    ]
    assert row["blocks"][0]["log"] == "t/a.t/1.log"


# ---- JUnit


def test_junit_has_a_suite_a_file_and_a_case_a_block() -> None:
    broken = result("t/d.t", "oops \x00\x1b\n", Ended(code=2, seconds=1))
    top = ET.fromstring(junit.document([result("t/b.t", FINE, well()), failed(), broken]))
    assert top.attrib == {"tests": "5", "failures": "1", "errors": "1", "skipped": "1", "time": "3.000"}
    assert [each.get("name") for each in top] == ["t/b.t", "t/a.t", "t/d.t"]
    cases = {case.get("name"): case for case in top.iter("testcase")}
    assert list(cases) == ["TEST 1: hello", "TEST 2: hello again", "TEST 2: bye", "the file as a whole"]
    case = top[1][0]
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "response_body - response is expected"
    assert 'got: "x"' in (failure.text or "")
    assert "boom" in case.findtext("system-err", "")
    assert "debug" not in case.findtext("system-err", "")
    skipped = top[0][1].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "no HTTP/2"
    error = cases["the file as a whole"].find("error")
    assert error is not None
    assert error.get("message") == "it died with exit code 2, after 0 checks"
    assert error.text == "oops \ufffd\ufffd"


# ---- blocks of a file

TEXT = """\
use Test::Nginx::Socket;
# === no block
run_tests();
__DATA__

=== TEST 1: one
--- config



=== TEST 2: two ===
--- request
GET /
===  three
"""


def test_a_file_is_taken_apart_and_put_together() -> None:
    found = blocks.parse(TEXT)
    assert tuple(title for title, _ in found.blocks) == ("TEST 1: one", "TEST 2: two ===", "three")
    assert found.text() == TEXT


def test_a_part_of_a_file_keeps_its_program() -> None:
    part = blocks.parse(TEXT).only(lambda title: "two" in title)
    assert part.text() == TEXT[: TEXT.index("=== TEST 1")] + TEXT[TEXT.index("=== TEST 2") : TEXT.index("===  three")]


@pytest.mark.parametrize("text", ["", "ok(1);\n", "print '=== x';\n=== not data\n"])
def test_a_file_without_data_has_no_blocks(text: str) -> None:
    found = blocks.parse(text)
    assert (found.blocks, found.text()) == ((), text)


def test_titles_of_the_projects_own_files_are_found() -> None:
    for path in (Path(__file__).parents[2] / "t").rglob("*.t"):
        text = path.read_text()
        found = blocks.parse(text)
        assert found.text() == text
        assert len(found.blocks) == text.count("\n=== "), path
