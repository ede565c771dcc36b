"""The plan: the derivations that a target needs, those whose outputs the store knows, and those that must be built.

Pure: the store is asked through a `Known` port. Keys are computed in topological order from the digests of input
trees. When the lock or the store knows a key's outputs, everything after it can be keyed without building anything, so
an unchanged project is planned to the end, and after a change only its dependants are left open.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from builder.base.order import topological
from builder.base.platform import BUILD
from builder.lock.lock import LockedPackage
from builder.plan.derivation import Derivation, Input, Trees, derive
from builder.recipe.recipe import Recipe
from builder.recipe.source import Source
from builder.recipe.styles import STYLES


class UnmeasuredError(Exception):
    """A source's tree is known only after it was fetched, and a plan that only looks fetches nothing."""


class Known(Protocol):
    """A source of known outputs: the local store, and any cache behind it. It is asked before anything is decided."""

    def has_tree(self, tree: str) -> bool:
        """Whether a tree is there, or can be had without building."""

    def outputs(self, key: str) -> Trees | None:
        """The outputs of a derivation that was built before, whether or not their trees are there."""


class Graph(Struct, frozen=True, kw_only=True):
    """The locked packages of one profile that some targets need, in dependency order (requirements first)."""

    packages: Mapping[str, LockedPackage]
    order: tuple[str, ...]

    @classmethod
    def of(cls, packages: Mapping[str, LockedPackage], targets: Iterable[str]) -> "Graph":
        """The part of `packages` (by id) that `targets` need, all kinds of requirement included."""
        needs: dict[str, tuple[str, ...]] = {}
        stack = sorted(targets, reverse=True)
        while stack:
            name = stack.pop()
            if name in needs:
                continue
            package = packages[name]
            needs[name] = package.requires + package.build_requires
            stack.extend(needs[name])
        return cls(packages={name: packages[name] for name in needs}, order=tuple(topological(needs)))

    def closure(self, names: Iterable[str]) -> list[str]:
        """`names` and all they need at run time, sorted."""
        found: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack.extend(self.packages[name].requires)
        return sorted(found)


class Facts(Struct, frozen=True, kw_only=True):
    """All that a derivation is made from; `derive` gets nothing else, so a key can be remembered by the digest of
    these.

    package: without the fields that have no part in its build. recipes: digests, of its own and of its direct
    requirements.
    """

    build_platform: str
    host_platform: str
    package: LockedPackage
    recipes: Mapping[str, str]
    sources: Mapping[str, str]
    inputs: tuple[Input, ...]


