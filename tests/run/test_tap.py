"""The Test Anything Protocol, as its versions 12, 13 and 14 write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.run.testing.tap import Check, Comment, Other, check_of, parse


def lines(*texts: str) -> str:
    return "".join(f"{each}\n" for each in texts)


@pytest.mark.parametrize(("line", "check"), [
    ("ok", Check(number=None, passed=True, description="")),
    ("not ok", Check(number=None, passed=False, description="")),
    ("ok 3", Check(number=3, passed=True, description="")),
    ("ok 3 - it works", Check(number=3, passed=True, description="it works")),
    ("not ok 12 - it does not", Check(number=12, passed=False, description="it does not")),
    ("ok 3 without a dash", Check(number=3, passed=True, description="without a dash")),
    ("ok - no number", Check(number=None, passed=True, description="no number")),
    ("ok     1\tTestAddress.test_ipv4", Check(number=1, passed=True, description="TestAddress.test_ipv4")),  # luaunit's form
    ("ok 4 - 5 - five", Check(number=4, passed=True, description="5 - five")),
    ("ok 1 - a \\# that is none # SKIP no network", Check(
        number=1, passed=True, description="a # that is none", directive="skip", reason="no network")),
    ("ok 1 # skip no Lua", Check(number=1, passed=True, description="", directive="skip", reason="no Lua")),
    ("not ok 2 - later # TODO not written", Check(number=2, passed=True, description="later", directive="todo", reason="not written")),
    ("ok 2 - #1 of them", Check(number=2, passed=True, description="#1 of them")),
    ("ok 2 - a \\\\ backslash", Check(number=2, passed=True, description="a \\ backslash")),
])  # fmt: skip
def test_checks(line: str, check: Check) -> None:
    assert check_of(line) == check


@pytest.mark.parametrize("line", ["okay", "ok-ish", "not okay", " ok 1 - indented", "nok 1", "Ok 1", "1..3", "# ok 1"])
def test_what_is_no_check(line: str) -> None:
    assert check_of(line) is None


@pytest.mark.parametrize("text", [
    lines("1..2", "ok 1 - a", "ok 2 - b"),
    lines("ok 1 - a", "ok 2 - b", "1..2"),
    lines("TAP version 13", "1..2", "ok 1 - a", "ok 2 - b"),
    lines("TAP version 14", "pragma +strict", "1..2", "ok - a", "ok - b"),
])  # fmt: skip
def test_whole_outputs(text: str) -> None:
    output = parse(text)
    assert [each.description for each in output.checks] == ["a", "b"]
    assert (output.plan, output.problems, output.bail, output.skipped) == (2, (), None, None)
    assert all(each.passed for each in output.checks)


@pytest.mark.parametrize(("text", "problems"), [
    ("", ("it ran no test",)),
    (lines("nothing of it"), ("it ran no test",)),
    (lines("ok 1", "ok 2"), ("it ended without a plan",)),
    (lines("1..3", "ok 1"), ("it planned 3 checks and ran 1",)),
    (lines("1..1", "ok 1", "ok 2"), ("it planned 1 checks and ran 2",)),
    (lines("1..2", "ok 1", "ok 3"), ("check 3 came where 2 was due",)),
    (lines("1..1", "ok 1", "1..1"), ("it gave more than one plan",)),
    (lines("ok 1", "1..2", "ok 2"), ("its plan stands between checks",)),
])  # fmt: skip
def test_broken_outputs(text: str, problems: tuple[str, ...]) -> None:
    assert parse(text).problems == problems


@pytest.mark.parametrize(("line", "reason"), [
    ("1..0 # SKIP no perl", "no perl"), ("1..0 # skipped: no perl", "no perl"), ("1..0", "it gave no reason"),
])  # fmt: skip
def test_a_plan_of_nothing_says_why(line: str, reason: str) -> None:
    output = parse(line)
    assert (output.plan, output.skipped, output.problems) == (0, reason, ())


def test_a_program_that_gives_up() -> None:
    output = parse(lines("1..5", "ok 1", "Bail out!  the server does not start"))
    assert (output.bail, output.problems) == ("the server does not start", ())


def test_everything_else_is_kept_in_order() -> None:
    output = parse(lines(
        "# Subtest: inner", "    ok 1 - inside", "    1..1", "ok 1 - inner", "  ---", "  got: ok 2 - not a check", "  ...",
        "nginx: [emerg] no", "#no space", "1..1",
    ))  # fmt: skip
    assert output.items == (
        Comment("Subtest: inner"), Other("    ok 1 - inside"), Other("    1..1"), Check(number=1, passed=True, description="inner"),
        Other("  ---"), Other("  got: ok 2 - not a check"), Other("  ..."), Other("nginx: [emerg] no"), Comment("no space"),
    )  # fmt: skip
    assert output.problems == ()


@given(st.lists(st.sampled_from(["ok 1", "not ok", "1..2", "# x", "  ---", "  ...", "Bail out!", "text", "TAP version 14", ""])))
def test_no_output_is_an_error(texts: list[str]) -> None:
    output = parse(lines(*texts))
    details = [each for each in output.items if isinstance(each, Other)]
    assert len(output.checks) + len(details) <= len(texts)


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    parse(text)
