"""Globs over tree paths, against a matcher so simple that it is plainly right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import globs

PATHS = st.text("ab./", max_size=8)
GLOBS = st.lists(st.sampled_from(["a", "b", ".", "/", "*", "?", "**", "**/"]), max_size=6).map("".join)


def naive(path: str, glob: str) -> bool:
    """Try everything that the first piece of the glob may stand for."""
    if not glob:
        return not path
    if glob.startswith("**/"):
        return naive(path, glob[3:]) or any(naive(path[i + 1 :], glob[3:]) for i, each in enumerate(path) if each == "/")
    if glob.startswith("**"):
        return any(naive(path[i:], glob[2:]) for i in range(len(path) + 1))
    if glob.startswith("*"):
        name = path.partition("/")[0]
        return any(naive(path[i:], glob[1:]) for i in range(len(name) + 1))
    same = bool(path) and (path[0] != "/" if glob[0] == "?" else path[0] == glob[0])
    return same and naive(path[1:], glob[1:])


@given(PATHS, GLOBS)
def test_against_the_naive_matcher(path: str, glob: str) -> None:
    assert globs.matches(path, [glob]) == naive(path, glob)


@given(PATHS, st.lists(GLOBS, max_size=3))
def test_any_of_several(path: str, patterns: list[str]) -> None:
    assert globs.matches(path, patterns) == any(naive(path, each) for each in patterns)


@given(st.text(max_size=10))
def test_other_characters_stand_for_themselves(path: str) -> None:
    glob = "".join(each for each in path if each not in "*?")
    assert globs.matches(glob, [glob])
    assert not globs.matches(glob + "x", [glob])


@pytest.mark.parametrize(("glob", "path", "expected"), [
    ("usr/lib/*.a", "usr/lib/libz.a", True),
    ("usr/lib/*.a", "usr/lib/deep/libz.a", False),
    ("usr/lib/*.a", "usr/lib/libz.a.old", False),
    ("**/*.a", "libz.a", True),
    ("**/*.a", "usr/lib/libz.a", True),
    ("**/include/**", "include/zlib.h", True),
    ("**/include/**", "usr/include/sys/types.h", True),
    ("**/include/**", "usr/include", False),
    ("**/include/**", "usr/myinclude/x.h", False),
    ("**/man/**", "usr/share/man/man1/a.1", True),
    ("usr/src/**", "usr/src/a/b", True),
    ("usr/src/**", "usr/src", False),
    ("usr/src/**", "other/usr/src/a", False),
    ("lib?.so", "libz.so", True),
    ("lib?.so", "lib/.so", False),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a+(b)[c].{d}", "a+(b)[c].{d}", True),
    ("[ab]", "a", False),
    ("*", "line\nbreak", True),
    ("**", "a/line\nbreak", True),
    ("a", "a\n", False),
    ("**", "", True),
])
def test_examples(glob: str, path: str, expected: bool) -> None:
    assert globs.matches(path, [glob]) is expected
    assert naive(path, glob) is expected


def test_no_globs_match_nothing() -> None:
    assert not globs.matches("", [])
    assert not globs.matches("a", ())
