"""`builder log NAME`: the log of a build."""

import os
import sys

from msgspec.structs import replace

from builder.base.errors import UsageError
from builder.cli.named import located
from builder.cli.options import Options
from builder.cli.output import say_json
from builder.cli.session import session
from builder.progress.clean import clean_lines

_PIECE = 1 << 16  # characters of a log's line that are held at a time


def run(options: Options) -> int:
    """The log of the build that the lock's outputs came from, or of the last try.

    Raises:
        UsageError: there is no log.
    """
    with session(replace(options, offline=True)) as opened:
        lock, profile, (package,), _ = located(opened, [options.name])
        plan = opened.builder.plan(lock, profile, [package], look=True)
        key = plan.keys.get(package)
        path = opened.store.log_path(key) if key else ""
        if not path or not os.path.exists(path):
            hint = "it was never built here in this form, or is made without a sandbox"
            raise UsageError(f"there is no log of {package}", where=path, hint=hint)
        with open(path, encoding="utf-8", errors="replace") as file:
            if options.json:
                say_json("log", {"package": package, "path": path, "text": clean_lines(file.read())})
                return 0
            while piece := file.readline(_PIECE):
                sys.stdout.write(clean_lines(piece))
        return 0

