"""The values that the rules of an audit see: those that were read before, and the store."""

from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct, field

from builder.audit.revision import Revision
from builder.base.errors import Problem
from builder.fetch.wanted import unpack_key
from builder.lock.lock import Lock, LockedImage, LockedPackage
from builder.plan.plan import Graph
from builder.progress.reporter import NullReporter, Reporter
from builder.recipe.project import Project
from builder.recipe.recipe import Recipe, Version
from builder.recipe.source import Source
from builder.store import Store
from builder.tree import worktree


class Context(Struct, frozen=True, kw_only=True, dict=True):
    """One audit.

    project, lock: None when they could not be read; `problems` says why, and rules that need them find nothing.
    profiles: those that are looked at; image: only what this image needs, or None for all. since: the project at a
    git revision, or None.
    """

    project: Project | None
    lock: Lock | None
    store: Store
    platform: str
    profiles: tuple[str, ...] = ()
    image: str | None = None
    problems: tuple[Problem, ...] = ()
    since: Revision | None = None
    reporter: Reporter = field(default_factory=NullReporter)

    @cached_property
    def images(self) -> tuple[LockedImage, ...]:
        """Locked images that are looked at."""
        images = self.lock.images if self.lock else ()
        return tuple(each for each in images if each.profile in self.profiles and self.image in (None, each.name))

    @cached_property
    def packages(self) -> tuple[LockedPackage, ...]:
        """Locked packages that are looked at: each block once, in the lock's order."""
        if self.lock is None:
            return ()
        if self.image is None:
            return tuple(each for each in self.lock.packages if not set(self.profiles).isdisjoint(each.profiles))
        wanted = {id(each) for image in self.images for each in self.needs(image)}
        return tuple(each for each in self.lock.packages if id(each) in wanted)

    def needs(self, image: LockedImage) -> list[LockedPackage]:
        """All that an image and the builds of its packages need."""
        assert self.lock is not None, "the image came from it"
        held = self.lock.in_profile(image.profile)
        return list(Graph.of(held, self.lock.targets(image)).packages.values())

    @cached_property
    def sources(self) -> tuple[tuple[LockedPackage, Source], ...]:
        """Fetched sources of the packages that are looked at, of all platforms."""
        return tuple((package, source) for package in self.packages for source in package.sources if not source.folder)

    def here(self, source: Source) -> bool:
        """Whether the platform that is looked at wants this source."""
        return source.platform in (None, self.platform)

    def recipe(self, package: LockedPackage) -> Recipe | None:
        recipes = self.project.recipes if self.project else None
        return recipes[package.name] if recipes is not None and package.name in recipes else None

    def version(self, package: LockedPackage) -> Version | None:
        """The recipe's block of the locked version."""
        recipe = self.recipe(package)
        return recipe.version(package.version) if recipe else None

    def named(self, package: LockedPackage) -> str:
        """The arguments that name a package to a command: its name, and a profile that is looked at and holds it."""
        return f"{package.name} --profile {next(each for each in package.profiles if each in self.profiles)}"

    def builds(self, name: str, profiles: tuple[str, ...]) -> str:
        """The command that builds a package or image: all at once where outputs are required, else this one alone."""
        known = self.project.profiles if self.project else {}
        if any(each in known and known[each].outputs_required for each in profiles):
            return "builder build --all"
        return f"builder build {name} --profile {profiles[0]}"

    def place(self, package: LockedPackage, source: Source | None = None, key: str = "") -> str:
        """Like "nginx 1.26.3", "nginx 1.26.3 (embedded), source debian, sha256": profiles
        when there are several blocks."""
        twins = [each for each in self.packages if each.id == package.id]
        words = [package.id + (f" ({', '.join(package.profiles)})" if len(twins) > 1 else "")]
        if source is not None:
            words.append(f"source {source.name}" + (f" for {source.platform}" if source.platform else ""))
        return ", ".join([*words, key] if key else words)

    def trees(self) -> Iterator[tuple[str, str]]:
        """(tree digest, place) of every tree that the lock names for this platform, each
        once, by what names it first."""
        seen: set[str] = set()
        for package in self.packages:
            named = [(source.tree, self.place(package, source)) for source in package.sources if self.here(source)]
            output = package.outputs.get(self.platform)
            trees = output.trees if output else {}
            named += [(tree, self.place(package, key=f"output {name}")) for name, tree in trees.items()]
            for tree, place in named:
                if tree is not None and tree not in seen:
                    seen.add(tree)
                    yield tree, place

    @cached_property
    def _folders(self) -> dict[Source, str]:
        return {}

    def source_tree(self, source: Source) -> str | None:
        """The digest of a source's tree, as far as it is known without fetching: pinned, or
        what the pinned file unpacked to here; a directory's is computed."""
        if source.folder is None or self.project is None:
            record = self.store.record(unpack_key(source)) if source.tree is None and source.sha256 else None
            return record.trees.get("out") if record else source.tree
        if source not in self._folders:
            self._folders[source] = worktree.tree(self.project.root, source.folder, source.include)
        return self._folders[source]
