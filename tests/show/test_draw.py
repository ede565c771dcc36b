"""The picture of a graph: well-formed, complete, escaped, deterministic, and laid out without overlaps."""

import random
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locks import make_lock, simple_graph

from builder.base.errors import LockError
from builder.show import draw, graph, placement
from builder.show.placement import Point

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def picture() -> str:
    return draw.svg(graph.of(make_lock(), "embedded", "openresty"), "image openresty")


def boxes(picture: str) -> dict[str, tuple[float, float, float, float]]:
    """Name -> (left, top, right, bottom) of each box."""
    found = {}
    for group in ET.fromstring(picture).iter(f"{SVG}g"):
        rect, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        if rect is not None and title is not None and title.text:
            x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            name = title.text.partition(": ")[0]
            found[name] = (x, y, x + width, y + height)
    return found


def random_graph(seed: int, nodes: int) -> graph.Needs:
    rng = random.Random(seed)
    edges = {f"p{n}": " ".join(f"p{rng.randrange(n)}" for _ in range(min(n, 3))) for n in range(nodes)}
    return simple_graph(edges)


def test_every_node_and_edge_is_drawn(picture: str) -> None:
    root = ET.fromstring(picture)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"nginx", "1.26.3", "openresty", "image", "toolset", "image openresty"} <= set(texts)
    drawn = boxes(picture)
    assert len(drawn) == 10
    tips = {path.attrib["d"].partition("l")[0] for path in root.iter(f"{SVG}path") if "arrow" in path.attrib["class"]}
    heads = {name: f"M{left:g} {(top + bottom) / 2:g}" for name, (left, top, _, bottom) in drawn.items()}
    assert {name for name, head in heads.items() if head not in tips} == {"image:openresty"}


def test_build_edges_are_dashed_and_base_edges_dotted(picture: str) -> None:
    classes = {path.attrib["class"] for path in ET.fromstring(picture).iter(f"{SVG}path")}
    assert {"runtime", "build", "base", "aside"} <= classes
    assert "path.build { stroke: #a08f66; stroke-width: 1; stroke-dasharray: 5 3; }" in picture


def test_roles_tell_what_goes_into_the_image() -> None:
    found = draw.roles(graph.of(make_lock(), "embedded", "openresty"))
    assert found["image:openresty"] == "image"
    assert [found[name] for name in ("zlib 1.3.1", "musl 1.2.5")] == ["runtime", "runtime"]
    assert [found[name] for name in ("module 1", "zig 0.17.1")] == ["build", "build"]


def test_texts_are_escaped() -> None:
    found = graph.of(make_lock({"a<b>&\"'\x07 1": ([], [])}, packages=["a<b>&\"'\x07 1"], base=[]), "embedded")
    root = ET.fromstring(draw.svg(found, "<script>&\"'\x00"))
    assert root.attrib["aria-label"] == "<script>&\"' "
    assert "a<b>&\"' " in [text.text for text in root.iter(f"{SVG}text")]
    assert not list(root.iter(f"{SVG}script"))


def test_same_graph_same_picture_in_any_order(picture: str) -> None:
    one = graph.of(make_lock(), "embedded", "openresty")
    other = {node: dict(reversed(needs.items())) for node, needs in reversed(one.items())}
    assert draw.svg(other, "image openresty") == picture


@pytest.mark.parametrize("seed", range(5))
def test_boxes_do_not_overlap_and_lie_inside(seed: int) -> None:
    picture = draw.svg(random_graph(seed, 60), "t")
    width, height = (float(ET.fromstring(picture).attrib[key]) for key in ("width", "height"))
    found = list(boxes(picture).values())
    assert len(found) == 60
    for number, (left, top, right, bottom) in enumerate(found):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for left2, top2, right2, bottom2 in found[:number]:
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top


@pytest.mark.parametrize("seed", range(3))
def test_lines_lead_to_the_right(seed: int) -> None:
    big = random_graph(seed, 60)
    rows = graph.generations(big)[::-1]  # those that nothing needs first
    column = {name: number for number, names in enumerate(rows) for name in names}
    placed = placement.place(dict.fromkeys(big, (80.0, 30.0)), column, [(a, b, "runtime") for a, b in graph.edges(big)])
    assert all(line.start[0] < line.end[0] for line in placed.lines)
    assert len(set(placed.lines)) == len(placed.lines)


def test_a_cycle_cannot_be_drawn() -> None:
    with pytest.raises(LockError, match="is a cycle: a 1 -> b 1 -> a 1"):
        draw.svg(simple_graph({"a": "b", "b": "a"}), "t")


def test_an_empty_graph_is_a_picture_too() -> None:
    ET.fromstring(draw.svg({}, "nothing"))


def test_crossings_are_counted() -> None:
    a, b, c, d = (Point(name, "", number // 2) for number, name in enumerate("abcd"))
    assert placement.crossings([[a, b], [c, d]], {a: [c], b: [d]}) == 0
    assert placement.crossings([[a, b], [c, d]], {a: [d], b: [c]}) == 1
    assert placement.crossings([[a, b], [c, d]], {a: [c, d], b: [c, d]}) == 1


def test_ordering_removes_crossings_that_names_would_give() -> None:
    sizes = dict.fromkeys("abcxyz", (50.0, 20.0))
    column = dict.fromkeys("abc", 0) | dict.fromkeys("xyz", 1)
    placed = placement.place(sizes, column, [("a", "z", "k"), ("b", "y", "k"), ("c", "x", "k")])
    assert [line.start[1] == line.end[1] for line in placed.lines] == [True] * 3


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.5, 8)), max_size=12))
def test_isotonic_is_sorted_and_keeps_the_weighted_mean(pairs: list[tuple[float, float]]) -> None:
    wanted, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    found = placement.isotonic(wanted, weights)
    assert all(one <= other for one, other in pairwise(found))
    total = sum(value * weight for value, weight in pairs)
    kept = sum(value * weight for value, weight in zip(found, weights, strict=True))
    assert kept == pytest.approx(total, abs=1e-6)
    if wanted == sorted(wanted):
        assert found == wanted


def test_a_large_graph_is_drawn_too() -> None:
    assert draw.svg(random_graph(1, 300), "t").count("<g><title>") == 300
