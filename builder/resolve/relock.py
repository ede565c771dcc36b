"""From a project and the lock of before to the lock of now.

Every profile is resolved once, for all its images together: it holds one version of each package. Packages that are the
same all the way down in several profiles share a block. Measurements of fetches and builds are taken over from the
lock of before; the plan decides whether an output still belongs to its key.
"""

from collections.abc import Iterable, Mapping, Set

from msgspec import Struct
from msgspec.structs import replace

from builder.base import canonical
from builder.base.errors import UsageError
from builder.base.shape import near
from builder.cache.gc_pause import paused
from builder.lock.changes import Change, changes
from builder.lock.lock import Lock, LockedImage, LockedOutput, LockedPackage
from builder.recipe import requirement
from builder.recipe.profile import Profile
from builder.recipe.project import Project
from builder.recipe.requirement import Requirement
from builder.recipe.source import Source
from builder.resolve import pins
from builder.resolve.pins import missing_pins, with_pins
from builder.resolve.resolver import Chosen, Resolution, resolve
from builder.resolve.state import Query, Universe

__all__ = ["Change", "Relocked", "changes", "is_stale", "missing_pins", "relock", "with_pins"]


class Relocked(Struct, frozen=True, kw_only=True):
    """A new lock, and its changes."""

    lock: Lock
    changes: tuple[Change, ...]


@paused()
def relock(
    project: Project, before: Lock | None, *, update: Set[str] = frozenset(), update_all: bool = False,
    whole: bool = False
) -> Relocked:
    """Resolve all images in all their profiles. Locked choices are kept but for those of `update`.

    whole: believe nothing in `before` that follows from the recipes, so that an edge or a declared pin that was edited
    in the lock is put back. Without it, blocks whose recipe is as it was are taken over as they are.

    Raises:
        UsageError: `update` names no package of the project.
        ConflictError: a profile has no solution.
        RefusedError: the URL or version of a source changed, and its hash did not.
    """
    for name in sorted(update):
        if name not in project.recipes:
            raise UsageError(f"there is no recipe '{name}' to update", hint=near(name, list(project.recipes)))
    old = before or Lock()
    lock = None if update or update_all or whole else _refreshed(project, old)
    if lock is None:
        lock = _resolved(project, old, update, update_all)
    if lock == before:
        return Relocked(lock=before, changes=())
    known = {each.id: each for each in old.packages}
    new = [each for each in lock.packages if known.get(each.id) is not each]
    pins.refuse_reused(new, old, {each.name: project.recipes[each.name].path for each in new})
    return Relocked(lock=lock, changes=changes(before, lock))


@paused()
def alone(project: Project, lock: Lock, profile: str, names: Iterable[str]) -> Lock:
    """`lock` with a profile as it would be if an image named some more packages (requirements): to build them on the
    side.

    Raises:
        ConflictError: they do not go together with the packages of the profile.
    """
    held = {each.name: each.version for each in lock.packages if profile in each.profiles}
    asked = query(project, profile, held)
    wants = tuple(("the command line", requirement.parse(name)) for name in names)
    resolution = resolve(replace(asked, roots=(*asked.roots, *wants)))
    return replace(lock, packages=_packages(project, {profile: resolution}, lock))


def is_stale(project: Project, lock: Lock, *, update: Set[str] = frozenset(), update_all: bool = False) -> list[str]:
    """The reasons why a lock differs from one that a whole `relock` would write now; none when it does not.

    Raises:
        UsageError, ConflictError, RefusedError: as `relock`.
    """
    relocked = relock(project, lock, update=update, update_all=update_all, whole=True)
    if relocked.lock is lock:
        return []
    return [str(each) for each in relocked.changes] or ["its blocks are divided in another way"]


def query(project: Project, profile_name: str, preferred: Mapping[str, str]) -> Query:
    """The requirements that a profile must satisfy: the packages of all images that resolve in it, and its base."""
    profile = project.profiles[profile_name]
    roots = [
        (f"image {name}", want)
        for name, image in sorted(project.images.items())
        if profile_name in project.profiles_of(name)
        for want in image.packages
    ]
    roots += [("base", want) for want in profile.base]
    return Query(
        recipes=project.recipes, roots=tuple(roots), label=f"profile {profile_name}", constraints=profile.constraints,
        providers=profile.providers, features=profile.features, preferred=preferred,
    )


def image_digest(project: Project, image_name: str, profile_name: str) -> str:
    """The value of `LockedImage.recipe`: the digest of the image and the profile together."""
    return canonical.key([project.images[image_name].digest, project.profiles[profile_name].digest])


# ---- the short way: versions and requirements are as they were


def _refreshed(project: Project, lock: Lock) -> Lock | None:
    """The lock with the digests and sources of changed recipes, when their requirements are still the locked ones.

    The same as resolving again, since a locked version that satisfies all requirements is always kept; None when
    unsure.
    """
    pairs = {(name, profile) for name in project.images for profile in project.profiles_of(name)}
    if {(each.name, each.profile) for each in lock.images} != pairs or len(lock.images) != len(pairs):
        return None
    if any(each.recipe != image_digest(project, each.name, each.profile) for each in lock.images):
        return None
    recipes = project.recipes
    if not all(each.name in recipes for each in lock.packages):
        return None
    stale = [each for each in lock.packages if each.recipe != recipes.digest(each.name)]
    if not stale:
        return lock
    views = {
        name: _View.of(project, lock, name) for each in stale for name in each.profiles if name in project.profiles
    }
    if not all(_still_fits(each, views) for each in stale):
        return None
    fresh = {id(each): _with_recipe(project, each) for each in stale}
    return replace(lock, packages=tuple(fresh.get(id(each), each) for each in lock.packages))


