"""Patches that the recipe lists, but that left no trace in what was built."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.build import witness
from builder.lock.lock import LockedPackage

ID = "patch-witness"


def check(context: Context) -> Iterator[Finding]:
    for package in context.packages:
        version = context.version(package)
        patches = [patch for each in version.patches for patch in each.patches] if version else []
        trees = _built(context, package) if patches else []
        if not trees:
            continue
        try:
            absent = witness.missing(patches, trees)
        except OSError as error:
            yield Finding(
                ID, context.place(package), f"its outputs cannot be read: {error}", "run `builder store verify`"
            )
            continue
        for patch in absent:
            kind = f"symbol '{patch.symbol}'" if patch.symbol is not None else f"text '{patch.string}'"
            reason = f"no built file has the {kind}, which shows that the patch was applied"
            remedy = (
                f"find out why it was not: `builder log {context.named(package)}`; or correct the witness in the recipe"
            )
            yield Finding(ID, context.place(package, key=f"patch {patch.path}"), reason, remedy)


def _built(context: Context, package: LockedPackage) -> list[str]:
    """Directories of the pinned outputs; none when they are not all here: a witness may be in any of them."""
    output = package.outputs.get(context.platform)
    trees = list(output.trees.values()) if output else []
    return [context.store.tree_path(tree) for tree in trees] if all(map(context.store.has_tree, trees)) else []


RULE = Rule(ID, "a patch left no trace in what was built", check)
