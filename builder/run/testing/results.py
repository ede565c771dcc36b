"""The results of test files: their output put together by blocks, and whether all is well. Pure."""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from builder.run.testing.tap import Check, Comment, Output, parse

_MARK = re.compile(r"builder: (?:block (?P<number>\d+) at (?P<start>[\d.]+) (?P<title>.*)|end at (?P<end>[\d.]+))$")
_DEBUG = re.compile(r"^\d{4}/\d\d/\d\d [\d:]{8} \[debug\] ")
_DATED = re.compile(r"^\d{4}/\d\d/\d\d [\d:]{8} \[")
# Lines that Test::More puts around the difference: they only name the check again.
_AGAIN = re.compile(r"\s*Failed (?:\(TODO\) )?test '|\s*at \S+ line \d+\.$")
_TAIL = 30  # lines of output that are shown of a file that broke
UNTITLED = "(before the first block)"


class Failure(Struct, frozen=True):
    """A check that failed: its description, and the program's words (expected and got)."""

    what: str
    details: tuple[str, ...]


class Block(Struct, frozen=True, kw_only=True):
    """A block of a file, with its checks. number: counts from 1. log: nginx's error log, when it was kept.

    unfinished: the file ended, not well, while it was at work on this one.
    """

    number: int
    title: str
    seconds: float = 0.0
    checks: tuple[Check, ...] = ()
    failures: tuple[Failure, ...] = ()
    log: str = ""
    unfinished: bool = False

    @property
    def passed(self) -> bool:
        return not self.failures and not self.unfinished

    @property
    def skipped(self) -> str:
        """Why none of its checks was made, or ""."""
        if self.checks and all(each.directive == "skip" for each in self.checks):
            return self.checks[0].reason or "it gave no reason"
        return ""


class Ended(Struct, frozen=True, kw_only=True):
    """How the program of a file ended. killed: "", or the limit that it broke ("time", "memory", "processes")."""

    code: int
    seconds: float
    killed: str = ""
    limit: str = ""  # the broken limit in words, like "120 s"


class FileResult(Struct, frozen=True, kw_only=True):
    """The result of one file. trouble: why it counts as failed whatever its checks say. skipped: why it ran nothing.

    left_out: blocks that the filter left out. output: all that it wrote. tail: the end of that, when there is trouble.
    """

    name: str
    seconds: float
    blocks: tuple[Block, ...] = ()
    trouble: str = ""
    skipped: str = ""
    left_out: int = 0
    output: str = ""
    tail: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.trouble and all(each.passed for each in self.blocks)


class _Open(Struct):
    """A block that is being read."""

    number: int
    title: str
    start: float
    end: float
    checks: list[Check] = field(default_factory=list)
    failures: list[tuple[str, list[str]]] = field(default_factory=list)

    def closed(self, logs: Mapping[int, str]) -> Block:
        return Block(
            number=self.number,
            title=self.title,
            seconds=round(max(0.0, self.end - self.start), 3),
            checks=tuple(self.checks),
            failures=tuple(Failure(what, _difference(details)) for what, details in self.failures),
            log=logs.get(self.number, ""),
        )


def result(
    name: str, text: str, ended: Ended, *, logs: Mapping[int, str] | None = None, left_out: int = 0
) -> FileResult:
    """Put together what came of a file from its output. logs: number of a block -> its error log."""
    output = parse(text)
    blocks = _blocks(output, ended, logs or {})
    at_work = _is_at_work(output)
    trouble = _trouble(output, ended, f", in '{blocks[-1].title}'" if at_work else "")
    if trouble and at_work:
        blocks = (*blocks[:-1], replace(blocks[-1], unfinished=True))
    return FileResult(
        name=name,
        seconds=round(ended.seconds, 3),
        blocks=blocks,
        trouble=trouble,
        skipped="" if trouble else output.skipped or "",
        left_out=left_out,
        output=text,
        tail=tuple(_tail(text)) if trouble else (),
    )


