"""Typed readers: what each shape takes, and the exact text and place of what it does not."""

import datetime
from typing import Any

import pytest

from builder.base import shape as decode
from builder.base.shape import Choice, Field, Flag, ListOf, MapOf, Number, Problems, Shape, Table, Text, one_of

SHOUT = Text(check=lambda text: "" if text.isupper() else f"'{text}' is not loud", hint="like 'HELLO'")
SIZES = Table({
    "name": Field(Text("[a-z]+", "lower-case letters"), "what it is called", required=True),
    "sizes": Field(ListOf(Number(1), 1)),
    "labels": Field(MapOf(Text(), "[a-z]+")),
    "inner": Field(ListOf(Table({"on": Field(Flag(), required=True)}))),
})


def problems_of(shape: Shape, value: Any, place: str = "file: ") -> list[str]:
    problems: Problems = []
    decode.read(shape, value, place, problems)
    return [str(each) for each in problems]


@pytest.mark.parametrize(("shape", "value"), [
    (Text(), ""), (Text("[a-z]+"), "abc"), (SHOUT, "HEY"), (Choice(("a", "b")), "b"), (Flag(), False), (Number(), 0),
    (Number(3), 3), (ListOf(Number()), []), (ListOf(Number(), 1), [1]), (MapOf(Flag()), {"a.b": True}), (MapOf(Flag()), {}),
])
def test_a_value_of_the_right_shape_is_returned(shape: Shape, value: Any) -> None:
    problems: Problems = []
    assert decode.read(shape, value, "file: ", problems) == value
    assert problems == []


@pytest.mark.parametrize(("shape", "value", "message"), [
    (Text(hint="say more"), 1, "at: must be text, not a whole number (say more)"),
    (Text(), datetime.date(2026, 1, 1), "at: must be text, not date"),
    (Text("[a-z]+"), "ABC", "at: 'ABC' is not of the right form (it must match [a-z]+)"),
    (Text("[a-z]+", "letters"), "abc\n", "at: 'abc\n' is not of the right form (letters)"),
    (SHOUT, "hey", "at: 'hey' is not loud (like 'HELLO')"),
    (Choice(("left", "right")), "rihgt", "at: 'rihgt' is not one of left, right (did you mean 'right'?)"),
    (Choice(("left", "right")), True, "at: true or false is not one of left, right (known here: left, right)"),
    (Flag(), 1, "at: must be true or false, not a whole number"),
    (Number(), True, "at: must be a whole number, not true or false"),
    (Number(), 1.5, "at: must be a whole number, not a number"),
    (Number(1), 0, "at: must be at least 1, not 0"),
    (Number(), 2**63, "at: must be at most 9223372036854775807"),
    pytest.param(Number(), -(16**9999), "at: must be at least 0, not that", id="more digits than Python prints"),
    (ListOf(Text()), "a", "at: must be a list, not text"),
    (ListOf(Text(), 2), ["a"], "at: must have at least 2 of them"),
    (ListOf(Flag()), [True, "x"], "at[1]: must be true or false, not text"),
    (MapOf(Text()), [], "at: must be a table, not a list"),
    (MapOf(Text(), "[a-z]+"), {"A": "x"}, "at.A: the key is not of the right form (it must match [a-z]+)"),
    (MapOf(Flag()), {"a": "x"}, "at.a: must be true or false, not text"),
    (Table({}), "x", "at: must be a table, not text"),
])
def test_a_value_of_another_shape_is_a_problem_at_its_place(shape: Shape, value: Any, message: str) -> None:
    assert problems_of(shape, value, "at") == [message]


def test_a_file_that_is_no_table_is_a_problem_of_the_file() -> None:
    assert problems_of(SIZES, []) == ["file: : must be a table, not a list"]


def test_all_problems_of_a_table_are_reported_at_once() -> None:
    value = {"nmae": "x", "sizes": [1, 0, "x"], "labels": {"B": 1}, "inner": [{"on": True}, {}, {"on": 1, "off": 2}]}
    assert problems_of(SIZES, value) == [
        "file: nmae: unknown key (did you mean 'name'?)",
        "file: sizes[1]: must be at least 1, not 0",
        "file: sizes[2]: must be a whole number, not text",
        "file: labels.B: the key is not of the right form (it must match [a-z]+)",
        "file: labels.B: must be text, not a whole number",
        "file: inner[1].on: is missing",
        "file: inner[2].on: must be true or false, not a whole number",
        "file: inner[2].off: unknown key (known here: on)",
        "file: name: is missing (what it is called)",
    ]


def test_absent_optional_keys_stay_absent() -> None:
    problems: Problems = []
    assert decode.read(SIZES, {"name": "x"}, "file: ", problems) == {"name": "x"}


def test_a_table_is_checked_as_a_whole_only_when_its_parts_are_right() -> None:
    table = Table({"a": Field(Number()), "b": Field(Number())}, check=one_of(("a", "b"), doc="choose one"))
    assert problems_of(table, {"a": 1}, "at") == []
    assert problems_of(table, {}, "at") == ["at: must have exactly one of a, b; it has none of them (choose one)"]
    assert problems_of(table, {"a": 1, "b": 2}, "at") == ["at: must have exactly one of a, b; it has a and b (choose one)"]
    assert problems_of(table, {"a": "x"}, "at") == ["at.a: must be a whole number, not text"]


@pytest.mark.parametrize(("word", "known", "hint"), [
    ("opensll", ("openssl", "zlib"), "did you mean 'openssl'?"),
    ("qqq", ("openssl", "zlib"), "known here: openssl, zlib"),
    ("qqq", (), "none is known here"),
    ("qqq", tuple(f"name{i:02}" for i in range(22)), "known here: " + ", ".join(f"name{i:02}" for i in range(20)) + " and 2 more"),
])
def test_a_near_word_is_named_else_those_that_are_known(word: str, known: tuple[str, ...], hint: str) -> None:
    assert decode.near(word, known) == hint


NUMBER = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}


def test_one_definition_gives_the_json_schema_too() -> None:
    assert SIZES.schema() == {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^(?:[a-z]+)$", "description": "what it is called"},
            "sizes": {"type": "array", "items": NUMBER, "minItems": 1},
            "labels": {"type": "object", "propertyNames": {"pattern": "^(?:[a-z]+)$"}, "additionalProperties": {"type": "string"}},
            "inner": {"type": "array", "items": {
                "type": "object", "additionalProperties": False, "required": ["on"], "properties": {"on": {"type": "boolean"}},
            }},
        },
    }
    assert Choice(("a",)).schema() == {"enum": ["a"]}
