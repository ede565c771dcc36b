"""The choices that are open and those that already follow: candidates, their requirements, and propagation over them.

A `State` only ever narrows: versions go out, requirements come in. So its consequences follow in any order, and a
package that is left without a version proves that there is no solution.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from msgspec import Struct, field

from builder.recipe.recipe import Feature, Recipe, Version
from builder.recipe.requirement import Requirement

Features = frozenset[str]
NO_FEATURES: Features = frozenset()


class Query(Struct, frozen=True, kw_only=True):
    """A problem to resolve.

    roots: (its origin, requirement), like ("image openresty", openresty). label: of the set of choices, for messages
    ("profile upstream"). constraints, providers, features: as in a profile. preferred: package -> version to keep.
    """

    recipes: Mapping[str, Recipe]
    roots: tuple[tuple[str, Requirement], ...]
    label: str = "profile default"
    constraints: Mapping[str, Requirement] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preferred: Mapping[str, str] = field(default_factory=dict)


class Edge(NamedTuple):
    """A requirement of one package. `target` is the package that answers it, which may be a provider."""

    target: str
    want: Requirement
    build: bool


class Want(NamedTuple):
    """A requirement with its origin: a package's name, or a root's number."""

    origin: str | int
    want: Requirement


class Unsatisfied(Exception):  # noqa: N818 - a finding, not yet an error: a search may go on from it
    """No version of `name` is left in `state`."""

    def __init__(self, state: "State", name: str) -> None:
        super().__init__(name)
        self.state = state
        self.name = name


class Universe:
    """The offers of a query's recipes: candidates in order of preference, with the requirements of each."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._versions: dict[str, tuple[str, ...]] = {}
        self._admitted: dict[tuple[str, Requirement], Features | None] = {}
        self._edges: dict[tuple[str, str, Features], tuple[Edge, ...]] = {}

    def target(self, want: Requirement) -> str:
        """The package that answers a requirement."""
        return self.query.providers.get(want.name, want.name)

    def versions(self, name: str) -> tuple[str, ...]:
        """Versions of a package that the constraints admit, best first; none when there is no such recipe."""
        found = self._versions.get(name)
        if found is None:
            found = self._versions[name] = self._ordered(name)
        return found

    def admitted(self, target: str, want: Requirement) -> frozenset[str] | None:
        """Versions of `target` that answer a requirement; None is all of them."""
        if target == want.name and not want.allow and not want.refuse and not want.features:
            return None
        key = (target, want)
        if key not in self._admitted:
            versions = self.query.recipes[target].versions if target in self.query.recipes else ()
            self._admitted[key] = frozenset(each.version for each in versions if self._answers(each, target, want))
        return self._admitted[key]

    def edges(self, name: str, version: str, features: Features) -> tuple[Edge, ...]:
        """Requirements of one version with some features on, its tools last."""
        key = (name, version, features)
        found = self._edges.get(key)
        if found is None:
            found = self._edges[key] = self._edges_of(name, version, features)
        return found

    def _ordered(self, name: str) -> tuple[str, ...]:
        recipe = self.query.recipes.get(name)
        if recipe is None:
            return ()
        constraint = self.query.constraints.get(name)
        features = self.query.features.get(name, ())
        found = [
            each.version for each in recipe.versions
            if (constraint is None or constraint.admits(each.version)) and (
                not features or self._can_have(name, each, features)
            )
        ]
        kept = self.query.preferred.get(name)
        if kept in found and found[0] != kept:
            found = [kept, *(each for each in found if each != kept)]
        return tuple(found)

    def _answers(self, version: Version, target: str, want: Requirement) -> bool:
        if want.features and not self._can_have(target, version, want.features):
            return False
        if target == want.name:
            return want.admits(version.version)
        inside = version.provides.get(want.name)
        constraint = self.query.constraints.get(want.name)
        return inside is not None and want.admits(inside) and (constraint is None or constraint.admits(inside))

    def _can_have(self, name: str, version: Version, features: Iterable[str]) -> bool:
        """Whether a version can have features: one that is built in its own way is built without the recipe's."""
        return not version.own_style and all(each in self.query.recipes[name].features for each in features)

    def _edges_of(self, name: str, version: str, features: Features) -> tuple[Edge, ...]:
        recipe = self.query.recipes[name]
        found = recipe.version(version)
        assert found is not None
        parts: list[Version | Feature] = [found]
        parts += [recipe.features[each] for each in sorted(features)]
        providers = self.query.providers
        edges: dict[Edge, None] = {}
        for part in parts:
            for want in part.requires:
                edges[Edge(providers.get(want.name, want.name), want, False)] = None
            for want in part.build_requires:
                edges[Edge(providers.get(want.name, want.name), want, True)] = None
        if recipe.tools and recipe.tools != name:
            edges[Edge(providers.get(recipe.tools, recipe.tools), Requirement(recipe.tools), True)] = None
        return tuple(edges)


