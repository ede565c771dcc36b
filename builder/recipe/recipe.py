"""Recipes: one TOML file a package, declarative and validated as a whole.

A version table extends the recipe's own keys: its requirements and patches are added, its build options replace those
of the same name, or all of them when it names a style. Versions stand in order of preference.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import Struct, convert, field
from msgspec.structs import replace

from builder.base import canonical, shape
from builder.base.errors import Problem
from builder.base.shape import JsonSchema, Problems, Table, near
from builder.recipe import requirement
from builder.recipe.requirement import Requirement
from builder.recipe.shapes import DEFAULT_TOOLS, OUTPUTS, RECIPE, SOURCE, path_problem
from builder.recipe.source import Patch, PatchSet, Source, default_filename
from builder.recipe.styles import STYLES

__all__ = [
    "DEFAULT_DEBUG", "DEFAULT_DEV", "DEFAULT_TOOLS", "OUTPUTS", "SOURCE", "Feature", "Limits", "Recipe", "Version",
    "build", "builtin_variables", "expand", "merge_feature", "path_problem", "read", "read_source", "schema",
    "variables_in",
]

DEFAULT_DEV = (
    "**/include/**", "**/*.a", "**/*.la", "**/*.pc", "**/pkgconfig/**", "**/cmake/**", "**/share/man/**", "**/man/**",
    "**/share/doc/**", "**/share/info/**", "**/*.md", "usr/src/**",
)
DEFAULT_DEBUG = ("usr/lib/debug/**",)


class Feature(Struct, frozen=True, kw_only=True):
    """An optional part of a package, turned on by a profile or by a requirement like `nginx[lua-var]`."""

    requires: tuple[Requirement, ...] = ()
    build_requires: tuple[Requirement, ...] = ()
    build: Mapping[str, Any] = field(default_factory=dict)


class Version(Struct, frozen=True, kw_only=True):
    """One version of a package, with the recipe's common keys merged in."""

    version: str
    requires: tuple[Requirement, ...] = ()
    build_requires: tuple[Requirement, ...] = ()
    provides: Mapping[str, str] = field(default_factory=dict)  # package name -> version that this one carries inside
    sources: tuple[Source, ...] = ()
    patches: tuple[PatchSet, ...] = ()
    style: str = "copy"
    own_style: bool = False  # says how it is built all by itself: the recipe's [build] and features are not for it
    build: Mapping[str, Any] = field(default_factory=dict)  # options of the style, variables not yet expanded
    end_of_life: str = ""  # date (YYYY-MM-DD) after which upstream fixes nothing


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of one build: MiB of memory in all, processes at a time, seconds."""

    memory: int = 8192
    processes: int = 512
    seconds: int = 3600


class Recipe(Struct, frozen=True, kw_only=True):
    """A parsed recipe. `digest` is the SHA-256 of its canonical content: comments and order of keys do not count."""

    name: str
    path: str
    digest: str
    summary: str = ""
    license: str = ""
    homepage: str = ""
    vars: Mapping[str, str] = field(default_factory=dict)
    tools: str = DEFAULT_TOOLS  # "" when the build needs none
    versions: tuple[Version, ...]
    features: Mapping[str, Feature] = field(default_factory=dict)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # output -> globs; the rest is "out"
    limits: Limits = field(default_factory=Limits)

    def version(self, version: str) -> Version | None:
        return next((each for each in self.versions if each.version == version), None)


_VARIABLE = re.compile(r"\$\{([a-z][a-zA-Z0-9+._-]*)\}")


def variables_in(value: Any) -> list[str]:
    """Names of the `${...}` variables in a value's texts. Lower-case names are ours; `$NAME` is left to the shell."""
    names: list[str] = []
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            if "${" in each:
                names += _VARIABLE.findall(each)
        elif isinstance(each, dict):
            stack += each.values()
        elif isinstance(each, list):
            stack += each
    return names


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with every `${name}` replaced. An unknown name is a broken invariant: recipes are checked when read."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables[found.group(1)], value) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: expand(each, variables) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [expand(each, variables) for each in value]
    return value


