"""Finds the test files of a suite, and makes the copy that holds what a filter leaves of them.

A suite is a directory of Test::Nginx files (`t/`) in the directory that they are run from, as `prove t/` is: the
project's own, or any other. Unit files (`t/unit/*_test.lua`) count when `t/unit/nginx.conf`, which runs them, is there.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from builder.base import textfile, within
from builder.base.errors import UsageError
from builder.run.testing import blocks

UNIT = "unit"
UNIT_CONF = "unit/nginx.conf"
_UNIT = "_test.lua"
_SERVROOT = "servroot"  # left by `prove` in the directory: no tests, but sockets and directories of other users


class TestFile(Struct, frozen=True, kw_only=True):
    """A file of a suite. name: its path from the suite's top, "t/config.t". count: blocks that it runs, 0 when unknown.

    left_out: blocks that a filter leaves out. text: the text to run in place of the file,
    when a filter leaves some out.
    """

    __test__ = False  # for pytest: no class of tests

    name: str
    count: int = 0
    left_out: int = 0
    text: str | None = None

    @property
    def is_unit(self) -> bool:
        return self.name.endswith(".lua")


class Suite(Struct, frozen=True, kw_only=True):
    """top: the directory that files are run from. folder: name of the one in it that holds
    them. whole: all of `top` is shown to the files, not that directory alone."""

    top: str
    folder: str
    whole: bool
    files: tuple[TestFile, ...]


def find(folder: str, paths: Sequence[str] = (), *, whole: bool) -> Suite:
    """The suite in a directory; of its files those at or below `paths`, if any are given.

    Raises:
        UsageError: there is no such directory or path, no test file, or one that cannot be read.
    """
    place = os.path.abspath(folder)
    if not os.path.isdir(place):
        raise UsageError(
            "there is no such directory of test files",
            where=folder,
            hint="name a directory with files *.t: --suite DIR",
        )
    top, name = os.path.split(place)
    found = sorted(_names(place, name))
    if paths:
        wanted = [_inside(path, place, top) for path in paths]
        found = [each for each in found if any(each == want or each.startswith(want + "/") for want in wanted)]
    if not found:
        raise UsageError(
            "there is no test file", where=", ".join(paths) or folder, hint="test files are *.t, and unit/*_test.lua"
        )
    return Suite(top=top, folder=name, whole=whole, files=tuple(_counted(top, each) for each in found))


def _names(place: str, name: str) -> Iterator[str]:
    for folder, folders, files in within.walk(place):
        folders[:] = [each for each in folders if not each.startswith((".", _SERVROOT))]
        below = os.path.relpath(folder, place)
        prefix = name if below == "." else f"{name}/{below}"
        yield from (f"{prefix}/{each}" for each in files if each.endswith(".t"))
        if below == UNIT and "nginx.conf" in files:
            yield from (f"{prefix}/{each}" for each in files if each.endswith(_UNIT))


def _inside(path: str, place: str, top: str) -> str:
    full = os.path.abspath(path)
    if not os.path.exists(full):
        raise UsageError("there is no such file or directory", where=path, hint=f"files of the suite are in {place}")
    if full != place and not full.startswith(place + os.sep):
        raise UsageError(f"it is not in {place}", where=path, hint="name another directory of test files with --suite")
    return os.path.relpath(full, top)


def _counted(top: str, name: str) -> TestFile:
    return TestFile(name=name, count=0 if name.endswith(".lua") else len(blocks.parse(_read(top, name)).blocks))


def _read(top: str, name: str) -> str:
    path = os.path.join(top, name)
    try:
        return textfile.read(path).decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=path, hint="test files are plain text files"
        ) from error


def filtered(suite: Suite, pattern: str) -> Suite:
    """The suite with the files whose name fits, and of other files the blocks alone whose title does.

    Raises:
        UsageError: the pattern is no regular expression, or nothing fits it.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        hint = r"a backslash makes a character stand for itself: \("
        raise UsageError(f"it is no regular expression: {error}", where=f"--filter {pattern}", hint=hint) from error
    files = tuple(_only(suite.top, suite.files, wanted))
    if not files:
        hint = "titles are the lines of the files that begin with ==="
        raise UsageError("no file's name and no block's title fits", where=f"--filter {pattern}", hint=hint)
    return replace(suite, files=files)


def _only(top: str, files: Iterable[TestFile], wanted: "re.Pattern[str]") -> Iterator[TestFile]:
    for each in files:
        if wanted.search(each.name):
            yield each
        elif not each.is_unit:
            whole = blocks.parse(_read(top, each.name))
            part = whole.only(wanted.search)
            if part.blocks:
                left_out = len(whole.blocks) - len(part.blocks)
                yield replace(each, count=len(part.blocks), left_out=left_out, text=part.text() if left_out else None)


def _is_left(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is not copied: the server root of an earlier run, or neither file, directory nor link."""
    return entry.name.startswith(_SERVROOT) or not (entry.is_symlink() or entry.is_file() or entry.is_dir())


def copy(suite: Suite, into: str) -> str:
    """A copy of the suite's directory in which filtered files hold what is left of them;
    its path. The copy is the directory itself when nothing was left out."""
    source = os.path.join(suite.top, suite.folder)
    changed = {each.name: each.text for each in suite.files if each.text is not None}
    if not changed:
        return source
    target = os.path.join(into, suite.folder)
    within.copy(source, target, skip=_is_left)
    for name, text in changed.items():
        path = os.path.join(into, name)
        os.unlink(path)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    return target