class State:
    """The choices still possible: versions left of each package that is surely needed, in the order of reaching them.

    wants: the requirements of a package, in order. features: those that are surely on. picks: versions that packages
    are held to from the start, where the constraints admit them.
    """

    def __init__(self, universe: Universe, picks: Mapping[str, str] | None = None) -> None:
        self.universe = universe
        self.domain: dict[str, tuple[str, ...]] = {}
        self.features: dict[str, Features] = {}
        self.wants: dict[str, list[Want]] = {}
        self._picks = picks or {}
        self._followed: dict[str, tuple[Edge, ...]] = {}
        self._queue: deque[str] = deque()

    def copy(self) -> "State":
        other = State(self.universe, self._picks)
        other.domain = dict(self.domain)
        other.features = dict(self.features)
        other.wants = {name: list(each) for name, each in self.wants.items()}
        other._followed = dict(self._followed)
        return other

    def start(self) -> None:
        """Take in the roots and all that follows from them.

        Raises:
            Unsatisfied: a package is left without a version.
        """
        for number, (_, want) in enumerate(self.universe.query.roots):
            self._want(number, self.universe.target(want), want)
        self._settle()

    def open(self) -> list[str]:
        """Packages with more than one version left; those whose locked version is left come first."""
        names = [name for name, versions in self.domain.items() if len(versions) > 1]
        return sorted(names, key=lambda name: not self._is_kept(name))

    def is_decided(self, name: str) -> bool:
        """Whether a package is surely needed and has one version left."""
        return len(self.domain.get(name, ())) == 1

    def take(self, name: str, version: str) -> None:
        """Choose a version, with all that follows.

        Raises:
            Unsatisfied: a package is left without a version.
        """
        self.domain[name] = (version,)
        self._queue.append(name)
        self._settle()

    def take_best(self, most: int) -> None:
        """Choose the best version left of open packages in turn, `most` at most.

        Raises:
            Unsatisfied: a package is left without a version.
        """
        names = self.open()
        while names and most > 0:
            known = len(self.domain)
            for name in names[:most]:
                self.take(name, self.domain[name][0])
            most -= len(names)
            names = [name for name in islice(self.domain, known, None) if len(self.domain[name]) > 1]

    def _is_kept(self, name: str) -> bool:
        return self.domain[name][0] == self.universe.query.preferred.get(name)

    def _settle(self) -> None:
        while self._queue:
            name = self._queue.popleft()
            edges = self._certain(name)
            before = self._followed.get(name)
            if before is not None:
                if before == edges:
                    continue
                seen = set(before)
                new: Iterable[Edge] = [each for each in edges if each not in seen]
            else:
                new = edges
            self._followed[name] = edges
            for target, want, _ in new:
                # A bundle that carries its own requirement needs no other package for it.
                if target != name or want.name == name:
                    self._want(name, target, want)

    def _certain(self, name: str) -> tuple[Edge, ...]:
        """Requirements that every version left of a package has."""
        versions = self.domain[name]
        features = self.features[name]
        first = self.universe.edges(name, versions[0], features)
        for version in versions[1:]:
            other = set(self.universe.edges(name, version, features))
            first = tuple(each for each in first if each in other)
        return first

    def _want(self, origin: str | int, target: str, want: Requirement) -> None:
        domain = self.domain.get(target)
        features = self.features.get(target)
        if domain is None or features is None:
            self.wants[target] = [Want(origin, want)]
            features = frozenset(self.universe.query.features.get(target, ()))
            versions = self.universe.versions(target)
            before = None
        else:
            self.wants[target].append(Want(origin, want))
            versions = before = domain
        pick = self._picks.get(target)
        if before is None and pick in versions:
            versions = (pick,)
        admitted = self.universe.admitted(target, want)
        if admitted is not None:
            versions = tuple(each for each in versions if each in admitted)
        more = features.union(want.features) if want.features else features
        if before is None or versions != before or more != features:
            self.domain[target] = versions
            self.features[target] = more
            if not versions:
                raise Unsatisfied(self, target)
            self._queue.append(target)
