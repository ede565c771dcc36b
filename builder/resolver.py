"""Version choice: one version of each package that satisfies everybody, best first.

What has one answer only is decided by propagation, without a search. Then a greedy pass takes the best version of each
package that is open. Only when that meets a conflict does a search (resolvelib) look for another choice among the
packages that are open; so a conflict costs what is open, not what is known.

The order of preference is the recipe's, but a locked version comes first. Pure: nothing here knows files or the lock.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from builder.errors import BuilderError, ConflictError
from builder.order import CycleFoundError, topological
from builder.recipe import Recipe, Version
from builder.requirement import Requirement

MAX_ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What to resolve.

    roots: (who wants it, requirement), like ("image openresty", openresty). label: of the set of choices, for messages
    ("profile upstream"). constraints, providers, features: as in a profile. preferred: package -> version to keep.
    """

    recipes: Mapping[str, Recipe]
    roots: tuple[tuple[str, Requirement], ...]
    label: str = "profile default"
    constraints: Mapping[str, Requirement] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preferred: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A package as chosen. requires, build_requires: "name version", sorted; the tools are among build_requires."""

    name: str
    version: str
    features: tuple[str, ...]
    requires: tuple[str, ...]
    build_requires: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """The answer: packages by name, each after those that it needs; roots: what each root of the query became."""

    packages: Mapping[str, Chosen]
    roots: tuple[str, ...]


class Edge(NamedTuple):
    """A requirement of one package. `target` is the package that answers it, which may be a provider."""

    target: str
    want: Requirement
    build: bool


class Want(NamedTuple):
    """A requirement with who has it: a package's name, or a root's number."""

    who: str | int
    want: Requirement


def resolve(query: Query) -> Resolution:
    """Choose versions.

    Raises:
        ConflictError: no choice satisfies everybody (the chains of who wants what are in the message), the search was
            given up, or what was chosen needs itself.
    """
    state = State(Universe(query))
    try:
        state.start()
        certain = state.copy()
        if not state.take_best():
            state = certain.searched(state)
    except Unsatisfied as found:
        raise explain(found.state, found.name) from None
    return _resolution(state)
