"""Pins that were measured and not declared, against what is on this machine.

A measured pin stands in the lock only, so nothing in the project contradicts a digit that was changed.
But the store has what it was measured from: the archive, the tree, and a record of which gave which.
"""

import os
from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.fetch.wanted import unpack_key
from builder.recipe.source import Source
from builder.tree import nar

ID = "measured-pin"
_REMEDY = (
    "take back the change of lock.toml; or remove all pins of that source there, and `builder resolve` measures "
    "them again"
)


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        version = context.version(package)
        if version is None or source.tree is None or not context.here(source):
            continue
        declared = next(
            (each for each in version.sources if (each.name, each.platform) == (source.name, source.platform)), Source()
        )
        for key, reason in (*_archive(context, source, declared), *_totals(context, source, declared)):
            yield Finding(ID, context.place(package, source, key), reason, _REMEDY)


def _archive(context: Context, source: Source, declared: Source) -> Iterator[tuple[str, str]]:
    """The archive and the tree must be those that belong together here."""
    if source.sha256 is None:
        return
    record = context.store.record(unpack_key(source, source.sha256))
    if record is not None:
        found = record.trees.get("out")
        if found != source.tree:
            yield "tree", f"the lock pins {source.tree}, but the file with the pinned sha256 unpacks to {found}"
    elif declared.sha256 is None and (other := _origin(context, source)):
        yield "sha256", f"the lock pins {source.sha256}, but the pinned tree came out of the file {other}"


def _origin(context: Context, source: Source) -> str:
    """SHA-256 of a file of the store that unpacks to the source's tree, or ""."""
    for name in sorted(os.listdir(context.store.files_dir)):
        record = context.store.record(unpack_key(source, name))
        if record is not None and record.trees.get("out") == source.tree:
            return name
    return ""


def _totals(context: Context, source: Source, declared: Source) -> Iterator[tuple[str, str]]:
    """Differences between the size that a tree may have, where it was measured, and its size."""
    wanted = [
        key for key in ("unpacked", "entries") if getattr(source, key) is not None and getattr(declared, key) is None
    ]
    if not wanted or source.tree is None or not context.store.has_tree(source.tree):
        return
    entries = nar.scan(context.store.tree_path(source.tree))[1:]  # without the top directory
    found = {"unpacked": sum(each.size for each in entries), "entries": len(entries)}
    for key in wanted:
        if getattr(source, key) != found[key]:
            yield key, f"the lock says {getattr(source, key)}, but the tree holds {found[key]}"


RULE = Rule(ID, "a measured pin is not what was measured on this machine", check)
