"""The Test Anything Protocol, versions 12, 13 and 14 (testanything.org): a test program's output as values. Pure.

    TAP version 14               optional
    1..4                         the plan, before or after all checks; "1..0 # skip REASON" for nothing to run
    ok 1 - description           a check; its number and description may be missing
    not ok 2 - description       a failed one
    ok 3 - ... # SKIP reason     was not run; counts as passed
    not ok 4 - ... # TODO reason is expected to fail; counts as passed
    # text                       for people
    Bail out! reason             the program gives up
      ---                        details of the check above, up to the line "..."
        anything else            is kept as it is, an indented subtest too: the check that sums it up stands after it
"""

import re

from msgspec import Struct

_PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(.*))?$")
_CHECK = re.compile(r"(not )?ok(?=\s|$)(?:\s+(\d+)(?=\s|$))?\s*(?:-\s+|-$)?(.*)$")
_DIRECTIVE = re.compile(r"(?:^|\s)(?<!\\)#\s*(TODO|SKIP)\b[:\w]*\s*(.*)$", re.IGNORECASE)
_BAIL = re.compile(r"Bail out!\s*(.*)$")
_VERSION = re.compile(r"TAP version (\d+)$", re.IGNORECASE)
_PRAGMA = re.compile(r"pragma [+-]\w+")
_ESCAPED = re.compile(r"\\([\\#])")


class Check(Struct, frozen=True, kw_only=True):
    """One test point. passed: with the directive taken into account. directive: "", "skip" or "todo"."""

    number: int | None
    passed: bool
    description: str
    directive: str = ""
    reason: str = ""


class Comment(Struct, frozen=True):
    """A line that begins with "#", without that."""

    text: str


class Other(Struct, frozen=True):
    """A line that is none of the protocol's: other output of the program, or of one that it started."""

    text: str


Item = Check | Comment | Other


class Output(Struct, frozen=True, kw_only=True):
    """The output of a program, in order. plan: how many checks it announced. skipped: why
    it ran none. bail: why it gave up."""

    items: tuple[Item, ...]
    plan: int | None = None
    skipped: str | None = None
    bail: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(each for each in self.items if isinstance(each, Check))


def parse(text: str) -> Output:
    """Read a whole output. Breaches of the protocol are told in `problems`; nothing is an error."""
    parser = _Parser()
    for line in text.removesuffix("\n").split("\n"):
        parser.line(line.rstrip())
    return parser.output()


def check_of(line: str) -> Check | None:
    """The check that a line is, if it is one."""
    found = _CHECK.match(line)
    if found is None:
        return None
    failed, number, rest = found[1] is not None, found[2], found[3]
    told = _DIRECTIVE.search(rest)
    directive = told[1].lower() if told else ""
    return Check(
        number=int(number) if number else None,
        passed=not failed or directive == "todo",
        description=_plain(rest[: told.start()] if told else rest),
        directive=directive,
        reason=_plain(told[2]) if told else "",
    )


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text).strip()


class _Parser:
    def __init__(self) -> None:
        self._items: list[Item] = []
        self._plan: int | None = None
        self._skipped: str | None = None
        self._bail: str | None = None
        self._problems: list[str] = []
        self._count = 0
        self._before_plan = 0  # checks before the plan, to see a plan that stands between checks
        self._details = False  # inside a block of details

    def line(self, line: str) -> None:
        if self._details:
            self._details = line.strip() != "..."
            self._items.append(Other(line))
        elif line.startswith("#"):
            self._items.append(Comment(line[1:].removeprefix(" ")))
        elif found := _PLAN.match(line):
            self._planned(int(found[1]), found[2] or "")
        elif check := check_of(line):
            self._check(check)
        elif found := _BAIL.match(line):
            self._bail = found[1] or "it gave no reason"
        elif line.strip() == "---" and line.startswith("  ") and self._items and isinstance(self._items[-1], Check):
            self._details = True
            self._items.append(Other(line))
        elif line and not _VERSION.match(line) and not _PRAGMA.match(line):
            self._items.append(Other(line))

    def _planned(self, count: int, words: str) -> None:
        if self._plan is not None:
            self._problems.append("it gave more than one plan")
            return
        self._plan, self._before_plan = count, self._count
        if count == 0:
            self._skipped = re.sub(r"^skip\w*:?\s*", "", words, flags=re.IGNORECASE) or "it gave no reason"

    def _check(self, check: Check) -> None:
        self._count += 1
        if check.number is not None and check.number != self._count and not self._problems:
            self._problems.append(f"check {check.number} came where {self._count} was due")
        self._items.append(check)

    def output(self) -> Output:
        if self._plan is None and self._bail is None:
            self._problems.append("it ended without a plan" if self._count else "it ran no test")
        elif self._plan is not None and self._plan != self._count and self._bail is None:
            self._problems.append(f"it planned {self._plan} checks and ran {self._count}")
        if self._plan is not None and 0 < self._before_plan < self._count:
            self._problems.append("its plan stands between checks")
        return Output(
            items=tuple(self._items),
            plan=self._plan,
            skipped=self._skipped if not self._count else None,
            bail=self._bail,
            problems=tuple(self._problems),
        )
