"""Typed readers for parsed TOML: one definition gives both the decoder and the JSON Schema.

A shape reads a plain value and returns it normalised; errors go to a list of `Problem`, with the exact place,
so that a file's problems are reported all at once. Nothing here opens a file.

Call `read`, not a shape's own: making places costs more than all checks, so it reads without places first, and once
more with them when something is wrong.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from builder.base.errors import Problem

Problems = list[Problem]
JsonSchema = dict[str, Any]

_MOST_NAMED = 20
_LARGEST = 2**63 - 1
_KINDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "a table", float: "a number"}


def kind_of(value: object) -> str:
    """The TOML word for a value's type, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


def near(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word closest to `word`, else all of them."""
    import difflib  # noqa: PLC0415 - only a wrong file pays for it

    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return "known here: " + ", ".join(sorted(known)[:_MOST_NAMED]) + more if known else "none is known here"


def read(shape: "Shape", value: Any, place: str, problems: Problems) -> Any:
    """`value` as `shape` reads it; errors are added to `problems`. A `place` that ends in ": " is a file's name."""
    quick: Problems = []
    found = shape.read(value, "", quick)
    return shape.read(value, place, problems) if quick else found


class Shape(Struct, frozen=True, dict=True):
    """The form of a value. `read` returns None after it has noted a problem; an empty place does not matter."""

    def read(self, value: Any, place: str, problems: Problems) -> Any:
        raise NotImplementedError

    def schema(self) -> JsonSchema:
        raise NotImplementedError


class Text(Shape, frozen=True):
    """A text; `check` returns a message when the text is not acceptable, `pattern` is for the JSON Schema."""

    pattern: str = ""
    hint: str = ""
    check: Callable[[str], str] | None = None

    def read(self, value: Any, place: str, problems: Problems) -> str | None:
        if not isinstance(value, str):
            problems.append(Problem(place, f"must be text, not {kind_of(value)}", self.hint))
        elif self.pattern and not self._fits(value):
            problems.append(
                Problem(place, f"'{value}' is not of the right form", self.hint or f"it must match {self.pattern}")
            )
        elif self.check and (message := self.check(value)):
            problems.append(Problem(place, message, self.hint))
        else:
            return value
        return None

    @cached_property
    def _fits(self) -> Callable[[str], object]:
        return re.compile(self.pattern).fullmatch  # on first use: most patterns of a run are never needed

    def schema(self) -> JsonSchema:
        found: JsonSchema = {"type": "string"}
        if self.pattern:
            found["pattern"] = f"^(?:{self.pattern})$"
        return found


class Choice(Shape, frozen=True):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, value: Any, place: str, problems: Problems) -> str | None:
        if isinstance(value, str) and value in self.words:
            return value
        shown = f"'{value}'" if isinstance(value, str) else kind_of(value)
        hint = near(str(value), self.words) if place else ""
        problems.append(Problem(place, f"{shown} is not one of {', '.join(self.words)}", hint))
        return None

    def schema(self) -> JsonSchema:
        return {"enum": list(self.words)}


class Flag(Shape, frozen=True):
    """True or false."""

    def read(self, value: Any, place: str, problems: Problems) -> bool | None:
        if isinstance(value, bool):
            return value
        problems.append(Problem(place, f"must be true or false, not {kind_of(value)}"))
        return None

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


class Number(Shape, frozen=True):
    """A whole number, at least `minimum`, that 64 bits hold (TOML 1.0.0 promises no more)."""

    minimum: int = 0

    def read(self, value: Any, place: str, problems: Problems) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(Problem(place, f"must be a whole number, not {kind_of(value)}"))
        elif value < self.minimum:
            problems.append(
                Problem(place, f"must be at least {self.minimum}, not {value if value > -_LARGEST else 'that'}")
            )
        elif value > _LARGEST:
            problems.append(Problem(place, f"must be at most {_LARGEST}"))
        else:
            return value
        return None

    def schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.minimum, "maximum": _LARGEST}


