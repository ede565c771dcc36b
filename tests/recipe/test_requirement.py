"""Requirements: their grammar, which versions they admit, and that text and value are two spellings of one thing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.recipe import requirement
from builder.recipe.requirement import Requirement


def test_a_name_alone_admits_every_version() -> None:
    assert requirement.parse("zlib") == Requirement("zlib")
    assert requirement.parse("zlib").admits("1.3.1")


def test_an_exact_version_admits_only_itself() -> None:
    want = requirement.parse("zlib 1.3.1")
    assert [each for each in ("1.3.1", "1.3.10", "1.3", "11.3.1") if want.admits(each)] == ["1.3.1"]


def test_a_star_stands_for_any_text() -> None:
    want = requirement.parse("openssl 3.5.*")
    assert [each for each in ("3.5.7", "3.5.", "3.5", "3.50.1", "13.5.7") if want.admits(each)] == ["3.5.7", "3.5."]


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    assert not requirement.parse("openssl 3.5.*").admits("3x5x7")


def test_alternatives_admit_what_one_of_them_admits() -> None:
    want = requirement.parse("openssl 3.5.* | 3.0.20")
    assert want == Requirement("openssl", (), ("3.5.*", "3.0.20"))
    assert [each for each in ("3.5.7", "3.0.20", "3.0.19") if want.admits(each)] == ["3.5.7", "3.0.20"]


def test_what_is_refused_wins() -> None:
    want = requirement.parse("openssl 1.1.1* !1.1.1l !1.1.1n")
    assert [each for each in ("1.1.1w", "1.1.1l", "1.1.1n", "3.0.20") if want.admits(each)] == ["1.1.1w"]
    assert requirement.parse("openssl !1.1.1*").admits("3.5.7")


def test_features_are_sorted_and_each_there_once() -> None:
    assert requirement.parse("nginx[lua-var,debug,lua-var] 1.26.3") == Requirement("nginx", ("debug", "lua-var"), ("1.26.3",))


@pytest.mark.parametrize(("text", "message"), [
    ("", "'' is not a requirement"),
    ("OpenSSL", "'OpenSSL' is not a requirement"),
    ("nginx[", "'nginx[' is not a requirement"),
    ("nginx[]", "'nginx[]' is not a requirement"),
    ("nginx[a,]", "'nginx[a,]' is not a requirement"),
    ("zlib >=1.2", "'>=1.2' in 'zlib >=1.2' is not a version or a pattern"),
    ("zlib !", "'' in 'zlib !' is not a version or a pattern"),
    ("zlib |", "'' in 'zlib |' is not a version or a pattern"),
    ("zlib 1 |", "'' in 'zlib 1 |' is not a version or a pattern"),
    ("zlib 1 2", "'1 2' in 'zlib 1 2' is not a version or a pattern"),
    ("zlib 1 | | 2", "'' in 'zlib 1 | | 2' is not a version or a pattern"),
    ("zlib !1 2", "'1 2' in 'zlib !1 2' is not a version or a pattern"),
    ("zlib !1 | 2", "'1 | 2' in 'zlib !1 | 2' is not a version or a pattern"),
])
def test_what_is_no_requirement_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message) + r"\Z"):
        requirement.parse(text)
    assert requirement.problem(text) == message


def test_a_good_requirement_is_no_problem() -> None:
    assert requirement.problem("openssl 3.5.* | 3.0.20 !3.5.1") == ""


_names = st.from_regex(requirement.NAME, fullmatch=True)
_patterns = st.from_regex(r"[A-Za-z0-9*][A-Za-z0-9._+~:*-]{0,6}", fullmatch=True)
_wants = st.builds(
    Requirement, _names, st.lists(_names, max_size=2, unique=True).map(lambda each: tuple(sorted(each))),
    st.lists(_patterns, max_size=3).map(tuple), st.lists(_patterns, max_size=2).map(tuple),
)


@given(_wants)
def test_text_and_value_are_two_spellings_of_one_thing(want: Requirement) -> None:
    assert requirement.parse(str(want)) == want


@given(st.text("ab.*", max_size=6), st.text("ab.", max_size=8))
def test_a_pattern_matches_what_a_plain_reading_of_it_matches(pattern: str, version: str) -> None:
    def plain(pattern: str, version: str) -> bool:
        if not pattern:
            return not version
        if pattern[0] == "*":
            return any(plain(pattern[1:], version[i:]) for i in range(len(version) + 1))
        return bool(version) and pattern[0] == version[0] and plain(pattern[1:], version[1:])

    assert requirement.matches(pattern, version) == plain(pattern, version)
