"""`builder gc`: remove from the store all that no project needs."""

from builder.base import units
from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import session
from builder.store.collect import collect


def run(options: Options) -> int:
    """Remove from the store all that no root keeps; with --dry-run only list it."""
    with session(options) as opened:
        store = opened.there()
        with opened.reporter.task("clean", store.root, brief=True) as task:
            archives = () if options.archives else None
            freed = collect(store, keep_files=archives, dry_run=options.dry_run, progress=task.reached)
        if options.json:
            say_json("gc", freed)
        else:
            counts = (
                units.counted(getattr(freed, f"{kind}s"), kind) for kind in ("tree", "record", "archive", "log", "root")
            )
            say(f"{'would remove' if options.dry_run else 'removed'} {', '.join(counts)}: {units.size(freed.size)}")
        return 0