def _is_at_work(output: Output) -> bool:
    """Whether a program ended while it was at work on its last block: there is no mark of its end."""
    marks = _marks(output)
    return bool(marks) and marks[-1]["number"] is not None


def _marks(output: Output) -> "list[re.Match[str]]":
    return [found for each in output.items if isinstance(each, Comment) and (found := _MARK.match(each.text))]


def _trouble(output: Output, ended: Ended, place: str) -> str:
    done = len(output.checks)
    if ended.killed:
        words = {"time": "took longer than", "memory": "used more than", "processes": "ran more than"}[ended.killed]
        return f"it {words} {ended.limit} and was ended with all its processes, after {done} checks{place}"
    if output.bail is not None:
        return f"it gave up after {done} checks{place}: {output.bail}"
    failed = not all(each.passed for each in output.checks)
    if ended.code and not failed:
        of = f" of {output.plan}" if (output.plan or 0) > done else ""
        return f"it died with exit code {ended.code}, after {done}{of} checks{place}"
    return "; ".join(output.problems)


def _tail(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not _MARK.match(line.removeprefix("# "))]
    return _without_debug(lines)[-_TAIL:]


def _blocks(output: Output, ended: Ended, logs: Mapping[int, str]) -> tuple[Block, ...]:
    if not any(found["number"] for found in _marks(output)):
        return _each_alone(output)
    blocks: list[_Open] = []
    details: list[str] | None = None  # of the failed check that was read last
    for each in output.items:
        if isinstance(each, Comment) and (found := _MARK.match(each.text)):
            details = None
            _mark(blocks, found, ended)
        elif isinstance(each, Check):
            details = _take(_owner(blocks, each.description), each)
        elif details is not None:
            details.append(each.text)
    return tuple(each.closed(logs) for each in blocks)


def _mark(blocks: list[_Open], found: "re.Match[str]", ended: Ended) -> None:
    """A block begins, or the file ends: so does the block before."""
    now = float(found["start"] or found["end"])
    if blocks:
        blocks[-1].end = now
    if found["number"]:
        blocks.append(_Open(int(found["number"]), found["title"], now, max(now, ended.seconds)))


def _owner(blocks: list[_Open], description: str) -> _Open:
    """The block that a check is of. A check after the end of a server may be of a block before the current one."""
    if not blocks:
        blocks.append(_Open(0, UNTITLED, 0.0, 0.0))
    current = blocks[-1]
    if current.title in description:
        return current
    return max(
        (each for each in blocks if each.title in description), key=lambda each: len(each.title), default=current
    )


def _take(block: _Open, check: Check) -> list[str] | None:
    block.checks.append(check)
    if check.passed:
        return None
    details: list[str] = []
    block.failures.append((_about(check.description, block.title), details))
    return details


def _about(description: str, title: str) -> str:
    """A check's description without the title of its block, and what stands before that."""
    before, found, rest = description.partition(title)
    return (rest.removeprefix(" - ") if found else before) or description


def _each_alone(output: Output) -> tuple[Block, ...]:
    """A file without blocks: each check stands for itself."""
    blocks: list[_Open] = []
    for each in output.items:
        if isinstance(each, Check):
            blocks.append(_Open(len(blocks) + 1, each.description or f"check {len(blocks) + 1}", 0.0, 0.0, [each]))
            if not each.passed:
                blocks[-1].failures.append((each.description, []))
        elif blocks and blocks[-1].failures:
            blocks[-1].failures[-1][1].append(each.text)
    return tuple(each.closed({}) for each in blocks)


def _difference(details: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in _without_debug(details) if not _AGAIN.match(line))


def without_debug(log: str) -> list[str]:
    """The lines of an error log but those of level `debug`, with what belongs to these."""
    return _without_debug(log.splitlines())


def _without_debug(lines: Iterable[str]) -> list[str]:
    found = []
    inside = False
    for line in lines:
        inside = bool(_DEBUG.match(line)) or (inside and not _DATED.match(line) and not line.startswith("  "))
        if not inside:
            found.append(line)
    return found
