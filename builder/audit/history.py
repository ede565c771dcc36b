"""Common parts of the rules that look back: sources and versions of now beside those of a git revision."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from builder.audit.context import Context
from builder.audit.revision import Revision
from builder.lock.lock import LockedPackage
from builder.recipe.recipe import Recipe
from builder.recipe.source import Source

_Name = tuple[str, str | None]  # name of a source, and its platform


class Pair(Struct, frozen=True, kw_only=True):
    """One source then and now. old_id: "nginx 1.26.2", the package it belonged to; place: where it is now."""

    old_id: str
    old: Source
    new: Source
    place: str


def same_hash(one: Source, other: Source) -> str:
    """The hash that two sources share ("sha256 1234..."), or "" when none is known to be the same."""
    for key in ("sha256", "tree"):
        mine = getattr(one, key)
        if mine is not None and mine == getattr(other, key):
            return f"{key} {mine}"
    return ""


def common_location(one: Source, other: Source) -> str:
    """A place that both lie in, or "". An added mirror stands beside the old place."""
    return next((each for each in one.locations if each in other.locations), "")


def moved(context: Context) -> Iterator[tuple[LockedPackage, LockedPackage]]:
    """(then, now) of each package whose version changed in a profile, each pair once."""
    if context.since is None:
        return
    then = {(profile, each.name): each for each in context.since.lock.packages for profile in each.profiles}
    seen: set[tuple[int, int]] = set()
    for package in context.packages:
        for profile in package.profiles:
            old = then.get((profile, package.name))
            if old is not None and old.version != package.version and (id(old), id(package)) not in seen:
                seen.add((id(old), id(package)))
                yield old, package


def pairs(context: Context) -> Iterator[Pair]:
    """Sources of the same version then and now: of locked packages, and of versions that the recipes offer besides."""
    if context.since is None:
        return
    locked = _locked(context.since)
    now = {package.id for package in context.packages}
    for package in context.packages:
        for source in package.sources:
            old = locked.get((package.id, source.name, source.platform))
            if old is not None:
                yield Pair(old_id=package.id, old=old, new=source, place=context.place(package, source))
    for recipe in _recipes(context):
        before = context.since.recipes.get(recipe.name)
        if before is not None:
            yield from (pair for pair in _offered(before, recipe) if pair.old_id not in now)


def between(context: Context, old: LockedPackage, new: LockedPackage) -> Iterator[Pair]:
    """Sources of the same name in two versions of a package."""
    theirs: Mapping[_Name, Source] = {(each.name, each.platform): each for each in old.sources}
    for source in new.sources:
        other = theirs.get((source.name, source.platform))
        if other is not None and not (source.folder or other.folder):
            yield Pair(old_id=old.id, old=other, new=source, place=context.place(new, source))


def _locked(since: Revision) -> dict[tuple[str, str, str | None], Source]:
    return {(each.id, source.name, source.platform): source for each in since.lock.packages for source in each.sources}


def _recipes(context: Context) -> list[Recipe]:
    recipes = context.project.recipes if context.project else {}
    return [recipes[name] for name in sorted({each.name for each in context.packages}) if name in recipes]


def _offered(before: Recipe, now: Recipe) -> Iterator[Pair]:
    for version in now.versions:
        old = before.version(version.version)
        theirs = {(each.name, each.platform): each for each in old.sources} if old else {}
        for source in version.sources:
            other = theirs.get((source.name, source.platform))
            if other is not None:
                name = f"{now.name} {version.version}"
                yield Pair(old_id=name, old=other, new=source, place=f"{now.path}: {name}, source {source.name}")
