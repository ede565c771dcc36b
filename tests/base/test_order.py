"""Orders, rows, chains and cycles of graphs of needs, against the slow and obvious way."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import order

Needs = dict[str, list[str]]
NAMES = "abcdef"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=4))


def whole(needs: Needs) -> Needs:
    return {**{name: [] for name in NAMES}, **needs}


def chains(needs: Needs, start: str, end: str) -> list[list[str]]:
    """All chains from one name to another that visit no name twice, the shortest only."""
    found = []
    for length in range(len(NAMES)):
        for between in product(NAMES, repeat=length):
            way = [start, *between, end]
            if len({*way}) == len(way) and all(b in needs.get(a, ()) for a, b in pairwise(way)):
                found.append(way)
        if found:
            break
    return sorted(found)


@given(GRAPHS, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_shortest_chains(needs: Needs, start: str, end: str) -> None:
    if start != end:
        expected = chains(needs, start, end)
        assert order.shortest(needs, start, end, 1000) == expected
        assert order.shortest(needs, start, end) == expected[:1]
        assert (end in order.below(needs, start)) == bool(expected)


@given(GRAPHS)
def test_a_row_needs_only_rows_before_it(needs: Needs) -> None:
    given = whole(needs)
    cyclic = [name for name in given if name in order.below(given, name)]
    if cyclic:
        with pytest.raises(order.CycleFoundError):
            order.generations(given)
        return
    rows = order.generations(given)
    assert sorted(name for row in rows for name in row) == sorted(given)
    for number, row in enumerate(rows):
        assert row == sorted(row)
        before = {name for each in rows[:number] for name in each}
        assert all({*given[name]} <= before for name in row)
        assert number == 0 or all({*given[name]} & {*rows[number - 1]} for name in row), "as early as it can be"


@given(GRAPHS)
def test_each_group_of_names_that_need_each_other_has_one_cycle(needs: Needs) -> None:
    given = whole(needs)
    found = order.cycles(given)
    assert {bool(found)} == {any(name in order.below(given, name) for name in given)}
    for cycle in found:
        assert cycle[0] == min(name for name in given if {name, cycle[0]} <= order.below(given, name) & order.below(given, cycle[0]))
        assert all(b in given[a] for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    assert len({min(order.below(given, each[0]) & {n for n in given if each[0] in order.below(given, n)}) for each in found}) == len(found)
