"""Profiles: named sets of choices, which version or provider of a package an image takes.

One TOML file a profile, `recipes/profiles/NAME.toml`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from builder.base import canonical, shape
from builder.base.errors import Problem
from builder.base.shape import Choice, Field, JsonSchema, ListOf, MapOf, Problems, Table, Text
from builder.recipe import requirement
from builder.recipe.requirement import Requirement


class Profile(Struct, frozen=True, kw_only=True):
    """A parsed profile. `digest` is the SHA-256 of its canonical content.

    base: packages whose runtime outputs are the base layer. constraints: package -> patterns of its version.
    providers: package -> the package that provides it inside. features: package -> features that are on.
    outputs_required: whether an output that the lock does not pin is an audit finding. cannot: rule of the audit -> why
    the sources of this profile cannot meet it.
    """

    name: str
    path: str
    digest: str
    summary: str = ""
    base: tuple[Requirement, ...] = ()
    constraints: Mapping[str, Requirement] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs_required: bool = True
    cannot: Mapping[str, str] = field(default_factory=dict)


# Rules of the audit about files that others publish. A profile may be unable to meet these; other rules find
# contradictions.
SOURCE_RULES = ("unpinned-source", "weak-pin", "plain-http-unpinned", "plain-http-first", "single-location")

_NAME = Text(requirement.NAME, "lower-case letters, digits, '+', '.', '-'")


def _pattern_problem(text: str) -> str:
    return "" if not requirement.problem(f"x {text}") and text.strip() else f"'{text}' is not a version or a pattern"


def _blank(text: str) -> str:
    return "" if text.strip() else "must say why"


_CANNOT = Table({rule: Field(Text(check=_blank), "the reason") for rule in SOURCE_RULES})

PROFILE = Table({
    "name": Field(_NAME, "the file's name without .toml", required=True),
    "summary": Field(Text(), "one line"),
    "base": Field(ListOf(Text(check=requirement.problem, hint=requirement.HINT)), "packages of the base layer"),
    "constraints": Field(
        MapOf(Text(check=_pattern_problem, hint="like '3.5.* | 3.0.20' or '!1.1.1*'"), requirement.NAME),
        "package -> versions"
    ),
    "providers": Field(MapOf(_NAME, requirement.NAME), "package -> the package that provides it inside"),
    "features": Field(MapOf(ListOf(_NAME, 1), requirement.NAME), "package -> features that are on"),
    "outputs": Field(
        Choice(("required", "optional")), "whether an unpinned output is an audit finding (default: required)"
    ),
    "audit": Field(
        Table({"cannot": Field(_CANNOT, "rule -> why it cannot be met")}), "findings that the audit accounts for"
    ),
}, doc="A builder profile: which version or provider of a package an image takes.")


def read(data: Any, *, path: str, stem: str, problems: Problems) -> Profile | None:
    """The profile that parsed TOML `data` of the file `path` describes; problems are added, and then it is None."""
    mine: Problems = []
    table = shape.read(PROFILE, data, f"{path}: ", mine)
    if table is not None and not mine:
        if table["name"] == stem:
            # Reasons change no output, so the lock is not stale after they change.
            return _profile(table, canonical.key({key: each for key, each in data.items() if key != "audit"}), path)
        mine.append(Problem(f"{path}: name", f"is '{table['name']}' but the file is {stem}.toml", "make them the same"))
    problems.extend(mine)
    return None


def schema() -> JsonSchema:
    """JSON Schema (draft 2020-12) of a profile, from the same definition that reads it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "builder profile", **PROFILE.schema()}


def _profile(table: Mapping[str, Any], digest: str, path: str) -> Profile:
    constraints = table.get("constraints", {})
    return Profile(
        name=table["name"], path=path, digest=digest, summary=table.get("summary", ""),
        base=tuple(map(requirement.parse, table.get("base", ()))),
        constraints={name: requirement.parse(f"{name} {text}") for name, text in constraints.items()},
        providers=table.get("providers", {}),
        features={name: tuple(sorted(set(each))) for name, each in table.get("features", {}).items()},
        outputs_required=table.get("outputs", "required") == "required",
        cannot=table.get("audit", {}).get("cannot", {}),
    )
