"""The reporter that fits where standard error goes."""

import os
from typing import TextIO

from builder.progress.plain import PlainReporter, QuietReporter
from builder.progress.reporter import NullReporter, Reporter


def choose(stream: TextIO | None, *, quiet: bool = False, verbose: bool = False) -> Reporter:
    """The reporter that fits a stream (stderr): live rows on a terminal that can redraw, else plain lines; nothing when
    there is no stream, as in a process that was started without stderr."""
    if stream is None:
        return NullReporter()
    if quiet:
        return QuietReporter(stream)
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from builder.progress.terminal import RichReporter  # noqa: PLC0415 - rich takes 40 ms to import

        return RichReporter(stream, verbose=verbose)
    return PlainReporter(stream, verbose=verbose)
