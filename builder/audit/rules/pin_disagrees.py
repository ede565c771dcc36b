"""A source in the lock is not the one that the recipe declares.

Declared pins have two witnesses, the recipe and the lock, so a digit that was changed in one of them shows here.
"""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.recipe.source import Source

ID = "pin-disagrees"
_PINS = ("size", "sha256", "tree", "unpacked", "entries")  # these may be measured when a recipe does not declare them
_FACTS = ("locations", "filename", "strip", "folder")  # these are always the recipe's
_REMEDY = (
    "find out which of them is right: compare with the publisher's own hash; if it is the recipe's, run "
    "`builder resolve`"
)


def check(context: Context) -> Iterator[Finding]:
    for package in context.packages:
        version = context.version(package)
        if version is None:
            continue  # stale-recipe says so
        declared = {(each.name, each.platform): each for each in version.sources}
        locked = {(each.name, each.platform): each for each in package.sources}
        for key, source in locked.items():
            place = context.place(package, source)
            if key not in declared:
                yield Finding(ID, place, "the recipe has no such source", "run `builder resolve`")
            else:
                for reason, what in _differences(source, declared[key]):
                    yield Finding(ID, f"{place}, {what}", reason, _REMEDY)
        for key in declared.keys() - locked.keys():
            place = context.place(package, declared[key])
            yield Finding(ID, place, "the recipe has this source, but the lock has not", "run `builder resolve`")


def _differences(locked: Source, declared: Source) -> Iterator[tuple[str, str]]:
    for key in (*_PINS, *_FACTS):
        mine, theirs = getattr(locked, key), getattr(declared, key)
        if mine != theirs and not (key in _PINS and theirs is None):
            yield f"the lock has {_shown(mine)}, the recipe declares {_shown(theirs)}", key


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


RULE = Rule(ID, "a source in the lock is not the one that the recipe declares", check)
