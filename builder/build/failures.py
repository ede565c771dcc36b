"""Builds that failed are remembered beside their logs, so that the next try can say so.

`<key>.failed` is empty and its time is that of the failure. A build that works removes it, and gc removes it with the
log.
"""

import os
import time
from contextlib import suppress

from builder.base import units


def _path(log: str) -> str:
    return log.removesuffix(".log") + ".failed"


def note(log: str) -> None:
    """The build that wrote this log has failed."""
    with suppress(OSError), open(_path(log), "wb"):  # a note that cannot be written costs nothing
        os.utime(_path(log))


def forget(log: str) -> None:
    """The build that wrote this log has worked."""
    with suppress(OSError):
        os.unlink(_path(log))


def last(log: str, now: float | None = None) -> str:
    """Like "failed 12 min 05 s ago", or "" where it did not fail. now: seconds since 1970."""
    try:
        ago = (time.time() if now is None else now) - os.stat(_path(log)).st_mtime
    except OSError:
        return ""
    return f"failed {units.elapsed(ago)} ago"
