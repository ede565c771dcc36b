"""Canonical JSON: one value, one spelling."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import canonical, digest

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    """The same value: every table's keys in reverse order, every list as a tuple."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return tuple(map(reordered, value)) if isinstance(value, list) else value


def same(one: Any, two: Any) -> bool:
    """Equality that tells true from 1, which Python does not."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and bool(one == two)


def test_the_bytes() -> None:
    value = {"b": [1, True, None], "a": {"é": "ü\n\"", "z": -2}, "": ()}
    assert canonical.encode(value) == '{"":[],"a":{"z":-2,"é":"ü\\n\\""},"b":[1,true,null]}'.encode()


def test_keys_are_sorted_by_code_point() -> None:
    # U+10000 comes before U+FFFD in UTF-16, which RFC 8785 sorts by, and after it here.
    assert canonical.encode({"\U00010000": 1, "\ufffd": 2, "B": 3, "a": 4}) == '{"B":3,"a":4,"\ufffd":2,"\U00010000":1}'.encode()


def test_the_key_is_the_digest_of_the_bytes() -> None:
    assert canonical.key({"b": 1, "a": 2}) == digest.of_bytes(b'{"a":2,"b":1}')


def test_a_known_key() -> None:
    assert canonical.key({}) == "sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="  # printf {} | sha256sum


@given(VALUES)
def test_order_of_keys_and_kind_of_list_do_not_count(value: Any) -> None:
    assert canonical.encode(reordered(value)) == canonical.encode(value)


@given(VALUES)
def test_nothing_is_lost(value: Any) -> None:
    assert same(json.loads(canonical.encode(value)), value)


@given(VALUES, VALUES)
def test_different_values_have_different_keys(one: Any, two: Any) -> None:
    assert (canonical.key(one) == canonical.key(two)) == same(one, two)


@pytest.mark.parametrize(("one", "two"), [(1, "1"), (1, True), (0, False), ("", None), ([], {}), ("a\u0301", "\u00e1"), ([1, 2], [2, 1])])
def test_values_that_look_alike(one: Any, two: Any) -> None:
    assert canonical.key({"x": one}) != canonical.key({"x": two})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800"])
def test_what_has_no_spelling(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        canonical.key([value])


def test_what_json_has_no_type_for() -> None:
    with pytest.raises(TypeError, match="Object of type bytes is not JSON serializable"):
        canonical.key([b"bytes"])