def merge_feature(build: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Build options with a feature's added: lists are appended to, everything else is replaced."""
    merged = dict(build)
    for key, each in extra.items():
        before = merged.get(key)
        merged[key] = [*before, *each] if isinstance(each, list) and isinstance(before, list) else each
    return merged


def read(data: Any, *, path: str, stem: str, problems: Problems) -> Recipe | None:
    """The recipe that parsed TOML `data` of the file `path` describes; problems are added, and then it is None."""
    mine: Problems = []
    place = f"{path}: "
    table = shape.read(RECIPE, data, place, mine)
    if table is not None and not mine:
        if table["name"] != stem:
            mine.append(
                Problem(f"{place}name", f"is '{table['name']}' but the file is {stem}.toml", "make them the same")
            )
        recipe = build(table, path=path, digest=_digest(data))
        _check(recipe, table, place, mine)
        if not mine:
            return recipe
    problems.extend(mine)
    return None


def _digest(data: Any) -> str:
    """The digest of a recipe's content; "" where a value has no place in a key (a date, not a number), which `_check`
    then finds."""
    try:
        return canonical.key(data)
    except (TypeError, ValueError, RecursionError):
        return ""


def _wants(table: Mapping[str, Any], key: str) -> tuple[Requirement, ...]:
    return tuple(requirement.parse(text) for text in table.get(key, ()))


def read_source(table: Mapping[str, Any]) -> Source:
    """A source of a recipe or a lock, whose table is already checked."""
    return convert({"filename": default_filename(table.get("locations", ())), **table}, Source)


def _patch_set(table: Mapping[str, Any]) -> PatchSet:
    patches = tuple(Patch(source=table["source"], **each) for each in table["patch"])
    return PatchSet(patches=patches, series=table.get("series"), skip=table.get("skip", {}))


def _version(table: Mapping[str, Any], common: Mapping[str, Any]) -> Version:
    own = table.get("build", {})
    build = dict(own) if "style" in own else {**common.get("build", {}), **own}
    style = build.pop("style", "copy")
    return Version(
        version=table["version"],
        requires=_wants(common, "requires") + _wants(table, "requires"),
        build_requires=_wants(common, "build-requires") + _wants(table, "build-requires"),
        provides=table.get("provides", {}),
        sources=tuple(map(read_source, table.get("source", ()))),
        patches=tuple(map(_patch_set, table.get("patches", ()))),
        style=style,
        own_style="style" in own,
        build=build,
        end_of_life=table.get("end-of-life", ""),
    )


def build(table: Mapping[str, Any], *, path: str, digest: str) -> Recipe:
    """The recipe of a table that `read` has found sound before."""
    features = {
        name: Feature(
            requires=_wants(each, "requires"), build_requires=_wants(each, "build-requires"),
            build=each.get("build", {}),
        )
        for name, each in table.get("feature", {}).items()
    }
    return Recipe(
        name=table["name"], path=path, digest=digest, summary=table.get("summary", ""),
        license=table.get("license", ""),
        homepage=table.get("homepage", ""), vars=table.get("vars", {}), tools=table.get("tools", DEFAULT_TOOLS),
        versions=tuple(_version(each, table) for each in table["version"]), features=features,
        split={
            "dev": DEFAULT_DEV, "debug": DEFAULT_DEBUG,
            **{name: tuple(globs) for name, globs in table.get("split", {}).items()},
        },
        limits=Limits(**table.get("limits", {})),
    )


def _check(recipe: Recipe, table: Mapping[str, Any], place: str, problems: Problems) -> None:
    """Check the merged recipe: repeated versions, options that the style lacks, undefined variables."""
    for key, text in recipe.vars.items():
        if key in ("name", "version"):
            problems.append(Problem(f"{place}vars.{key}", "is always set by builder", "give it another name"))
        for name in variables_in(text):
            if name not in ("name", "version"):
                hint = "a variable can use ${name} and ${version} only"
                problems.append(Problem(f"{place}vars.{key}", f"variable ${{{name}}} cannot be used here", hint))
    seen: set[str] = set()
    for number, version in enumerate(recipe.versions):
        at = f"{place}version[{number}]"
        if version.version in seen:
            problems.append(Problem(f"{at}.version", f"'{version.version}' is there twice", "remove one of them"))
        seen.add(version.version)
        _check_sources(version, at, problems)
        _check_patches(version, at, problems)
        _check_build(recipe, number, table, place, problems)
    if not recipe.digest and not problems:
        problems.append(
            Problem(place.removesuffix(": "), "holds a date, a fraction or too many levels", "write it as text")
        )


def _check_sources(version: Version, at: str, problems: Problems) -> None:
    for number, source in enumerate(version.sources):
        for other in version.sources[:number]:
            if source.name == other.name and (
                source.platform == other.platform or None in (source.platform, other.platform)
            ):
                text = f"two sources are called '{source.name}'"
                problems.append(Problem(f"{at}.source[{number}].name", text, "give each a name"))
                break
        if source.include and source.folder is None:
            hint = "say 'include' of the build, or take it out"
            problems.append(Problem(f"{at}.source[{number}].include", "is for a source with 'folder' only", hint))
        if source.folder is None and not re.match("[A-Za-z0-9_]", source.filename):
            text = f"no file name can be told from '{source.locations[0]}'"
            problems.append(Problem(f"{at}.source[{number}].locations[0]", text, "say 'filename'"))
    known = {each.name for each in version.sources}
    into = version.build.get("into")
    for name in into if version.style == "prebuilt" and isinstance(into, dict) else ():
        if name not in known:
            problems.append(
                Problem(f"{at}.build.into.{name}", f"there is no source '{name}'", near(name, sorted(known)))
            )


def _check_patches(version: Version, at: str, problems: Problems) -> None:
    known = sorted({each.name for each in version.sources})
    for number, patches in enumerate(version.patches):
        source = patches.patches[0].source
        if source not in known:
            problems.append(
                Problem(f"{at}.patches[{number}].source", f"there is no source '{source}'", near(source, known))
            )
        for path in patches.skip:
            if path in {each.path for each in patches.patches}:
                problems.append(
                    Problem(f"{at}.patches[{number}].skip.{path}", "is applied and skipped", "do one of them")
                )
    if version.patches and STYLES[version.style].builtin:
        text = f"style '{version.style}' builds no source that a patch could change"
        problems.append(Problem(f"{at}.patches", text, "take them out"))
    elif version.patches and "main" not in known:
        text = "patches are for the source 'main', and there is none"
        problems.append(Problem(f"{at}.patches", text, "call the patched source 'main'"))


def _check_build(recipe: Recipe, number: int, table: Mapping[str, Any], place: str, problems: Problems) -> None:
    """Options of one version, first without features, then with each. Each is blamed where it is written, and once."""
    version = recipe.versions[number]
    own = table["version"][number].get("build", {})
    base = f"{place}version[{number}].build" if own or not table.get("build") else f"{place}build"
    wants = version.requires + version.build_requires
    places = dict.fromkeys((key for key in version.build if key not in own), f"{place}build")
    found = _build_problems(version, version.build, recipe, wants)
    for name, feature in recipe.features.items() if not found and not version.own_style else ():
        here = dict.fromkeys(feature.build, f"{place}feature.{name}.build")
        more = wants + feature.requires + feature.build_requires
        for key, each in _build_problems(version, merge_feature(version.build, feature.build), recipe, more):
            _blame(here.get(key, places.get(key, base)), each, problems)
    for key, each in found:
        _blame(places.get(key, base), each, problems)


def _blame(place: str, problem: Problem, problems: Problems) -> None:
    problem = replace(problem, place=f"{place}.{problem.place}")
    if problem not in problems:  # versions share the recipe's own keys
        problems.append(problem)


def _build_problems(
    version: Version, build: Mapping[str, Any], recipe: Recipe, wants: tuple[Requirement, ...]
) -> list[tuple[str, Problem]]:
    """Problems of merged options: (option, problem with its place inside the table)."""
    found: Problems = []
    shape.read(_options(version.style), build, "build: ", found)
    if found:
        inside = [replace(each, place=each.place.removeprefix("build: ")) for each in found]
        return [(re.split(r"[.\[]", each.place)[0], each) for each in inside]
    if not variables_in(build):
        return []
    known = {"name", "version", *recipe.vars, *(f"{want.name}.version" for want in wants)}
    rows = []
    for key, option in build.items():
        for name in sorted({*variables_in(option)} - known):
            hint = near(name, sorted(known)) + "; shell variables are written $name or in capitals"
            rows.append((key, Problem(key, f"variable ${{{name}}} is not defined", hint)))
    return rows


@cache
def _options(style: str) -> Table:
    return Table(STYLES[style].options)


def builtin_variables(recipe: Recipe, version: str) -> dict[str, str]:
    """Variables of every build of the recipe: name, version and the recipe's own [vars] (which may use these two)."""
    base = {"name": recipe.name, "version": version}
    own = {
        key: expand(text, base) if set(variables_in(text)) <= set(base) else text for key, text in recipe.vars.items()
    }
    return base | own


def schema() -> JsonSchema:
    """JSON Schema (draft 2020-12) of a recipe file, from the same definition that reads it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "builder recipe", **RECIPE.schema()}
