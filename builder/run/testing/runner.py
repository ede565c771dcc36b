"""Runs the files of a suite side by side, each in a sandbox of its own, and gathers what came of them."""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from importlib import resources

from msgspec import Struct

from builder.build.log import Log
from builder.progress.reporter import Reporter
from builder.run.testing.files import TestFile
from builder.run.testing.results import Ended, FileResult, result
from builder.run.testing.room import LOGS, SERVROOT, Room, furnish
from builder.sandbox import Outcome, Sandbox
from builder.store.remove import remove_tree

_MOST = 4 << 20  # bytes of an error log that are kept, from its end
_OUTPUT = 64 << 20  # bytes of an output
_KILLED = {"time", "memory", "processes"}


class Interrupted(KeyboardInterrupt):
    """A run was interrupted. results: of the files that had ended, in their order. not_run: how many had not."""

    def __init__(self, results: Sequence[FileResult], not_run: int) -> None:
        super().__init__()
        self.results = results
        self.not_run = not_run


class Runner(Struct, frozen=True, kw_only=True):
    """scratch: a directory of its own on disk. cancel: set to end all that runs."""

    room: Room
    sandbox: Sandbox
    scratch: str
    reporter: Reporter
    jobs: int
    cancel: threading.Event

    def run(self, files: Sequence[TestFile]) -> list[FileResult]:
        """Run all files; what came of them, in the order in which they were given.

        Raises:
            SandboxError, BuildError: the machine refuses a sandbox, or the image lacks a program.
            Interrupted: the user has enough; all that ran has ended by then.
        """
        marks = resources.files(__package__).joinpath("marks.pm").read_text(encoding="utf-8")
        longest = sorted(range(len(files)), key=lambda number: -files[number].count)  # none is begun alone at the end
        self.reporter.expect("test", {file.name: None for file in files}, jobs=self.jobs)
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="test") as pool:
            running: dict[int, Future[FileResult | None]] = {}
            try:
                for number in longest:
                    running[number] = pool.submit(self._one, number, files[number], marks)
                for done in as_completed(running.values()):
                    done.result()
            except BaseException as error:
                self.cancel.set()
                pool.shutdown(wait=True, cancel_futures=True)
                if isinstance(error, KeyboardInterrupt):
                    results = _results(running)
                    raise Interrupted(results, len(files) - len(results)) from error
                raise
        return _results(running)

    def _one(self, number: int, file: TestFile, marks: str) -> FileResult | None:
        """The result of a file; nothing when it was broken off."""
        work = os.path.join(self.scratch, str(number))
        os.mkdir(work)
        furnish(work, file, marks)
        log = os.path.join(self.scratch, f"{number}.tap")
        with self.reporter.task("test", file.name) as task:
            with Log(log, task, every=self.reporter.verbose) as output:
                outcome = self.sandbox.run(self.room.spec(file, work), output.fd, self.cancel, output)
            made = None if outcome.killed == "cancelled" else self._gather(file, outcome, log, work)
            task.done("interrupted" if made is None else _status(made))
        remove_tree(work)
        return made

    def _gather(self, file: TestFile, outcome: Outcome, log: str, work: str) -> FileResult:
        text = _end_of(log, _OUTPUT)
        ended = Ended(
            code=outcome.code, seconds=outcome.seconds, killed=outcome.killed if outcome.killed in _KILLED else "",
            limit=self._limit(outcome.killed),
        )
        logs = _logs(os.path.join(work, LOGS))
        made = result(file.name, text, ended, logs=logs, left_out=file.left_out)
        if made.trouble and made.blocks and made.blocks[-1].number not in logs:
            # Its server may have been at work when the file ended.
            logs[made.blocks[-1].number] = _end_of(os.path.join(work, SERVROOT, "logs", "error.log"))
            made = result(file.name, text, ended, logs=logs, left_out=file.left_out)
        return made

    def _limit(self, killed: str) -> str:
        limits = self.room.limits
        known = {
            "time": f"{limits.seconds} s",
            "memory": f"{limits.memory} MiB of memory",
            "processes": f"{limits.processes} processes",
        }
        return known.get(killed, "")


def _results(running: Mapping[int, "Future[FileResult | None]"]) -> list[FileResult]:
    """Of all files that came to their end, in the order of their numbers."""
    ended = [
        running[number]
        for number in sorted(running)
        if not running[number].cancelled() and not running[number].exception()
    ]
    return [made for each in ended if (made := each.result()) is not None]


def _status(made: FileResult) -> str:
    failed = sum(not each.passed for each in made.blocks)
    if made.trouble:
        return "failed"
    if made.skipped:
        return "skipped"
    return f"{failed} of {len(made.blocks)} failed" if failed else "passed"


def _logs(folder: str) -> dict[int, str]:
    """The error logs that were kept, by number of the block. Whatever else a test wrote there is passed over."""
    found = {}
    for name in os.listdir(folder):
        number = name.removesuffix(".log")
        if number.isdecimal() and name.endswith(".log"):
            found[int(number)] = _end_of(os.path.join(folder, name))
    return found


def _end_of(path: str, most: int = _MOST) -> str:
    """The end of a file that a test wrote; "" when it is not there. No link is followed: tests write what they like."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