class _View(Struct, frozen=True, kw_only=True):
    """A profile as it is now, and its part of the lock, by package name."""

    profile: Profile
    universe: Universe
    held: Mapping[str, LockedPackage]

    @classmethod
    def of(cls, project: Project, lock: Lock, name: str) -> "_View":
        held = {each.name: each for each in lock.packages if name in each.profiles}
        return cls(profile=project.profiles[name], universe=Universe(query(project, name, {})), held=held)


def _still_fits(package: LockedPackage, views: Mapping[str, _View]) -> bool:
    """Whether a changed recipe gives the locked package the requirements that it has in the lock."""
    return all(name in views and _fits(package, views[name]) for name in package.profiles)


def _fits(package: LockedPackage, view: _View) -> bool:
    profile, universe = view.profile, view.universe
    if package.features or package.name in profile.features or package.name in profile.providers.values():
        return False
    if package.version not in universe.versions(package.name):
        return False
    wants: tuple[set[str], set[str]] = (set(), set())
    for target, want, build in universe.edges(package.name, package.version, frozenset()):
        found = view.held.get(target)
        admitted = universe.admitted(target, want)
        if found is None or found.features or want.features or (admitted is not None and found.version not in admitted):
            return False
        wants[build].add(found.id)
    return (tuple(sorted(wants[0])), tuple(sorted(wants[1] - wants[0]))) == (package.requires, package.build_requires)


def _with_recipe(project: Project, package: LockedPackage) -> LockedPackage:
    sources = _sources(project, package.name, package.version, package.sources)
    return replace(package, recipe=project.recipes.digest(package.name), sources=sources)


# ---- the long way


def _resolved(project: Project, old: Lock, update: Set[str], update_all: bool) -> Lock:
    names = sorted({profile for name in project.images for profile in project.profiles_of(name)})
    resolutions = {}
    for name in names:
        held = {} if update_all else {each.name: each.version for each in old.packages if name in each.profiles}
        resolutions[name] = resolve(query(project, name, {key: held[key] for key in held if key not in update}))
    return Lock(images=_images(project, resolutions, old), packages=_packages(project, resolutions, old))


def _images(project: Project, resolutions: Mapping[str, Resolution], old: Lock) -> tuple[LockedImage, ...]:
    known = {(each.name, each.profile): each for each in old.images}
    images = []
    for name, profile_name in sorted((image, each) for image in project.images for each in project.profiles_of(image)):
        profile = project.profiles[profile_name]
        packages = resolutions[profile_name].packages
        before = known.get((name, profile_name))
        images.append(LockedImage(
            name=name, profile=profile_name, recipe=image_digest(project, name, profile_name),
            below=project.images[name].below,
            packages=_ids(project.images[name].packages, profile, packages), base=_ids(profile.base, profile, packages),
            outputs=before.outputs if before else {},
        ))
    return tuple(images)


def _ids(wants: tuple[Requirement, ...], profile: Profile, packages: Mapping[str, Chosen]) -> tuple[str, ...]:
    """The chosen packages of requirements, sorted."""
    return tuple(sorted({packages[profile.providers.get(want.name, want.name)].id for want in wants}))


_Node = tuple[Chosen, tuple[int, ...]]


def _packages(project: Project, resolutions: Mapping[str, Resolution], old: Lock) -> tuple[LockedPackage, ...]:
    """A block for each package that differs, itself or anywhere below, from those of other profiles."""
    numbers: dict[_Node, int] = {}
    blocks: list[tuple[Chosen, list[str]]] = []
    for profile, resolution in resolutions.items():
        mine: dict[str, int] = {}
        for chosen in resolution.packages.values():
            node = (chosen, tuple(mine[each] for each in (*chosen.requires, *chosen.build_requires)))
            number = numbers.setdefault(node, len(blocks))
            if number == len(blocks):
                blocks.append((chosen, []))
            blocks[number][1].append(profile)
            mine[chosen.id] = number
    earlier: dict[tuple[str, str], list[LockedPackage]] = {}
    for each in old.packages:
        earlier.setdefault((each.name, each.version), []).append(each)
    packages = [
        _block(project, chosen, tuple(profiles), earlier.get((chosen.name, chosen.version), []))
        for chosen, profiles in blocks
    ]
    return tuple(sorted(packages, key=lambda each: (each.name, each.version, each.profiles)))


def _block(project: Project, chosen: Chosen, profiles: tuple[str, ...], earlier: list[LockedPackage]) -> LockedPackage:
    """`earlier`: blocks of the same name and version in the lock of before."""
    outputs: dict[str, LockedOutput] = {}
    for each in earlier:
        if each.features == chosen.features and not set(profiles).isdisjoint(each.profiles):
            outputs = {**each.outputs, **outputs}
    locked = tuple(source for each in earlier for source in each.sources)
    return LockedPackage(
        name=chosen.name, version=chosen.version, profiles=profiles, recipe=project.recipes.digest(chosen.name),
        features=chosen.features, requires=chosen.requires, build_requires=chosen.build_requires,
        sources=_sources(project, chosen.name, chosen.version, locked), outputs=outputs,
    )


def _sources(project: Project, name: str, version: str, locked: tuple[Source, ...]) -> tuple[Source, ...]:
    """A version's sources, with the pins that were measured before."""
    found = project.recipes[name].version(version)
    assert found is not None, "versions are chosen from the recipe"
    known: dict[tuple[str, str | None], Source] = {}
    for each in locked:
        known.setdefault((each.name, each.platform), each)
    return tuple(pins.carried(each, known.get((each.name, each.platform))) for each in found.sources)
