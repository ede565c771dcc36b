"""Pins of sources: those taken over from the lock of before, those still missing, and those not to be believed.

A pin is the SHA-256 of a file's bytes or the digest of the unpacked tree. A recipe declares pins; a pin that it does
not declare is measured by fetching once, and then kept in the lock for as long as the source has a location in common
with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec.structs import replace

from builder.base.errors import RefusedError
from builder.lock.lock import Lock, LockedPackage
from builder.recipe.source import Source

_OF_FILE = ("size", "sha256")
_OF_TREE = ("tree", "unpacked", "entries")


class Pin(Protocol):
    """The measured bytes of a source: of the file (size in bytes, hexadecimal SHA-256) and of its tree."""

    @property
    def size(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def tree(self) -> str | None: ...
    @property
    def unpacked(self) -> int | None: ...
    @property
    def entries(self) -> int | None: ...


Wanted = tuple[str, str, Source]  # package, version, source


def missing_pins(lock: Lock) -> list[Wanted]:
    """Sources that nothing pins: they must be fetched once. Each is there once, sorted by package and version."""
    found = {
        (package.name, package.version, source): None
        for package in lock.packages
        for source in package.sources
        if source.folder is None and source.sha256 is None and source.tree is None
    }
    return list(found)


def with_pins(lock: Lock, pins: Mapping[Wanted, Pin]) -> Lock:
    """The lock with measured pins filled in where it has none; those that are pinned already stay as they are."""
    names = {(name, version) for name, version, _ in pins}
    packages = tuple(
        replace(
            each, sources=tuple(_filled(source, pins.get((each.name, each.version, source))) for source in each.sources)
        )
        if (each.name, each.version) in names else each
        for each in lock.packages
    )
    return replace(lock, packages=packages)


def carried(new: Source, old: Source | None) -> Source:
    """A recipe's source with the pins that the lock of before has for it, if these can be of the same bytes."""
    if old is None or old.folder or new.folder or not set(new.locations) & set(old.locations):
        return new
    if _differ(new, old, (*_OF_FILE, "tree")):
        return new
    same_tree = new.strip == old.strip and new.filename == old.filename and not _differ(new, old, _OF_TREE)
    return _filled(new, old, _OF_FILE + (_OF_TREE if same_tree else ()))


def refuse_reused(packages: Iterable[LockedPackage], before: Lock, paths: Mapping[str, str]) -> None:
    """Refuse a source whose URL or version changed but whose hash did not: it would be the old bytes under a new name.

    paths: package -> its recipe's file, for messages.

    Raises:
        RefusedError: naming all of them, with their former location or version.
    """
    known = {(profile, each.name): each for each in before.packages for profile in each.profiles}
    by_id = {each.id: each for each in before.packages}
    found: dict[str, None] = {}
    for package in packages:
        olds = [by_id.get(package.id), *(known.get((profile, package.name)) for profile in package.profiles)]
        for old in olds:
            if old is not None:
                found.update(dict.fromkeys(f"{paths[package.name]}: {text}" for text in _reused(package, old)))
    if found:
        hint = (
            "put the hash of the new bytes there, or take it out and let `builder resolve` measure it; "
            "if the same archive only has a new place, list it beside the old one; "
            "if lock.toml was edited by hand, take that back: "
            "`git checkout lock.toml`"
        )
        raise RefusedError("\n".join(found), hint=hint)


def _reused(new: LockedPackage, old: LockedPackage) -> Iterator[str]:
    pairs = list(_pairs(new, old))
    for mine, theirs in pairs:
        same = _same_hash(mine, theirs)
        if same and not set(mine.locations) & set(theirs.locations):
            yield (
                f"version {new.version}, source '{mine.name}': the URL changed from {theirs.locations[0]} "
                f"to {mine.locations[0]}, but the {same} is still that of {old.id}"
            )
    pinned = [(mine, theirs) for mine, theirs in pairs if mine.sha256 or mine.tree]
    if new.version != old.version and len(pinned) == len(new.sources) > 0:
        hashes = [_same_hash(mine, theirs) for mine, theirs in pinned]
        if all(hashes) and all(set(mine.locations) & set(theirs.locations) for mine, theirs in pinned):
            moved = f"the version changed from {old.version} to {new.version}"
            yield f"{moved}, but the {hashes[0]} is still that of {old.id}"


def _pairs(new: LockedPackage, old: LockedPackage) -> Iterator[tuple[Source, Source]]:
    """Sources of the same name and platform that are fetched."""
    theirs = {(each.name, each.platform): each for each in old.sources if each.locations}
    for mine in new.sources:
        other = theirs.get((mine.name, mine.platform))
        if other is not None and mine.locations:
            yield mine, other


def _same_hash(mine: Source, theirs: Source) -> str:
    """The hash that two sources share, as a word with its digits, or an empty text."""
    if mine.sha256 is not None and mine.sha256 == theirs.sha256:
        return f"sha256 {mine.sha256}"
    if mine.tree is not None and mine.tree == theirs.tree:
        return f"tree {mine.tree}"
    return ""


def _differ(mine: Source, theirs: Source, keys: Iterable[str]) -> bool:
    """Whether both say something about one of `keys`, and not the same."""
    pairs = ((getattr(mine, key), getattr(theirs, key)) for key in keys)
    return any(a is not None and b is not None and a != b for a, b in pairs)


def _filled(source: Source, pin: Pin | None, keys: Iterable[str] = _OF_FILE + _OF_TREE) -> Source:
    if pin is None:
        return source
    more = {key: getattr(pin, key) for key in keys if getattr(source, key) is None and getattr(pin, key) is not None}
    return replace(source, **more) if more else source
