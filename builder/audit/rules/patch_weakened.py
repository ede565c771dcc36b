"""A version that lost a patch, or whose patch lost its witness: the patch's effect may be
gone, and nothing else fails."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.recipe.recipe import Version
from builder.recipe.source import Patch

ID = "patch-weakened"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    for package in context.packages:
        before = context.since.recipes.get(package.name)
        old, new = before.version(package.version) if before else None, context.version(package)
        if old is None or new is None:
            continue
        now = _patches(new)
        for key, patch in _patches(old).items():
            place = context.place(package, key=f"patch {patch.path}")
            if key not in now:
                reason = f"it was applied at {context.since.name}, and is not any more"
                yield Finding(
                    ID, place, reason, "put the patch back, or say in the commit why this version needs it no more"
                )
            elif patch.none is None and now[key].none is not None:
                reason = (
                    f"its witness at {context.since.name} was '{patch.symbol or patch.string}', and is none now: "
                    f"{now[key].none}"
                )
                yield Finding(ID, place, reason, "put the witness back, or say in the commit why none can exist")


def _patches(version: Version) -> dict[tuple[str, str], Patch]:
    return {(patch.source, patch.path): patch for each in version.patches for patch in each.patches}


RULE = Rule(ID, "a patch of the same version was dropped, or has no witness any more", check)
