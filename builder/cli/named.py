"""Packages that the arguments name: in the lock, or beside it when no image needs them yet."""

from collections.abc import Mapping, Sequence

from builder.base.errors import RefusedError, UsageError
from builder.base.shape import near
from builder.cli.session import Session, package_id
from builder.lock.lock import Lock
from builder.recipe.recipe import Recipe
from builder.resolve import relock, unneeded
from builder.resolve.workspace import LOCK


def located(opened: Session, names: Sequence[str]) -> tuple[Lock, str, list[str], bool]:
    """Packages by name: a lock that holds them, the profile, their ids, and whether it is the lock that is written.

    Raises:
        RefusedError: under --locked, no image needs one of them.
        UsageError: there is no such package or profile.
        ConflictError: a package that no image needs does not go together with the profile.
    """
    project, lock = opened.workspace.project, opened.lock
    profile = opened.options.profile or opened.image().profile
    if profile not in project.profiles:
        raise UsageError(f"there is no profile '{profile}'", hint=near(profile, sorted(project.profiles)))
    held = {word for each in lock.in_profile(profile).values() for word in (each.name, each.id)}
    more = [name for name in names if name not in held and _selects(project.recipes, name)]
    if not more:
        return lock, profile, [package_id(opened, profile, name) for name in names], True
    if opened.options.locked:
        hint = unneeded.recipe(project, lock, profile, more[0])
        raise RefusedError(
            f"--locked builds only packages of the lock, and it holds no '{more[0]}'", where=LOCK, hint=hint
        )
    others = [package_id(opened, profile, name) for name in names if name not in more]
    lock = relock.alone(project, lock, profile, [*more, *others])
    ids = {word: each.id for each in lock.in_profile(profile).values() for word in (each.name, each.id)}
    return lock, profile, [ids[name] for name in names], False


def _selects(recipes: Mapping[str, Recipe], text: str) -> bool:
    """Whether a text is the name, or the name and version, of a recipe."""
    name, _, version = text.partition(" ")
    return name in recipes and (not version or recipes[name].version(version) is not None)
