"""`builder clean`: remove the builder's files from out/."""

import os

from builder.base import units
from builder.cli.options import Options
from builder.cli.output import say, say_json, shown_path
from builder.cli.session import session
from builder.image.clean import clean as remove
from builder.resolve.workspace import find_root


def run(options: Options) -> int:
    """Remove the builder's files from out/."""
    with session(options) as opened:
        out = os.path.join(find_root(options.root), "out")
        with opened.reporter.task("clean", shown_path(out), brief=True):
            removed, size = remove(out, dry_run=options.dry_run)
        if options.json:
            say_json("clean", {"removed": removed, "size": size})
        else:
            word = "would remove" if options.dry_run else "removed"
            for path in removed:
                say(f"{word} {shown_path(path)}")
            say(f"{word} {units.size(size)}" if removed else "there is nothing to remove")
        return 0

