"""The summary of a run, for people and for programs. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from builder.base import units
from builder.progress.clean import clean
from builder.run.testing.results import Block, FileResult, without_debug

_DETAILS = 24  # lines shown of the details of a failed check
_LOG = 40  # lines shown of a failed block's error log


def text(
    results: Sequence[FileResult], *, not_run: int = 0, seconds: float, jobs: int, shown: Callable[[str], str]
) -> str:
    """All failures with their differences, what was skipped and why, and the totals.

    not_run: how many files besides the results an interrupt left out. shown: name of a kept file -> its path.
    """
    lines: list[str] = []
    for each in results:
        lines += _file(each, shown)
    skipped = [f"  {where}: {why}" for where, why in _skipped(results)]
    if skipped:
        lines += ["skipped", *skipped, ""]
    failed = [f"  {where}" for where in _failed(results)]
    if failed:
        lines += ["failed", *failed, ""]
    return "\n".join([*lines, *_totals(results, not_run, seconds, jobs)])


def _file(result: FileResult, shown: Callable[[str], str]) -> list[str]:
    lines = []
    for block in result.blocks:
        if block.failures:
            lines += _block(result.name, block, shown)
    if result.trouble:
        lines += [f"{result.name}: {clean(result.trouble)}", *_quoted(result.tail, len(result.tail), "of its output")]
        if result.blocks and not result.blocks[-1].failures and result.blocks[-1].log:
            lines += _log(result.name, result.blocks[-1], shown)
        lines.append("")
    return lines


def _block(name: str, block: Block, shown: Callable[[str], str]) -> list[str]:
    lines = [f"{name}: {clean(block.title)}"]
    for each in block.failures:
        lines += [f"  not ok: {clean(each.what)}", *_quoted(each.details, _DETAILS, "of what it says")]
    return [*lines, *_log(name, block, shown), ""]


def _log(name: str, block: Block, shown: Callable[[str], str]) -> list[str]:
    if not block.log:
        return []
    lines = without_debug(block.log)
    return [f"  error log, whole in {shown(log_name(name, block))}", *_quoted(lines, _LOG, "of the log", last=True)]


def _quoted(lines: Sequence[str], most: int, what: str, *, last: bool = False) -> list[str]:
    left = len(lines) - most
    taken = lines[-most:] if last else lines[:most]
    quoted = [f"  | {clean(line)}" for line in taken]
    if left <= 0:
        return quoted
    note = f"  | ({left} more lines {what})"
    return [note, *quoted] if last else [*quoted, note]


def log_name(name: str, block: Block) -> str:
    """Where a block's error log is kept, below the directory of the run."""
    return f"{name}/{block.number}.log"


def _skipped(results: Iterable[FileResult]) -> Iterable[tuple[str, str]]:
    for each in results:
        if each.skipped:
            yield each.name, clean(each.skipped)
        for block in each.blocks:
            if block.skipped:
                yield f"{each.name}: {clean(block.title)}", clean(block.skipped)


def _failed(results: Iterable[FileResult]) -> Iterable[str]:
    for each in results:
        for block in each.blocks:
            if block.failures:
                yield f"{each.name}: {clean(block.title)}"
        if each.trouble:
            yield f"{each.name}: {clean(each.trouble)}"


def counts(results: Sequence[FileResult], not_run: int = 0) -> dict[str, dict[str, int]]:
    """How many files, blocks and checks there were, by what came of them. not_run: files besides the results."""
    blocks = [block for each in results for block in each.blocks]
    checks = [check for block in blocks for check in block.checks]
    return {
        "files": {
            "passed": sum(each.passed and not each.skipped for each in results),
            "failed": sum(not each.passed for each in results),
            "skipped": sum(bool(each.skipped) for each in results),
            "not run": not_run,
        },
        "blocks": {
            "passed": sum(each.passed and not each.skipped for each in blocks),
            "failed": sum(not each.passed for each in blocks),
            "skipped": sum(bool(each.skipped) for each in blocks),
            "left out": sum(each.left_out for each in results),
        },
        "checks": {
            "passed": sum(each.passed and each.directive != "skip" for each in checks),
            "failed": sum(not each.passed for each in checks),
            "skipped": sum(each.directive == "skip" for each in checks),
        },
    }


def _totals(results: Sequence[FileResult], not_run: int, seconds: float, jobs: int) -> list[str]:
    lines = []
    for what, found in counts(results, not_run).items():
        words = [f"{count} {word}" for word, count in found.items() if count or word == "passed"]
        lines.append(f"{what:8}{', '.join(words)}")
    return [*lines, f"time    {units.elapsed(seconds)}, {jobs} at a time"]


def data(results: Sequence[FileResult], *, not_run: int = 0, seconds: float) -> dict[str, Any]:
    """The same as data. A run that was interrupted has not passed."""
    passed = all(each.passed for each in results) and not not_run
    return {
        "passed": passed, "seconds": round(seconds, 3), "counts": counts(results, not_run),
        "files": [_row(each) for each in results],
    }


def _row(result: FileResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "passed": result.passed,
        "seconds": result.seconds,
        "trouble": result.trouble,
        "skipped": result.skipped,
        "left_out": result.left_out,
        "blocks": [
            {
                "number": each.number,
                "title": each.title,
                "passed": each.passed,
                "skipped": each.skipped,
                "seconds": each.seconds,
                "unfinished": each.unfinished,
                "checks": len(each.checks),
                "log": log_name(result.name, each) if each.log else "",
                "failures": [{"what": failure.what, "details": list(failure.details)} for failure in each.failures],
            }
            for each in result.blocks
        ],
    }
