"""Version choice: one version of each package that satisfies all requirements, best first.

A choice with one answer is decided by propagation, without a search. Then a greedy pass takes the best version of each
package that is open. Only when that ends at a conflict does a search (resolvelib) look for another choice among the
packages that are open; so a conflict costs time for the open packages, not for all known ones.

The order of preference is the recipe's, but a locked version comes first. Pure: nothing here knows files or the lock.
"""

import sys
from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from builder.base.order import CycleFoundError, topological
from builder.resolve import conflict
from builder.resolve.state import Query, State, Universe, Unsatisfied

__all__ = ["Chosen", "Query", "Resolution", "resolve"]


class Chosen(Struct, frozen=True, kw_only=True):
    """A package as chosen. requires, build_requires: "name version", sorted; the tools are among build_requires."""

    name: str
    version: str
    features: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name} {self.version}"


class Resolution(Struct, frozen=True, kw_only=True):
    """The answer. packages: by name, each after those that it needs. roots: the package's id, for each root of the
    query."""

    packages: Mapping[str, Chosen]
    roots: tuple[str, ...]


def resolve(query: Query) -> Resolution:
    """Choose versions.

    Raises:
        ConflictError: no choice satisfies all requirements (the message holds their chains), the search was given up,
            or a chosen version needs itself.
    """
    return answer(_settled(Universe(query)))


def answer(state: State) -> Resolution:
    """The resolution of a state in which every package has one version.

    Raises:
        ConflictError: a chosen version needs itself.
    """
    universe = state.universe
    found = {name: _chosen(state, name) for name in state.domain}
    needs = {
        name: [each.partition(" ")[0] for each in (*chosen.requires, *chosen.build_requires)]
        for name, chosen in found.items()
    }
    try:
        order = topological(needs)
    except CycleFoundError as error:
        raise conflict.cycle(state, error.cycle) from None
    roots = tuple(found[universe.target(want)].id for _, want in universe.query.roots)
    return Resolution(packages={name: found[name] for name in order}, roots=roots)


def _settled(universe: Universe) -> State:
    """A state in which every package has one version and all requirements are satisfied.

    When all locked versions can stay, they do. Else choices are made one by one, locked packages first, then in the
    order in which packages are reached; each takes the best version that leaves the others an answer.
    """
    if universe.query.preferred:
        with suppress(Unsatisfied):
            return _greedy(_started(universe, universe.query.preferred))
    try:
        state = _started(universe, {})
    except Unsatisfied as found:
        raise conflict.unsatisfied(found) from None
    try:
        return _greedy(state)
    except Unsatisfied as found:
        return _searched(state, found)


def _started(universe: Universe, picks: Mapping[str, str]) -> State:
    state = State(universe, picks)
    state.start()
    return state


def _greedy(state: State) -> State:
    """Every package at the best version that goes with those chosen before. Raises Unsatisfied: the first that was met.

    Many are chosen at a time: a copy of the state costs as much as many choices, and conflicts are rare.
    """
    first: Unsatisfied | None = None
    many = sys.maxsize
    while names := state.open():
        trial = state.copy()
        try:
            trial.take_best(many)
        except Unsatisfied as error:
            first = first or error
            found = _first(state, names[0]) if many == 1 else state
            if found is None:
                raise first from None
            state = found
            many = max(1, many // 2)
        else:
            state = trial
            many *= 2
    return state


def _first(state: State, name: str) -> State | None:
    """The state after choosing the best version of a package with which nothing is left without a version."""
    for version in state.domain[name]:
        trial = state.copy()
        with suppress(Unsatisfied):
            trial.take(name, version)
            return trial
    return None


def _searched(state: State, first: Unsatisfied) -> State:
    """The answer of a search after the greedy pass met the conflict `first`, then made best, choice by choice."""
    from builder.resolve import search  # noqa: PLC0415 - resolvelib is only needed here

    try:
        picks = search.search(state)
    except search.NothingFoundError as error:
        raise conflict.unsatisfied(first, searched=str(error)) from None
    while names := state.open():
        name = names[0]
        for version in state.domain[name]:
            if version == picks.get(name, version):  # the found choice goes with it, or with any version
                state.take(name, version)
                break
            trial = state.copy()
            with suppress(Unsatisfied, search.NothingFoundError):
                trial.take(name, version)
                picks = search.search(trial)
                state = trial
                break
    return state


def _chosen(state: State, name: str) -> Chosen:
    version = state.domain[name][0]
    features = state.features[name]
    runtime: dict[str, None] = {}
    build: dict[str, None] = {}
    for target, want, is_build in state.universe.edges(name, version, features):
        # A bundle that carries its own requirement needs no other package for it.
        if target != name or want.name == name:
            (build if is_build else runtime)[f"{target} {state.domain[target][0]}"] = None
    return Chosen(
        name=name, version=version, features=tuple(sorted(features)), requires=tuple(sorted(runtime)),
        build_requires=tuple(sorted(each for each in build if each not in runtime)),
    )


