"""The kinds of `--json` documents, and their JSON Schemas: made from the very types that the documents' data have."""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from msgspec import Struct

from builder.audit.rule import Finding
from builder.base.errors import UsageError
from builder.build.forecast import Build
from builder.cli.output import VERSION
from builder.cli.parser import meant
from builder.show.doctor import Answer
from builder.show.inventory import Row
from builder.store.collect import Freed
from builder.store.usage import Kept
from builder.store.verify import Damage

JsonSchema = dict[str, Any]


class Resolved(TypedDict):
    changed: bool
    changes: list[str]


class Stale(TypedDict):
    stale: bool
    reasons: list[str]


class Source(TypedDict):
    package: str
    version: str
    source: str
    size: int | None
    sha256: str | None
    tree: str | None


class BuiltImage(TypedDict):
    image: str
    profile: str
    layer: str
    manifest: str
    path: str
    file: str
    realised: list[str]
    text: str


class BuiltPackages(TypedDict):
    packages: dict[str, dict[str, str]]
    realised: list[str]
    text: str


class Archive(TypedDict):
    package: str
    version: str
    source: str
    file: str
    size: int | None


class ImageForecast(TypedDict):
    image: str
    profile: str
    what: str


class DryRun(TypedDict):
    fetch: list[Archive]
    build: list[Build]
    reused: list[str]
    images: list[ImageForecast]


class Checked(TypedDict):
    package: str
    reproduced: bool
    pinned: bool  # as the lock pins, or for these inputs it pins none
    seconds: float
    differences: list[str]


class Failure(TypedDict):
    what: str
    details: list[str]


class Block(TypedDict):
    number: int
    title: str
    passed: bool
    skipped: str
    seconds: float
    unfinished: bool
    checks: int
    log: str
    failures: list[Failure]


class TestFile(TypedDict):
    name: str
    passed: bool
    seconds: float
    trouble: str
    skipped: str
    left_out: int
    blocks: list[Block]


class Tested(TypedDict):
    passed: bool
    seconds: float
    counts: dict[str, dict[str, int]]
    files: list[TestFile]


class Rule(TypedDict):
    rule: str
    summary: str


Edge = TypedDict("Edge", {"from": str, "to": str, "kind": str})


class Graph(TypedDict):
    image: str
    profile: str
    packages: list[str]
    edges: list[Edge]


class Log(TypedDict):
    package: str
    path: str
    text: str


class Path(TypedDict):
    path: str


class Removed(TypedDict):
    removed: list[str]
    size: int


class Version(TypedDict):
    builder: str


class Problem(TypedDict):
    place: str
    message: str
    hint: str


class Attempt(TypedDict):
    place: str
    said: str
    wrong: bool


class MissingSource(TypedDict):
    package: str
    version: str
    source: str
    filename: str
    size: int | None
    sha256: str | None
    tree: str | None
    locations: list[str]
    attempts: list[Attempt]


class _Error(TypedDict):
    reason: str
    message: str
    where: str
    hint: str


class Error(_Error, total=False):
    problems: list[Problem]
    sources: list[MissingSource]


KINDS: Mapping[str, Any] = {
    "resolve": Resolved, "resolve-check": Stale, "fetch": list[Source], "build": list[BuiltImage | BuiltPackages],
    "build-dry-run": DryRun,
    "check": list[Checked], "test": Tested, "list": list[Row], "graph": Graph, "why": list[list[Edge]], "log": Log,
    "audit": list[Finding], "audit-rules": list[Rule], "store-path": Path, "store-roots": list[Kept],
    "store-verify": list[Damage],
    "gc": Freed, "clean": Removed, "doctor": list[Answer],
    "version": Version, "error": Error,
}
_SIMPLE: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def schema(kind: str | None) -> JsonSchema:
    """The schema of one kind of document, envelope and all; without a kind, of any document.

    Raises:
        UsageError: there is no such kind.
    """
    if kind is None:
        return {"$schema": _DRAFT, "title": "builder output", "anyOf": [_document(each) for each in KINDS]}
    if kind not in KINDS:
        raise UsageError(
            f"there is no kind of document '{kind}'", hint=meant(kind, list(KINDS), hint=f"known: {', '.join(KINDS)}")
        )
    return {"$schema": _DRAFT, "title": f"builder output {kind}", **_document(kind)}


_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _document(kind: str) -> JsonSchema:
    data = "error" if kind == "error" else "data"
    fields = {"version": {"const": VERSION}, "kind": {"const": kind}, data: schema_of(KINDS[kind])}
    return {"type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False}


def schema_of(type_: Any) -> JsonSchema:
    """The schema of values of a type: text, numbers, lists, mappings, unions, typed dictionaries, structs."""
    origin, inner = get_origin(type_), get_args(type_)
    if type_ in _SIMPLE:
        return {"type": _SIMPLE[type_]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is UnionType:
        return {"anyOf": [schema_of(each) for each in inner]}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": schema_of(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    assert is_typeddict(type_) or issubclass(type_, Struct), type_
    fields = {name: schema_of(each) for name, each in get_type_hints(type_).items()}
    required = sorted(getattr(type_, "__required_keys__", fields))
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