class Plan(Struct):
    """A graph with all that is known of each package so far; a build goes on filling it.

    trees: outputs by package, from the lock, the store or a build. derivations: those whose inputs are known.
    unmeasured: packages whose key needs a source that must be fetched first; their pinned outputs are believed.
    """

    graph: Graph
    recipes: Mapping[str, Recipe]
    host_platform: str  # that the outputs are for
    source_tree: Callable[[LockedPackage, str], str]  # package, source name -> tree digest
    known: Known
    build_platform: str = BUILD
    enforce: bool = True  # trust and enforce the lock's outputs
    doubted: frozenset[str] = frozenset()  # but not of these packages, which are checked
    trees: dict[str, Trees] = field(default_factory=dict)
    derivations: dict[str, Derivation] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    remembered: Mapping[str, str] = field(default_factory=dict)  # mark -> key, from runs before
    marks: dict[str, str] = field(default_factory=dict)  # package -> mark
    unmeasured: set[str] = field(default_factory=set)
    asked: dict[str, set[str]] = field(default_factory=dict)  # package -> outputs that must be in the store

    def visible(self, name: str) -> list[str]:
        """Packages whose trees the build of `name` sees: its requirements, and what these need at run time."""
        package = self.graph.packages[name]
        direct = package.requires + package.build_requires
        return self.graph.closure(direct) if any(
            self.graph.packages[each].requires for each in direct
        ) else sorted(direct)

    def sees(self, name: str) -> list[tuple[str, str]]:
        """(package, output) of the trees that the build of `name` sees: "dev" only of direct requirements."""
        package = self.graph.packages[name]
        direct = {*package.requires, *package.build_requires}
        return [
            (each, output) for each in self.visible(name) for output in (("out", "dev") if each in direct else ("out",))
        ]

    def inputs(self, name: str) -> tuple[Input, ...]:
        """The trees that a build sees. All must be known."""
        return tuple(
            Input(package=each, output=output, tree=self.trees[each][output])
            for each, output in self.sees(name) if output in self.trees[each]
        )

    def derive(self, name: str) -> Derivation:
        """The derivation of a package whose inputs are all known (computed once)."""
        if name not in self.derivations:
            self._derive(name, self._facts(name))
        return self.derivations[name]

    def key(self, name: str) -> str:
        """The key of a package whose inputs are all known; a remembered key needs no derivation."""
        if name not in self.keys:
            facts = self._facts(name)
            mark = self.marks[name] = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
            if mark in self.remembered:
                self.keys[name] = self.remembered[mark]
            else:
                self._derive(name, facts)
        return self.keys[name]

    def _derive(self, name: str, facts: Facts) -> None:
        found = derive(
            self.recipes[facts.package.name], facts.package, build_platform=facts.build_platform,
            host_platform=facts.host_platform, sources=facts.sources, inputs=facts.inputs,
            provided=self._provided(facts.package),
        )
        self.derivations[name], self.keys[name] = found, found.key

    def _facts(self, name: str) -> Facts:
        package = self.graph.packages[name]
        return Facts(
            build_platform=self.build_platform,
            host_platform=self.host_platform,
            package=replace(package, profiles=(), sources=(), outputs={}),
            recipes={
                each: self.graph.packages[each].recipe for each in (name, *package.requires, *package.build_requires)
            },
            sources={source.name: self.source_tree(package, source.name) for source in self._sources(package)},
            inputs=self.inputs(name),
        )

    def _sources(self, package: LockedPackage) -> list[Source]:
        return [source for source in package.sources if source.platform in (None, self.host_platform)]

    def _provided(self, package: LockedPackage) -> dict[str, str]:
        """Versions of the packages that a package's requirements carry inside: a profile may let one stand for
        another."""
        needs = (self.graph.packages[each] for each in package.requires + package.build_requires)
        versions = (self.recipes[each.name].version(each.version) for each in needs)
        return {name: carried for each in versions if each is not None for name, carried in each.provides.items()}

    def look_up(self, name: str) -> Trees | None:
        """Outputs of a derived package that the lock or the store knows for its key, whether or not they are there."""
        key = self.keys[name]
        locked = self.enforced(name)
        found = locked if locked is not None else self.known.outputs(key)
        if found is not None:
            self.trees[name] = found
        return found

    def locked(self, name: str) -> Trees | None:
        """The lock's outputs for the derived key of a package; None when the lock has none for this key."""
        pin = self.graph.packages[name].outputs.get(self.host_platform)
        return pin.trees if self.enforce and pin is not None and pin.key == self.keys[name] else None

    def enforced(self, name: str) -> Trees | None:
        """The lock's outputs where a build must give them."""
        return None if name in self.doubted else self.locked(name)

    def advance(self) -> None:
        """Key as much of the graph as can be keyed without building anything."""
        for name in self.graph.order:
            if name not in self.trees and all(each in self.trees for each in self.visible(name)):
                try:
                    self.key(name)
                except UnmeasuredError:
                    self._believe(name)
                else:
                    self.look_up(name)

    def _believe(self, name: str) -> None:
        self.unmeasured.add(name)
        pin = self.graph.packages[name].outputs.get(self.host_platform)
        if pin is not None:
            self.trees[name] = pin.trees

    def present(self, name: str) -> bool:
        """Whether the outputs asked of a package are there: "out", and those that builds of others see (`to_build`)."""
        wanted = self.asked.get(name, {"out"})
        return name in self.trees and all(
            self.known.has_tree(tree) for output, tree in self.trees[name].items() if output in wanted
        )

    def to_build(
        self, targets: Iterable[str], *, force: Iterable[str] = (), inputs_of: Iterable[str] = ()
    ) -> dict[str, tuple[str, ...]]:
        """The packages to realise so that the targets' "out", and all that the builds of others see, is in the store:
        package -> those of them that come before. inputs_of: packages that are to be built elsewhere.
        """
        needed: dict[str, tuple[str, ...]] = {}
        stack = [(name, "out") for name in sorted(targets)] + [each for name in inputs_of for each in self.sees(name)]
        forced = set(force)
        while stack:
            name, output = stack.pop()
            self.asked.setdefault(name, {"out"}).add(output)
            if name in needed or (name not in forced and self.present(name)):
                continue
            needed[name] = tuple(self.visible(name))
            stack.extend(self.sees(name))
        return {name: tuple(each for each in before if each in needed) for name, before in needed.items()}


def is_builtin(recipe: Recipe, version: str) -> bool:
    """Whether a version is made by the builder itself, without a sandbox."""
    found = recipe.version(version)
    return found is not None and STYLES[found.style].builtin


def priorities(needed: Mapping[str, Iterable[str]], weight: Callable[[str], float]) -> dict[str, float]:
    """Seconds from the start of each task to the end of the longest chain after it: the greatest starts first."""
    order = topological(needed)
    after: dict[str, float] = dict.fromkeys(order, 0.0)
    for name in reversed(order):
        after[name] += weight(name)
        for each in needed[name]:
            after[each] = max(after[each], after[name])
    return after
