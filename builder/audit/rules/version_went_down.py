"""A package that went back to a less preferred version, perhaps unnoticed beside other changes.

Versions are never compared as text (an old tag can carry a high number): the recipe's list says which is better. Where
the old version has left the list, nothing says which way it went, and that is a finding too.
"""

from collections.abc import Iterator

from builder.audit import history
from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.lock.lock import LockedPackage
from builder.recipe.recipe import Recipe

ID = "version-went-down"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    for old, new in history.moved(context):
        recipe = context.recipe(new)
        reason = _reason(recipe, old, new, context.since.name) if recipe else ""
        if reason and recipe:
            remedy = (
                f"if it is wanted, say so in the commit; else see which requirement or profile holds it back: "
                f"{_why(context, new)}, then `builder resolve --update {new.name}`"
            )
            if recipe.version(old.version) is None:
                remedy = (
                    f"keep {old.version} in {recipe.path} for one commit more, at its place in the order of preference"
                )
            yield Finding(ID, context.place(new), reason, remedy)


def _why(context: Context, package: LockedPackage) -> str:
    """The command that shows what needs a package, in an image that does."""
    for each in context.images:
        if each.profile in package.profiles and package in context.needs(each):
            return f"`builder why --image {each.name} --profile {each.profile} {each.name} {package.name}`"
    return "`builder graph`"


def _reason(recipe: Recipe, old: LockedPackage, new: LockedPackage, since: str) -> str:
    """Why the change from `old` to `new` is a finding, or ""."""
    order = [each.version for each in recipe.versions]
    moved = f"it was {old.version} at {since} and is {new.version}"
    if new.version not in order:
        return ""  # stale-recipe says so
    if old.version not in order:
        return f"{moved}; {recipe.path} no longer lists {old.version}, so nothing says whether that is up or down"
    if order.index(new.version) > order.index(old.version):
        return f"{moved}, which {recipe.path} lists after it as less preferred"
    return ""


RULE = Rule(ID, "a package went back to a less preferred version", check)
