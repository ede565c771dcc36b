"""Sizes and counts as people read them."""

import pytest

from builder.base import units


@pytest.mark.parametrize(("count", "noun", "text"), [
    (0, "tree", "0 trees"), (1, "tree", "1 tree"), (2, "tree", "2 trees"), (1, "entry", "1 entry"), (20821, "entry", "20821 entries"),
    (2, "byte", "2 bytes"), (2, "more name", "2 more names"),
])
def test_a_count(count: int, noun: str, text: str) -> None:
    assert units.counted(count, noun) == text
