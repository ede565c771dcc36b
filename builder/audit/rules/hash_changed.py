"""A source of the same version from the same place whose hash changed: a moved tag, a file
that was published anew, or a pin that was edited. It is for a person to say which."""

from collections.abc import Iterator

from builder.audit import history
from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "hash-changed-same-version"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    for pair in history.pairs(context):
        where = history.common_location(pair.old, pair.new)
        for key in ("sha256", "tree"):
            old, new = getattr(pair.old, key), getattr(pair.new, key)
            if where and pair.old.strip == pair.new.strip and old is not None and new is not None and old != new:
                reason = f"it was {old} at {context.since.name} and is {new}, for the same version from {where}"
                remedy = (
                    "ask the publisher why the bytes changed, and compare the two trees, before you take the new hash"
                )
                yield Finding(ID, f"{pair.place}, {key}", reason, remedy)


RULE = Rule(ID, "the bytes of a published version changed", check)
