"""`builder store path`: look after the store."""

import os

from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import Session, session
from builder.store import usage
from builder.store.remove import remove_tree
from builder.store.verify import Damage, verify


def run(options: Options) -> int:
    """Look after the store: `path`, `roots`, `verify`."""
    with session(options) as opened:
        return {"path": _store_path, "roots": _store_roots, "verify": _store_verify}[options.action](opened)


def _store_path(opened: Session) -> int:
    if opened.options.json:
        say_json("store-path", {"path": opened.store_root})
    else:
        say(opened.store_root)
    return 0


def _store_roots(opened: Session) -> int:
    store = opened.there()
    with opened.reporter.task("measure", store.root, brief=True) as task:
        roots = usage.usage(store, task.reached)
    if opened.options.json:
        say_json("store-roots", roots)
    else:
        say(usage.table(roots))
    return 0


def _store_verify(opened: Session) -> int:
    options, store = opened.options, opened.there()
    with opened.reporter.task("verify", store.root) as task:
        damage = verify(store, task.reached)
    if options.json:
        say_json("store-verify", damage)
    else:
        for each in damage:
            say(str(each))
        say(f"{len(damage)} damaged" if damage else "everything is as it was written")
    if options.remove and damage:
        _remove_damaged(opened, damage)
        records = [each for each in verify(store) if each.kind == "record"]  # of trees that are gone now
        _remove_damaged(opened, records)
    return 1 if damage else 0


def _remove_damaged(opened: Session, damage: list[Damage]) -> None:
    """Remove damaged entries from the store. Later commands fetch or build them again."""
    for each in damage:
        if each.kind == "tree":
            opened.store.discard_tree(each.name)
        elif each.kind in ("archive", "record") and os.path.lexists(each.path):
            remove_tree(each.path)  # a directory may lie there in its place
        else:
            opened.reporter.say(f"kept {each.path}: remove it by hand if nothing needs it")
            continue
        opened.reporter.say(f"removed {each.path}")

