"""Recipes: one TOML file a package, declarative and validated as a whole.

A version table extends the recipe's own keys: its requirements and patches are added, its build options replace those of
the same name, or all of them when it names a style. Versions stand in order of preference.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from builder import canonical, digest, requirement
from builder.decode import Choice, Field, JsonSchema, ListOf, MapOf, Number, Problems, Table, Text, join, near, one_of
from builder.errors import Problem
from builder.requirement import Requirement
from builder.source import Patch, PatchSet, Source
from builder.styles import STYLES

PLATFORMS = ("x86_64-linux-musl", "aarch64-linux-musl")
OUTPUTS = ("out", "dev", "debug")
DEFAULT_TOOLS = "toolset"
DEFAULT_DEV = (
    "**/include/**", "**/*.a", "**/*.la", "**/*.pc", "**/pkgconfig/**", "**/cmake/**", "**/share/man/**", "**/man/**",
    "**/share/doc/**", "**/share/info/**", "usr/src/**",
)


DEFAULT_DEBUG = ("usr/lib/debug/**",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """An optional part of a package, turned on by a profile or by a requirement like `nginx[lua-var]`."""

    requires: tuple[Requirement, ...] = ()
    build_requires: tuple[Requirement, ...] = ()
    build: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
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
    end_of_life: str = ""  # date (YYYY-MM-DD) after which upstream mends nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one build may use: MiB of memory in all, processes at a time, seconds."""

    memory: int = 8192
    processes: int = 512
    seconds: int = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
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


_NAME = Text(requirement.NAME, "lower-case letters, digits, '+', '.', '-'")
_VERSION = Text(requirement.VERSION)
_WANT = Text(check=requirement.problem, hint=requirement.HINT)
_WANTS = ListOf(_WANT)
_HEX = Text("[0-9a-f]{64}", "64 hexadecimal digits, as `sha256sum` prints them")
_SRI = Text(check=lambda text: "" if digest.is_sri(text) else f"'{text}' is not a digest", hint="like 'sha256-<44 characters of base64>', as `nix hash path --sri` prints it")
_PATH = Text(check=lambda text: path_problem(text))
_LOCATION = Text(
    r"https?://[^/\s]+/\S+|mirror://[a-z0-9-]+/\S+|pypi://[^/\s]+/[^/\s]+/[^/\s]+",
    "https://..., http://..., mirror://debian/pool/... or pypi://PROJECT/VERSION/FILE",
)


def path_problem(text: str) -> str:
    """The message when `text` is not a plain relative path inside a tree, else an empty text."""
    parts = text.split("/")
    return f"'{text}' is not a path inside a tree" if not text or text.startswith("/") or ".." in parts or "" in parts else ""


SOURCE = Table({
    "name": Field(_NAME, "what the build calls it: it lies at /sources/NAME (default: main)"),
    "locations": Field(ListOf(_LOCATION, 1), "where it can be had, in order of preference"),
    "filename": Field(Text(r"[^/\s]+"), "the archive's file name, when the first location's last part is not it"),
    "size": Field(Number(1), "bytes of the file"),
    "sha256": Field(_HEX, "SHA-256 of the file"),
    "tree": Field(_SRI, "digest of the unpacked tree in NAR form"),
    "strip": Field(Number(0), "leading folders to take off (default: 1)"),
    "unpacked": Field(Number(0), "bytes that the tree's files may hold at most"),
    "entries": Field(Number(1), "entries that the tree may hold at most"),
    "folder": Field(_PATH, "a folder of this repository, instead of locations"),
    "platform": Field(Choice(PLATFORMS), "only wanted there"),
}, check=one_of(("locations", "folder"), doc="a source is fetched or lies in this repository"))

_PATCH = Table({
    "path": Field(_PATH, "the patch file inside its source", required=True),
    "strip": Field(Number(0), "leading folders to take off (default: 1)"),
    "symbol": Field(Text(), "witness: a symbol that a built ELF file must have"),
    "string": Field(Text(), "witness: a string that a built file must hold"),
    "none": Field(Text(), "why no witness can exist"),
}, check=one_of(("symbol", "string", "none"), doc="a patch names a witness of its effect, or says why none can exist"))

