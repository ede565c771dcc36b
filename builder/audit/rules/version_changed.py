"""A package with a new version whose sources are all the old ones: the old thing under a new name."""

from collections.abc import Iterator

from builder.audit import history
from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "version-changed-same-hash"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    for old, new in history.moved(context):
        hashes = {pair.new: history.same_hash(pair.old, pair.new) for pair in history.between(context, old, new)}
        pinned = [source for source in new.sources if not source.folder]
        if pinned and all(hashes.get(source) for source in pinned):
            reason = (
                f"the version was {old.version} at {context.since.name} and is {new.version}, "
                f"but the hash is still {hashes[pinned[0]]}"
            )
            remedy = "put the hash and the URL of the new version's archive in the recipe, or take back the version"
            yield Finding(ID, context.place(new), reason, remedy)


RULE = Rule(ID, "the version of a package changed, and no hash of its sources did", check)
