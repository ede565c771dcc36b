"""The shapes of a recipe file: one definition that reads it, and that gives its JSON Schema."""

from typing import Any

from builder.base import digest, shape
from builder.base.errors import Problem
from builder.base.platform import PLATFORMS
from builder.base.shape import Choice, Field, JsonSchema, ListOf, MapOf, Number, Problems, Table, Text, one_of
from builder.recipe import requirement
from builder.recipe.styles import STYLES

OUTPUTS = ("out", "dev", "debug")
DEFAULT_TOOLS = "toolset"

def path_problem(text: str) -> str:
    """The message when `text` is not a plain relative path inside a tree, else an empty text."""
    plain = text.isprintable() and not {"", ".", ".."} & set(text.split("/"))
    return "" if plain else f"'{text}' is not a path inside a tree"


_NAME = Text(requirement.NAME, "lower-case letters, digits, '+', '.', '-'")
_VERSION = Text(requirement.VERSION)
_WANT = Text(check=requirement.problem, hint=requirement.HINT)
_WANTS = ListOf(_WANT)
_HEX = Text("[0-9a-f]{64}", "64 hexadecimal digits, as `sha256sum` prints them")
_SRI = Text(
    check=lambda text: "" if digest.is_sri(text) else f"'{text}' is not a digest",
    hint="like 'sha256-<44 characters of base64>', as `nix hash path --sri` prints it",
)
_PATH = Text(check=path_problem)
_LOCATION = Text(
    r"https?://[!-.0-~]+/[!-~]+|mirror://[a-z0-9-]+/[!-~]+|pypi://[!-.0-~]+/[!-.0-~]+/[!-.0-~]+",
    "https://..., http://..., mirror://debian/pool/... or pypi://PROJECT/VERSION/FILE",
    lambda text: "" if not {".", ".."} & set(text.split("/")[:-1]) else f"'{text}' climbs out of its directory",
)


SOURCE = Table({
    "name": Field(_NAME, "name in the build: it lies at /sources/NAME (default: main)"),
    "locations": Field(ListOf(_LOCATION, 1), "where it can be had, in order of preference"),
    "filename": Field(
        Text(r"[A-Za-z0-9_][^/\s]*", "the file's bare name"),
        "the archive's file name, when the first location's last part is not it"
    ),
    "size": Field(Number(1), "bytes of the file"),
    "sha256": Field(_HEX, "SHA-256 of the file"),
    "tree": Field(_SRI, "digest of the unpacked tree in NAR form"),
    "strip": Field(Number(0), "leading directories to take off (default: 1)"),
    "unpacked": Field(Number(0), "bytes that the tree's files may hold at most"),
    "entries": Field(Number(1), "entries that the tree may hold at most"),
    "folder": Field(_PATH, "a directory of this repository, instead of locations"),
    "include": Field(ListOf(_PATH, 1), "globs of the files that are taken of the directory (default: all)"),
    "platform": Field(Choice(tuple(PLATFORMS)), "only wanted there"),
}, check=one_of(("locations", "folder"), doc="a source is fetched or lies in this repository"))

_PATCH = Table({
    "path": Field(_PATH, "the patch file inside its source", required=True),
    "directory": Field(
        _PATH, "where below the source it is applied; a glob that fits one directory (default: the top)"
    ),
    "strip": Field(Number(0), "leading directories to take off (default: 1)"),
    "symbol": Field(Text(), "witness: a symbol that a built ELF file must have"),
    "string": Field(Text(), "witness: a string that a built file must hold"),
    "none": Field(Text(), "why no witness can exist"),
}, check=one_of(("symbol", "string", "none"), doc="a patch names a witness of its effect, or says why none can exist"))

_PATCHES = Table({
    "source": Field(_NAME, "the source that holds them", required=True),
    "series": Field(_PATH, "the source's own list of patches: each must be applied or skipped here"),
    "patch": Field(ListOf(_PATCH, 1), "the patches in order", required=True),
    "skip": Field(MapOf(Text()), "patches of the series that are left out: path -> reason"),
})


class _Build(Table, frozen=True):
    """A `[build]` table: `style` and the options of any style; which options fit is checked after merging."""

    def read(self, value: Any, place: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            problems.append(Problem(place, f"must be a table, not {shape.kind_of(value)}"))
            return None
        if "style" in value:
            Choice(tuple(STYLES)).read(value["style"], shape.join(place, "style"), problems)
        return dict(value)

    def schema(self) -> JsonSchema:
        return {
            "type": "object",
            "properties": {"style": {"enum": list(STYLES)}},
            "allOf": [_style_rule(name) for name in STYLES],
        }


def _style_rule(name: str) -> JsonSchema:
    options = STYLES[name].options.items()
    return {
        "if": {"properties": {"style": {"const": name}}, "required": ["style"]},
        "then": {"properties": {key: each.shape.schema() | {"description": each.doc} for key, each in options}},
    }


_BUILD = _Build({})
_FEATURE = Table({
    "requires": Field(_WANTS), "build-requires": Field(_WANTS), "build": Field(_BUILD, "options; lists are added to"),
})
_VERSION_TABLE = Table({
    "version": Field(_VERSION, "as upstream calls it", required=True),
    "requires": Field(_WANTS, "needed in the image, and seen by the build"),
    "build-requires": Field(_WANTS, "seen by the build only"),
    "provides": Field(MapOf(_VERSION, requirement.NAME), "packages that this one carries inside: name -> version"),
    "source": Field(ListOf(SOURCE), "sources that it is built from"),
    "patches": Field(ListOf(_PATCHES), "patches of the source 'main', in order"),
    "build": Field(_BUILD, "options that replace those of the recipe's [build]"),
    "end-of-life": Field(
        Text("[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"), "date after which upstream fixes nothing"
    ),
})
RECIPE = Table({
    "name": Field(_NAME, "the file's name without .toml", required=True),
    "summary": Field(Text(), "one line"),
    "license": Field(Text(), "SPDX expression"),
    "homepage": Field(Text(r"https?://\S+")),
    "vars": Field(MapOf(Text(), "[a-z][a-z0-9-]*"), "texts that ${name} stands for"),
    "tools": Field(
        Text(rf"(?:{requirement.NAME})?"), f"package whose files are the build's tools (default: {DEFAULT_TOOLS})"
    ),
    "requires": Field(_WANTS, "needed in the image, and seen by the build"),
    "build-requires": Field(_WANTS, "seen by the build only"),
    "build": Field(_BUILD, "how it is built: a style and its options"),
    "feature": Field(MapOf(_FEATURE, requirement.NAME), "optional parts, turned on by profile or requirement"),
    "split": Field(
        Table({"dev": Field(ListOf(Text())), "debug": Field(ListOf(Text()))}), "output -> globs of its files"
    ),
    "limits": Field(Table({
        "memory": Field(Number(1), "MiB"), "processes": Field(Number(1), "at a time"), "seconds": Field(Number(1)),
    }), "limits of one build"),
    "version": Field(ListOf(_VERSION_TABLE, 1), "the versions, best first", required=True),
}, doc="A builder recipe: one package, its versions in order of preference, and how it is built.")
