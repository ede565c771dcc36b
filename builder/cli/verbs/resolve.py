"""`builder resolve`: choose versions and write lock.toml."""

import sys
from typing import Any

from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import Session, session
from builder.fetch import Wanted
from builder.resolve import relock


def run(options: Options) -> int:
    """Choose versions and write the lock. `--check` writes nothing and answers by its exit code."""
    with session(options) as opened:
        workspace = opened.workspace
        if options.check:
            return _check_lock(opened)
        had_lock = workspace.lock is not None  # a first lock is all new: its size says enough
        relocked = relock.relock(
            workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all, whole=True
        )
        lock, changes = relocked.lock, [str(change) for change in relocked.changes]
        if missing := relock.missing_pins(lock):
            lock, pinned = _pin(opened, lock, missing)
            changes += pinned
        written = workspace.save(lock)
        if options.json:
            say_json("resolve", {"changed": written, "changes": changes})
        else:
            for change in changes if had_lock else ():
                say(change)
            say(f"{workspace.lock_path}: {'written' if written else 'unchanged'}, {len(lock.packages)} packages")
        return 0


def _check_lock(opened: Session) -> int:
    """Show the changes of resolving, also with `--update`; exit 1 when there are any."""
    options, workspace = opened.options, opened.workspace
    moving = bool(options.update or options.update_all)
    reasons = ["there is no lock.toml"]
    if workspace.lock is not None:
        reasons = relock.is_stale(
            workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all
        )
    if options.json:
        say_json("resolve-check", {"stale": bool(reasons), "reasons": reasons})
    for reason in reasons:
        sys.stderr.write(f"{'would change' if moving else 'stale'}: {reason}\n")
    return 1 if reasons else 0


def _pin(opened: Session, lock: Any, missing: Any) -> tuple[Any, list[str]]:
    """Fetch sources without a pin, once, and pin the bytes that came."""
    found = opened.fetcher.fetch(Wanted(name, version, source) for name, version, source in missing)
    pins = {(each.package, each.version, each.source): pin for each, pin in found.items()}
    lines = [
        f"newly pinned: {each.package} {each.version}, source {each.source.name}: tree {pin.tree}"
        for each, pin in found.items()
    ]
    return relock.with_pins(lock, pins), lines

