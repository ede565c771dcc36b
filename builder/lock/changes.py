"""The differences between two locks, in lines for the user."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from builder.lock.lock import Lock, LockedPackage
from builder.recipe.source import Source


class Change(Struct, frozen=True):
    """One difference. kind: "added", "removed", "version", "pinned", "pin", "source", "package", "recipe",
    "output" or "image"."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def changes(before: Lock | None, after: Lock) -> tuple[Change, ...]:
    """The changes in `after`: versions first, then sources and pins, then packages and images whose recipe changed."""
    old = before or Lock()
    return (*_versions(old, after), *_blocks(old, after), *_images(old, after))


def _versions(old: Lock, new: Lock) -> Iterator[Change]:
    olds, news = _held(old), _held(new)
    moves: dict[tuple[str, str, str], list[str]] = {}
    for key in sorted({*olds, *news}):
        a, b = olds.get(key, ""), news.get(key, "")
        if a != b:
            moves.setdefault((key[0], a, b), []).append(key[1])
    for (name, a, b), profiles in moves.items():
        where = f"({', '.join(profiles)})"
        if not a:
            yield Change("added", f"{name} {b} added {where}")
        elif not b:
            yield Change("removed", f"{name} {a} removed {where}")
        else:
            yield Change("version", f"{name} {a} -> {b} {where}")


def _held(lock: Lock) -> dict[tuple[str, str], str]:
    return {(each.name, profile): each.version for each in lock.packages for profile in each.profiles}


def _blocks(old: Lock, new: Lock) -> Iterator[Change]:
    """Changes inside packages whose version is the same in some profile."""
    olds = {(each.id, profile): each for each in old.packages for profile in each.profiles}
    pins: dict[Change, None] = {}
    recipes: dict[Change, None] = {}
    for package in new.packages:
        before = next((olds[package.id, each] for each in package.profiles if (package.id, each) in olds), None)
        if before is None or before is package or before == package:
            continue
        pins.update(dict.fromkeys(_sources(before, package)))
        if _wants(before) != _wants(package):
            recipes[Change("package", f"{package.id}: features or requirements changed")] = None
        elif before.recipe != package.recipe:
            recipes[Change("recipe", f"{package.id}: the recipe changed")] = None
        elif before.outputs != package.outputs:
            recipes[Change("output", f"{package.id}: outputs pinned")] = None
    yield from pins
    yield from recipes


def _wants(package: LockedPackage) -> tuple[tuple[str, ...], ...]:
    return (package.features, package.requires, package.build_requires)


def _sources(before: LockedPackage, after: LockedPackage) -> Iterator[Change]:
    olds = {(each.name, each.platform): each for each in before.sources}
    for source in after.sources:
        old = olds.pop((source.name, source.platform), None)
        label = f"{after.id}, source '{source.name}'"
        if old is None:
            yield Change("source", f"{label}: added")
        elif old != source:
            yield from _source(old, source, label)
    for name, _ in olds:
        yield Change("source", f"{after.id}, source '{name}': removed")


_PINS = ("sha256", "tree", "size", "unpacked", "entries")


def _source(old: Source, new: Source, label: str) -> Iterator[Change]:
    pins = [(key, getattr(old, key), getattr(new, key)) for key in _PINS]
    gained = [f"{key} {b}" for key, a, b in pins if a is None and b is not None]
    if gained:
        yield Change("pinned", f"pinned newly: {label}: {', '.join(gained)}")
    for key, a, b in pins:
        if a is not None and a != b:
            yield Change("pin", f"{label}: {key} {a} -> {'not known' if b is None else b}")
    for key in ("locations", "filename", "strip", "folder", "include"):
        if getattr(old, key) != getattr(new, key):
            yield Change("source", f"{label}: {key} changed")


def _images(old: Lock, new: Lock) -> Iterator[Change]:
    olds = {(each.name, each.profile): each for each in old.images}
    news: Mapping[tuple[str, str], object] = {(each.name, each.profile): each for each in new.images}
    for image in new.images:
        before = olds.get((image.name, image.profile))
        label = f"image {image.name} in {image.profile}"
        if before is None:
            yield Change("image", f"{label} added")
        elif before.recipe != image.recipe:
            yield Change("image", f"{label}: the image or the profile changed")
        elif (before.below, before.packages, before.base) != (image.below, image.packages, image.base):
            yield Change("image", f"{label}: its packages changed")
    for name, profile in sorted(set(olds) - set(news)):
        yield Change("image", f"image {name} in {profile} removed")