_PATCHES = Table({
    "source": Field(_NAME, "the source that holds them", required=True),
    "series": Field(_PATH, "the source's own list of patches: what it lists must be applied or skipped here"),
    "patch": Field(ListOf(_PATCH, 1), "the patches in order", required=True),
    "skip": Field(MapOf(Text()), "patches of the series that are left out: path -> reason"),
})


class _Build(Table):
    """A `[build]` table: `style` and the options of any style; which options fit is checked after merging."""

    def read(self, value: Any, place: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            problems.append(Problem(place, "must be a table"))
            return None
        if "style" in value:
            Choice(tuple(STYLES)).read(value["style"], join(place, "style"), problems)
        return dict(value)

    def schema(self) -> JsonSchema:
        rules = [
            {"if": {"properties": {"style": {"const": name}}, "required": ["style"]},
             "then": {"properties": {key: each.shape.schema() | {"description": each.doc} for key, each in style.options.items()}}}
            for name, style in STYLES.items()
        ]
        return {"type": "object", "properties": {"style": {"enum": list(STYLES)}}, "allOf": rules}


_BUILD = _Build({})
_FEATURE = Table({
    "requires": Field(_WANTS), "build-requires": Field(_WANTS), "build": Field(_BUILD, "options; lists are added to"),
})
_VERSION_TABLE = Table({
    "version": Field(_VERSION, "as upstream calls it", required=True),
    "requires": Field(_WANTS, "needed in the image, and seen by the build"),
    "build-requires": Field(_WANTS, "seen by the build only"),
    "provides": Field(MapOf(_VERSION), "packages that this one carries inside: name -> version"),
    "source": Field(ListOf(SOURCE), "what it is built from"),
    "patches": Field(ListOf(_PATCHES), "what is applied to the source 'main', in order"),
    "build": Field(_BUILD, "options that replace those of the recipe's [build]"),
    "end-of-life": Field(Text(r"\d{4}-\d\d-\d\d"), "date after which upstream mends nothing"),
})
RECIPE = Table({
    "name": Field(_NAME, "the file's name without .toml", required=True),
    "summary": Field(Text(), "one line"),
    "license": Field(Text(), "SPDX expression"),
    "homepage": Field(Text(r"https?://\S+")),
    "vars": Field(MapOf(Text(), "[a-z][a-z0-9-]*"), "texts that ${name} stands for"),
    "tools": Field(Text(rf"(?:{requirement.NAME})?"), f"package whose files are the build's tools (default: {DEFAULT_TOOLS})"),
    "requires": Field(_WANTS, "needed in the image, and seen by the build"),
    "build-requires": Field(_WANTS, "seen by the build only"),
    "build": Field(_BUILD, "how it is built: a style and its options"),
    "feature": Field(MapOf(_FEATURE, requirement.NAME), "optional parts, turned on by profile or requirement"),
    "split": Field(Table({"dev": Field(ListOf(Text())), "debug": Field(ListOf(Text()))}), "output -> globs of its files"),
    "limits": Field(Table({"memory": Field(Number(1)), "processes": Field(Number(1)), "seconds": Field(Number(1))}), "MiB, count, seconds"),
    "version": Field(ListOf(_VERSION_TABLE, 1), "the versions, best first", required=True),
}, doc="A builder recipe: one package, its versions in order of preference, and how it is built.")

_VARIABLE = re.compile(r"\$\{([a-z][a-zA-Z0-9+._-]*)\}")


def variables_in(value: Any) -> Iterator[str]:
    """Names of the `${...}` variables in a value's texts. Lower-case names are ours; `$NAME` is left to the shell."""
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from variables_in(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from variables_in(each)


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
        merged[key] = [*merged.get(key, []), *each] if isinstance(each, list) else each
    return merged


def read(data: Any, *, path: str, stem: str, problems: Problems) -> Recipe | None:
    """The recipe that parsed TOML `data` of the file `path` describes; problems are added, and then it is None."""
    mine: Problems = []
    place = f"{path}: "
    table = RECIPE.read(data, place, mine)
    if table is not None and not mine:
        if table["name"] != stem:
            mine.append(Problem(f"{place}name", f"is '{table['name']}' but the file is {stem}.toml", "make them the same"))
        recipe = build(table, path=path, digest="")
        _check(recipe, place, mine)
        if not mine:  # only now: options of an unknown style may hold what canonical JSON has no words for
            return replace(recipe, digest=canonical.key(data))
    problems.extend(mine)
    return None


def _wants(table: Mapping[str, Any], key: str) -> tuple[Requirement, ...]:
    return tuple(requirement.parse(text) for text in table.get(key, ()))


def read_source(table: Mapping[str, Any]) -> Source:
    locations = tuple(table.get("locations", ()))
    known = {key: table[key] for key in ("size", "sha256", "tree", "unpacked", "entries", "folder", "platform") if key in table}
    filename = table.get("filename") or (locations[0].rsplit("/", 1)[1] if locations else "")
    return Source(name=table.get("name", "main"), locations=locations, filename=filename, strip=table.get("strip", 1), **known)


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
        name: Feature(requires=_wants(each, "requires"), build_requires=_wants(each, "build-requires"), build=each.get("build", {}))
        for name, each in table.get("feature", {}).items()
    }
    return Recipe(
        name=table["name"], path=path, digest=digest, summary=table.get("summary", ""), license=table.get("license", ""),
        homepage=table.get("homepage", ""), vars=table.get("vars", {}), tools=table.get("tools", DEFAULT_TOOLS),
        versions=tuple(_version(each, table) for each in table["version"]), features=features,
        split={"dev": DEFAULT_DEV, "debug": DEFAULT_DEBUG, **{name: tuple(globs) for name, globs in table.get("split", {}).items()}},
        limits=Limits(**table.get("limits", {})),
    )


def _check(recipe: Recipe, place: str, problems: Problems) -> None:
    """What only the merged recipe can tell: repeated versions, options that the style lacks, undefined variables."""
    seen: set[str] = set()
    for number, version in enumerate(recipe.versions):
        at = f"{place}version[{number}]"
        if version.version in seen:
            problems.append(Problem(f"{at}.version", f"'{version.version}' is there twice", "remove one of them"))
        seen.add(version.version)
        _check_sources(version, at, problems)
        _check_build(recipe, version, at, problems)


def _check_sources(version: Version, at: str, problems: Problems) -> None:
    names: set[tuple[str, str | None]] = set()
    for number, source in enumerate(version.sources):
        if (source.name, source.platform) in names:
            problems.append(Problem(f"{at}.source[{number}].name", f"two sources are called '{source.name}'", "give each a name"))
        names.add((source.name, source.platform))
    known = sorted({name for name, _ in names})
    for number, patches in enumerate(version.patches):
        for patch in patches.patches[:1]:
            if patch.source not in known:
                problems.append(Problem(f"{at}.patches[{number}].source", f"there is no source '{patch.source}'", near(patch.source, known)))


def _check_build(recipe: Recipe, version: Version, at: str, problems: Problems) -> None:
    style = STYLES.get(version.style)
    assert style is not None, "the style was checked while reading"
    variants = [("", version.build, ())] + [
        (f"feature.{name}.", merge_feature(version.build, each.build), each.requires + each.build_requires)
        for name, each in recipe.features.items()
        if not version.own_style
    ]
    for prefix, build, more in variants:
        Table(style.options).read(dict(build), f"{at}.{prefix}build", problems)
        known = builtin_variables(recipe, version.version) | {
            f"{want.name}.version": "" for want in (*version.requires, *version.build_requires, *more)
        }
        for name in sorted(set(variables_in([build, recipe.vars]))):
            if name not in known:
                hint = near(name, sorted(known)) + "; shell variables are written $name or in capitals"
                problems.append(Problem(f"{at}.{prefix}build", f"variable ${{{name}}} is not defined", hint))


def builtin_variables(recipe: Recipe, version: str) -> dict[str, str]:
    """Variables of every build of the recipe: name, version and the recipe's own [vars] (which may use these two)."""
    base = {"name": recipe.name, "version": version}
    own = {key: expand(text, base) if set(variables_in(text)) <= set(base) else text for key, text in recipe.vars.items()}
    return base | own


def schema() -> JsonSchema:
    """JSON Schema (draft 2020-12) of a recipe file, from the same definition that reads it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "builder recipe", **RECIPE.schema()}
