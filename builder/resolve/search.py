"""The search for versions that satisfy all requirements, by resolvelib, over the packages that propagation left open.

A feature of a package is an identifier of its own, "nginx[lua-var]", whose candidates need the same version of the
package itself: so a candidate's requirements never change while the search goes on, as resolvelib wants it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver
from resolvelib.resolvers import ResolutionTooDeep

from builder.resolve.state import NO_FEATURES, Edge, State

MAX_ROUNDS = 10_000
# resolvelib keeps a copy of all criteria for each round: rounds times packages bounds its memory (some 300 MB).
MAX_COPIES = 4_000_000


class NothingFoundError(Exception):
    """No choice works, or the bound was reached; the text says which."""


class _Wanted(Struct, frozen=True):
    """A requirement in the search; `admits` None is every version."""

    name: str
    feature: str
    admits: frozenset[str] | None


class _Pick(Struct, frozen=True):
    """A candidate in the search: a version of a package, or of one of its features."""

    name: str
    feature: str
    version: str


_Key = tuple[str, str]  # package, feature or ""


def search(certain: State, *, max_rounds: int = MAX_ROUNDS) -> dict[str, str]:
    """Versions by package, for the open and entangled packages of `certain` and those that these choices need.

    Raises:
        NothingFoundError: there is none, or it takes more rounds than `max_rounds`.
    """
    entangled = _entangled(certain)
    roots = _roots(certain, entangled)
    resolver: Resolver[_Wanted, _Pick, _Key] = Resolver(_Provider(certain, entangled), BaseReporter())
    max_rounds = min(max_rounds, MAX_COPIES // max(1, len(roots)))
    try:
        result = resolver.resolve(roots, max_rounds=max_rounds)
    except ResolutionImpossible:
        raise NothingFoundError("none of the others works either") from None
    except ResolutionTooDeep:
        raise NothingFoundError(f"the search for another was given up after {max_rounds} rounds") from None
    return {pick.name: pick.version for pick in result.mapping.values()}


def _roots(certain: State, entangled: set[str]) -> list[_Wanted]:
    roots = []
    for name in certain.open():
        if name in entangled:
            admits = frozenset(certain.domain[name])
            roots.append(_Wanted(name, "", admits))
            roots += [_Wanted(name, feature, admits) for feature in sorted(certain.features[name])]
    return roots


def _entangled(certain: State) -> set[str]:
    """Packages whose choice can matter to others.

    All but those that only ever get requirements which every version meets, and that need, in every version, only more
    of their kind and decided packages: these can be at any version, whatever else is chosen.
    """
    needed_by: dict[str, list[str]] = {}
    found: set[str] = set()
    stack = certain.open()
    seen = set(stack)
    while stack:
        name = stack.pop()
        versions = certain.domain.get(name) or certain.universe.versions(name)
        if not versions:
            found.add(name)
        for edge in {each for version in versions for each in _edges_at_most(certain, name, version)}:
            admits = certain.universe.admitted(edge.target, edge.want)
            decided = certain.is_decided(edge.target)
            needed_by.setdefault(edge.target, []).append(name)
            if admits is not None and not (
                decided and not edge.want.features and certain.domain[edge.target][0] in admits
            ):
                found.update((name, edge.target))
            # More features of a decided package need more.
            if edge.target not in seen and (not decided or edge.want.features):
                seen.add(edge.target)
                stack.append(edge.target)
    stack = list(found)
    while stack:
        new = {each for each in needed_by.get(stack.pop(), ()) if each not in found}
        found |= new
        stack += new
    return found


def _edges_at_most(certain: State, name: str, version: str) -> list[Edge]:
    """The requirements that a version could have, with all features that it can have."""
    recipe = certain.universe.query.recipes[name]
    edges = certain.universe.edges(name, version, frozenset(recipe.features))
    return [each for each in edges if each.target != name or each.want.name == name]


class _Provider(AbstractProvider[_Wanted, _Pick, _Key]):
    """The entangled packages of a state, as resolvelib asks for them. Decided packages are only looked at, never
    chosen."""

    def __init__(self, certain: State, entangled: set[str]) -> None:
        self._certain = certain
        self._universe = certain.universe
        self._entangled = entangled
        self._decided = {name: each[0] for name, each in certain.domain.items() if len(each) == 1}
        self._place = {name: number for number, name in enumerate(certain.domain)}

    def identify(self, requirement_or_candidate: _Wanted | _Pick) -> _Key:
        return (requirement_or_candidate.name, requirement_or_candidate.feature)

    def get_preference(
        self, identifier: _Key, resolutions: Mapping[_Key, _Pick], candidates: Mapping[_Key, Iterator[_Pick]],
        information: Any, backtrack_causes: Sequence[Any],
    ) -> tuple[int, _Key]:
        """Packages in the order in which propagation reached them, then by name."""
        return (self._place.get(identifier[0], len(self._place)), identifier)

    def find_matches(
        self, identifier: _Key, requirements: Mapping[_Key, Iterator[_Wanted]],
        incompatibilities: Mapping[_Key, Iterator[_Pick]],
    ) -> list[_Pick]:
        name, feature = identifier
        wanted = list(requirements[identifier])
        out = {each.version for each in incompatibilities[identifier]}
        versions = self._certain.domain.get(name) or self._universe.versions(name)
        return [
            _Pick(name, feature, version) for version in versions
            if version not in out
            and all(each.admits is None or version in each.admits for each in wanted)
            and all(self._agrees(edge) for edge in self._edges(name, feature, version))
        ]

    def is_satisfied_by(self, requirement: _Wanted, candidate: _Pick) -> bool:
        return requirement.admits is None or candidate.version in requirement.admits

    def get_dependencies(self, candidate: _Pick) -> Iterable[_Wanted]:
        name, feature, version = candidate.name, candidate.feature, candidate.version
        if feature and name not in self._decided:
            yield _Wanted(name, "", frozenset((version,)))
        for edge in self._edges(name, feature, version):
            admits = self._universe.admitted(edge.target, edge.want)
            if edge.target in self._entangled:
                yield _Wanted(edge.target, "", admits)
                features = {*edge.want.features, *self._universe.query.features.get(edge.target, ())}
            elif edge.target in self._decided:
                features = {*edge.want.features} - self._certain.features[edge.target]
            else:
                features = set()
            for each in sorted(features):
                yield _Wanted(edge.target, each, admits)

    def _edges(self, name: str, feature: str, version: str) -> list[Edge]:
        """A candidate's requirements of others: of a feature's, only those that it adds."""
        plain = self._universe.edges(name, version, NO_FEATURES)
        edges: Iterable[Edge] = plain
        if feature:
            edges = [each for each in self._universe.edges(name, version, frozenset((feature,))) if each not in plain]
        return [each for each in edges if each.target != name or each.want.name == name]

    def _agrees(self, edge: Edge) -> bool:
        """Whether a requirement fits the decided packages."""
        decided = self._decided.get(edge.target)
        admits = None if decided is None else self._universe.admitted(edge.target, edge.want)
        return admits is None or decided in admits
