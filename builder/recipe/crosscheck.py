"""The relations of recipes, images and profiles: required names, versions and features exist, no package needs itself.

Works on `Facts`, the parts of a recipe that other files can see, as plain tuples: they are remembered between runs, so
recipes need not be decoded to be checked against each other.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from builder.base.errors import Problem
from builder.base.order import CycleFoundError, cycles, topological
from builder.base.shape import Problems, near
from builder.recipe import requirement
from builder.recipe.image import ImageRecipe
from builder.recipe.profile import Profile
from builder.recipe.recipe import DEFAULT_TOOLS
from builder.recipe.requirement import Requirement


class Facts(NamedTuple):
    """The parts of a recipe that other files can see, and its wants of them.

    provides: (package, version of it) per version of mine that carries one. wants: (place in the file, requirement).
    always: names that every version needs.
    """

    versions: tuple[str, ...]
    provides: tuple[tuple[str, str], ...]
    features: tuple[str, ...]
    wants: tuple[tuple[str, str], ...]
    always: tuple[str, ...]


_KINDS = ("requires", "build-requires")


def facts(table: Mapping[str, Any]) -> Facts:
    """The facts of a recipe's validated TOML table."""
    common = _wants(table, "")
    always = {_name(text) for _, text in common}
    tools = table.get("tools", DEFAULT_TOOLS)
    if tools and tools != table["name"]:
        common.append(("tools", tools))
        always.add(tools)
    wants = list(common)
    versions = table["version"]
    in_all: set[str] | None = None
    for number, each in enumerate(versions):
        own = _wants(each, f"version[{number}].") if len(each) > 1 else []
        wants += own
        names = {_name(text) for _, text in own}
        in_all = names if in_all is None else in_all & names
    for name, each in table.get("feature", {}).items():
        wants += _wants(each, f"feature.{name}.")
    return Facts(
        versions=tuple(each["version"] for each in versions),
        provides=tuple((name, version) for each in versions for name, version in each.get("provides", {}).items()),
        features=tuple(table.get("feature", ())),
        wants=tuple(wants),
        always=tuple(sorted(always | (in_all or set()))),
    )


def _wants(table: Mapping[str, Any], place: str) -> list[tuple[str, str]]:
    return [(f"{place}{kind}[{i}]", text) for kind in _KINDS if kind in table for i, text in enumerate(table[kind])]


def _name(text: str) -> str:
    return requirement.parse(text).name


def stacking(below: Mapping[str, str], places: Mapping[str, str], problems: Problems) -> list[str]:
    """Images in an order in which each comes after the one that it stands on; those that have no place in it are left
    out.

    below: image -> the one that it names, for those that name any. places: image -> its file, of all that are known.
    """
    known = sorted(places)
    sound = dict(below)
    for name, other in sorted(below.items()):
        if other not in known:
            hint = near(other, [each for each in known if each != name])
            problems.append(Problem(f"{places[name]}: from", f"there is no image '{other}'", hint))
            del sound[name]
    while True:
        try:
            return topological({name: (other,) for name, other in sound.items()})
        except CycleFoundError as error:
            text = "these images stand on each other: " + " -> ".join(error.cycle)
            problems.append(Problem(f"{places[error.cycle[0]]}: from", text, "let one of them stand on none"))
            sound = {name: other for name, other in sound.items() if name not in error.cycle}


class Crosscheck:
    """One check over a whole project; `problems` is where it adds.

    places: recipe name -> its file. facts: recipe name -> its facts.
    """

    def __init__(self, places: Mapping[str, str], facts: Mapping[str, Facts], problems: Problems) -> None:
        self.places = places
        self.facts = facts
        self.problems = problems
        self.provided: dict[str, list[str]] = {}
        for each in facts.values():
            for name, version in each.provides:
                self.provided.setdefault(name, []).append(version)
        self._known: list[str] | None = None

    def recipes(self) -> None:
        """Requirements of all recipes, then cycles among them."""
        for name, each in self.facts.items():
            for place, text in each.wants:
                self.want(requirement.parse(text), f"{self.places[name]}: {place}")
        self._cycle()

    def want(self, want: Requirement, place: str) -> None:
        """One requirement, from wherever: its package, a version that it admits, and its features exist."""
        found = self.facts.get(want.name)
        if found is None and want.name in self.places:
            return  # its file is broken, which was said already
        versions = (*found.versions, *self.provided.get(want.name, ())) if found else self.provided.get(want.name)
        if versions is None:
            self._missing(want.name, place)
            return
        if not any(map(want.admits, versions)):
            text = f"no version of {want.name} is '{_pattern(want)}'"
            self.problems.append(Problem(place, text, "versions known: " + ", ".join(dict.fromkeys(versions))))
        for feature in want.features:
            if found and feature not in found.features:
                self._no_feature(want.name, feature, found.features, place)

    def profile(self, profile: Profile) -> None:
        place = f"{profile.path}: "
        for number, want in enumerate(profile.base):
            self.want(want, f"{place}base[{number}]")
        for name, want in profile.constraints.items():
            self.want(want, f"{place}constraints.{name}")
        for name, features in profile.features.items():
            self.want(Requirement(name, features), f"{place}features.{name}")
        for name, provider in profile.providers.items():
            at = f"{place}providers.{name}"
            if provider not in self.places:
                self._missing(provider, at)
            elif provider not in self.facts:
                continue  # its file is broken, which was said already
            elif name not in (provides := {each for each, _ in self.facts[provider].provides}):
                add = f"add 'provides' to a version in {self.places[provider]}"
                hint = near(name, sorted(provides)) if provides else add
                self.problems.append(Problem(at, f"no version of {provider} provides {name}", hint))

    def image(self, image: ImageRecipe, profiles: Iterable[str]) -> None:
        for number, want in enumerate(image.packages):
            self.want(want, f"{image.path}: packages[{number}]")
        known = sorted(profiles)
        if not known and not image.profiles:
            text = "there is no profile that it could resolve in"
            self.problems.append(Problem(image.path, text, "add recipes/profiles/NAME.toml"))
        for number, name in enumerate(image.profiles):
            if name not in known:
                hint = near(name, known) if known else "there are no profiles in recipes/profiles"
                self.problems.append(
                    Problem(f"{image.path}: profiles[{number}]", f"there is no profile '{name}'", hint)
                )

    def _missing(self, name: str, place: str) -> None:
        if self._known is None:
            self._known = sorted({*self.places, *self.provided})
        hint = near(name, self._known) if self._known else ""
        self.problems.append(Problem(place, f"there is no recipe '{name}'", hint or f"add recipes/{name}.toml"))

    def _no_feature(self, name: str, feature: str, known: tuple[str, ...], place: str) -> None:
        hint = near(feature, known) if known else f"add [feature.{feature}] to {self.places[name]}"
        self.problems.append(Problem(place, f"{name} has no feature '{feature}'", hint))

    def _cycle(self) -> None:
        """Needs that no choice of versions can avoid must have an order. Only a cycle costs more than one walk."""
        needs = {name: each.always for name, each in self.facts.items() if each.always}
        try:
            topological(needs)
        except CycleFoundError:
            for cycle in cycles(needs):
                text = "these recipes need each other: " + " -> ".join([*cycle, cycle[0]])
                hint = "take one of these requirements out; a package cannot be built before itself"
                self.problems.append(Problem(f"{self.places[cycle[0]]}: requires", text, hint))


def _pattern(want: Requirement) -> str:
    return str(Requirement(want.name, (), want.allow, want.refuse)).partition(" ")[2]
