"""The lock was written from other recipes than these."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules import pin_disagrees
from builder.base.errors import ConflictError, RefusedError
from builder.resolve import relock

ID = "stale-recipe"
_REMEDY = "run `builder resolve`, look at the difference of lock.toml, commit it"


def check(context: Context) -> Iterator[Finding]:
    if context.project is None or context.lock is None:
        return
    found = [*_packages(context), *_images(context)]
    yield from found
    if not found and not any(pin_disagrees.check(context)):
        yield from _rest(context)


def _packages(context: Context) -> Iterator[Finding]:
    for package in context.packages:
        recipe = context.recipe(package)
        if recipe is None:
            yield Finding(ID, context.place(package), "there is no recipe of this name", _REMEDY)
        elif recipe.version(package.version) is None:
            known = ", ".join(each.version for each in recipe.versions)
            reason = f"{recipe.path} has no version {package.version}; it has {known}"
            yield Finding(ID, context.place(package), reason, _REMEDY)
        elif recipe.digest != package.recipe:
            reason = (
                f"it was locked from another {recipe.path}: the lock has {package.recipe}, the file is {recipe.digest}"
            )
            yield Finding(ID, context.place(package, key="recipe"), reason, _REMEDY)
        else:
            for feature in (each for each in package.features if each not in recipe.features):
                reason = f"{recipe.path} has no feature '{feature}', which the lock names"
                yield Finding(ID, context.place(package, key="features"), reason, _REMEDY)


def _images(context: Context) -> Iterator[Finding]:
    assert context.project is not None
    project = context.project
    for image in context.images:
        place = f"image {image.name} in {image.profile}"
        if image.name not in project.images or image.profile not in project.profiles:
            what = "image" if image.name not in project.images else "profile"
            yield Finding(ID, place, f"there is no such {what} any more", _REMEDY)
        elif (now := relock.image_digest(project, image.name, image.profile)) != image.recipe:
            reason = f"the image or the profile changed: the lock has {image.recipe}, the files give {now}"
            yield Finding(ID, f"{place}, recipe", reason, _REMEDY)


def _rest(context: Context) -> Iterator[Finding]:
    """Differences that only resolving tells: another choice, an edge that no recipe gives,
    a change in a profile not looked at."""
    assert context.project is not None and context.lock is not None
    try:
        reasons = relock.is_stale(context.project, context.lock)
    except (ConflictError, RefusedError) as error:
        yield Finding(ID, "lock.toml", error.message, error.hint or _REMEDY)
        return
    for reason in reasons:
        yield Finding(ID, "lock.toml", f"resolving now gives something else: {reason}", _REMEDY)


RULE = Rule(ID, "the lock is not what the recipes give", check)