class ListOf(Shape, frozen=True):
    """A list of values of one shape."""

    item: Shape
    at_least: int = 0

    def read(self, value: Any, place: str, problems: Problems) -> list[Any] | None:
        if not isinstance(value, list):
            problems.append(Problem(place, f"must be a list, not {kind_of(value)}"))
            return None
        if len(value) < self.at_least:
            problems.append(Problem(place, f"must have at least {self.at_least} of them"))
        read = self.item.read
        if not place:
            return [read(each, "", problems) for each in value]
        return [read(each, f"{place}[{i}]", problems) for i, each in enumerate(value)]

    def schema(self) -> JsonSchema:
        found: JsonSchema = {"type": "array", "items": self.item.schema()}
        return found | ({"minItems": self.at_least} if self.at_least else {})


class MapOf(Shape, frozen=True):
    """A table with free keys that match a pattern, and values of one shape."""

    item: Shape
    keys: str = "[A-Za-z0-9][A-Za-z0-9._+@/-]*"

    def read(self, value: Any, place: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            problems.append(Problem(place, f"must be a table, not {kind_of(value)}"))
            return None
        for key in value:
            if not self._fits(key):
                problems.append(
                    Problem(join(place, key), "the key is not of the right form", f"it must match {self.keys}")
                )
        return {key: self.item.read(each, join(place, key), problems) for key, each in value.items()}

    @cached_property
    def _fits(self) -> Callable[[str], object]:
        return re.compile(self.keys).fullmatch

    def schema(self) -> JsonSchema:
        return {
            "type": "object", "propertyNames": {"pattern": f"^(?:{self.keys})$"},
            "additionalProperties": self.item.schema(),
        }


class Field(Struct, frozen=True):
    """One key of a table."""

    shape: Shape
    doc: str = ""
    required: bool = False


class Table(Shape, frozen=True):
    """A table with named keys; a key that is not named is a problem. `check` sees the read table and may add problems.

    Absent optional keys stay absent in the table that `read` returns.
    """

    fields: Mapping[str, Field]
    doc: str = ""
    check: Callable[[dict[str, Any], str, Problems], None] | None = None

    def read(self, value: Any, place: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            problems.append(Problem(place or "file", f"must be a table, not {kind_of(value)}"))
            return None
        found: dict[str, Any] = {}
        before = len(problems)
        for key, each in value.items():
            known = self.fields.get(key)
            at = join(place, key) if place else ""
            if known is None:
                problems.append(Problem(at, "unknown key", near(key, tuple(self.fields)) if place else ""))
            else:
                found[key] = known.shape.read(each, at, problems)
        for key in self._required:
            if key not in value:
                problems.append(Problem(join(place, key), "is missing", self.fields[key].doc))
        if self.check and len(problems) == before:
            self.check(found, place, problems)
        return found

    @cached_property
    def _required(self) -> tuple[str, ...]:
        return tuple(key for key, each in self.fields.items() if each.required)

    def schema(self) -> JsonSchema:
        properties = {k: f.shape.schema() | ({"description": f.doc} if f.doc else {}) for k, f in self.fields.items()}
        found: JsonSchema = {"type": "object", "additionalProperties": False, "properties": properties}
        required = list(self._required)
        return found | ({"required": required} if required else {}) | ({"description": self.doc} if self.doc else {})


def join(place: str, key: str) -> str:
    """`place` and `key` as one dotted path; a place that ends in ": " is a file's name, an empty one stays empty."""
    if not place:
        return ""
    return f"{place}{key}" if place.endswith(" ") else f"{place}.{key}"


def one_of(keys: Sequence[str], *, doc: str) -> Callable[[dict[str, Any], str, Problems], None]:
    """A table check: exactly one of `keys` is present."""

    def check(table: dict[str, Any], place: str, problems: Problems) -> None:
        present = [key for key in keys if key in table]
        if len(present) != 1:
            found = " and ".join(present) if present else "none of them"
            problems.append(Problem(place, f"must have exactly one of {', '.join(keys)}; it has {found}", doc))

    return check
