"""The command that tests: `builder test`."""

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from msgspec.structs import replace

from builder import sandbox
from builder.base.errors import BuilderError, UsageError
from builder.base.replace import replacing
from builder.cli import output
from builder.cli.options import Options
from builder.cli.output import shown_path
from builder.cli.session import Session, session
from builder.recipe.recipe import Limits
from builder.run import testing
from builder.run.rootfs import Rootfs, unpacked
from builder.run.testing import FileResult, Interrupted, Room, Suite, files, junit, report, summary
from builder.run.testing.summary import log_name

IMAGE = "gateway-test"
_OWN = "t"  # the project's own test files
_KEPT = "tests"  # below out/: the files of the last run
_FILES = re.compile(r"(.*/)?(output\.tap|[0-9]+\.log)")  # of it
_SET = ("TEST_NGINX_BINARY", "TEST_NGINX_SERVROOT")  # these are never the caller's
_UNIT = ("UNIT_SEED",)


def run(options: Options) -> int:
    """Run Test::Nginx files against the nginx of an image; exit 1 when one fails."""
    options = replace(options, image=options.image or IMAGE)
    if options.junit:
        report.require_place(options.junit)
    with session(options) as opened:
        suite = _suite(opened)
        target = opened.image_directory(opened.image())
        started = time.monotonic()
        try:
            results = _run(opened, suite, target)
        except Interrupted as error:
            if error.results:
                _say(opened, error.results, time.monotonic() - started, error.not_run)
                _keep(opened, error.results)
            raise
        seconds = time.monotonic() - started
        try:
            _keep(opened, results)
            if options.junit:
                report.write(options.junit, junit.document(results))
        except (BuilderError, OSError):
            if not options.json:  # there, the error is the data
                _say(opened, results, seconds)
            raise
        _say(opened, results, seconds)
        return 0 if all(each.passed for each in results) else 1


def _suite(opened: Session) -> Suite:
    options = opened.options
    folder = options.suite or os.path.join(opened.workspace.root, _OWN)
    suite = testing.find(folder, options.paths, whole=options.suite is not None)
    return testing.filtered(suite, options.filter) if options.filter else suite


def _run(opened: Session, suite: Suite, target: str) -> list[FileResult]:
    with ExitStack() as stack:
        with opened.reporter.task("unpack", shown_path(target), brief=True):
            rootfs = stack.enter_context(unpacked(target, opened.out("rootfs"), opened.settings.cache_dir))
        scratch = stack.enter_context(opened.store.stage())
        copy = os.path.join(scratch, "copy")
        os.mkdir(copy)
        runner = testing.Runner(
            room=_room(opened, suite, rootfs, files.copy(suite, copy)),
            sandbox=sandbox.find("auto", opened.launcher(opened.image())),
            scratch=scratch, reporter=opened.reporter, jobs=_jobs(opened), cancel=opened.cancel,
        )
        return runner.run(suite.files)


def _jobs(opened: Session) -> int:
    return int(opened.options.jobs or opened.cores)


def _room(opened: Session, suite: Suite, rootfs: Rootfs, shown: str) -> Room:
    return Room(
        rootfs=rootfs, suite=suite, shown=shown, nginx=_program(opened, rootfs, "nginx"),
        perl=_program(opened, rootfs, "perl"),
        limits=Limits(seconds=opened.options.limit), inherited=_inherited(os.environ),
    )


def _program(opened: Session, rootfs: Rootfs, name: str) -> str:
    found = rootfs.program(name)
    if not found:
        hint = f"take an image with the programs that Test::Nginx needs, such as {IMAGE}"
        raise UsageError(f"the image has no {name} on its PATH", where=f"image {opened.options.image}", hint=hint)
    return found


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text for name, text in environ.items()
        if (name.startswith("TEST_NGINX_") and name not in _SET) or name in _UNIT
    }


def _keep(opened: Session, results: Sequence[FileResult]) -> None:
    """Put the files' output, and the error logs of failed blocks, into out/tests/ in place of the last run's."""
    with replacing(opened.out(_KEPT), _FILES) as folder:
        for each in results:
            texts = {f"{each.name}/output.tap": each.output}
            texts |= {log_name(each.name, block): block.log for block in each.blocks if block.log}
            for name, text in texts.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)


def _say(opened: Session, results: Sequence[FileResult], seconds: float, not_run: int = 0) -> None:
    if opened.options.json:
        output.say(output.document("test", summary.data(results, not_run=not_run, seconds=seconds)))
        return
    kept = opened.out(_KEPT)
    text = summary.text(
        results, not_run=not_run, seconds=seconds, jobs=_jobs(opened),
        shown=lambda name: shown_path(os.path.join(kept, name)),
    )
    sys.stdout.write(text + "\n")
