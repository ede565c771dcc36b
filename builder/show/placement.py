"""Where the boxes and lines of a drawn graph go: layered from left to right, after Sugiyama, Tagawa and Toda (1981).

1. Columns: a node stands right of all that needs it, as far left as that allows (longest path from the roots).
2. Lines that pass a column get a point in it. Lines of one kind to one node share their points, so that the twenty
   builds which need one tool set draw one trunk and not twenty lines.
3. Order in a column: barycentre sweeps; the order with the fewest crossings seen is kept.
4. Height: each thing wants to be at the mean of its neighbours. The least-squares answer that keeps order and distance
   is found by pooling adjacent violators (isotonic regression).

Pure and deterministic: ties are broken by name, and no dictionary order or clock matters. Lengths are in pixels.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field

SWEEPS = 24
ROUNDS = 16
GAP = 14.0  # between neighbours of a column
LANE = 8.0  # between lines that pass a column
BETWEEN = 56.0  # from one column to the next, and more where many lines run
_FULL = 9  # columns of more boxes than this are where lines get dense


class Point(Struct, frozen=True):
    """A node (kind is "") or the place where the lines of one kind to one node pass a column."""

    name: str
    kind: str = ""
    column: int = 0


class Line(Struct, frozen=True):
    """A part of a line between neighbouring columns, as (x, y) of its ends; `last` when it ends at a node."""

    kind: str
    start: tuple[float, float]
    end: tuple[float, float]
    last: bool


class Layout(Struct, frozen=True, kw_only=True):
    """boxes: node -> (x, y, width), from its top left corner; boxes of a column are equally wide, so that no line
    has to pass one. lines: their parts, each once. width, height: of it all."""

    boxes: Mapping[str, tuple[float, float, float]]
    lines: tuple[Line, ...]
    width: float
    height: float


class _Work(Struct):
    """The state of the steps: for each column its points in order, and for each point its neighbours left and right."""

    columns: list[list[Point]]
    left: dict[Point, list[Point]] = field(default_factory=lambda: defaultdict(list))
    right: dict[Point, list[Point]] = field(default_factory=lambda: defaultdict(list))

    kinds: dict[tuple[Point, Point], str] = field(default_factory=dict)

    def join(self, one: Point, other: Point, kind: str) -> None:
        if (one, other) not in self.kinds:
            self.kinds[one, other] = kind
            self.right[one].append(other)
            self.left[other].append(one)


def place(sizes: Mapping[str, tuple[float, float]], column: Mapping[str, int],
          edges: Iterable[tuple[str, str, str]]) -> Layout:
    """sizes: node -> (width, height); column: node -> number from 0; edges: (from, to, kind), from left to right."""
    work = _points(column, edges)
    _order(work)
    heights = {point: LANE if point.kind else sizes[point.name][1] for points in work.columns for point in points}
    middle = _middles(work, heights)
    return _measure(work, sizes, middle)


def _points(column: Mapping[str, int], edges: Iterable[tuple[str, str, str]]) -> _Work:
    work = _Work([[] for _ in range(max(column.values(), default=-1) + 1)])
    nodes = {name: Point(name, "", column[name]) for name in sorted(column)}
    for node in nodes.values():
        work.columns[node.column].append(node)
    passing: set[Point] = set()
    for start, end, kind in sorted(edges):
        here = nodes[start]
        for number in range(column[start] + 1, column[end]):
            there = Point(end, kind, number)
            if there not in passing:
                passing.add(there)
                work.columns[number].append(there)
            work.join(here, there, kind)
            here = there
        work.join(here, nodes[end], kind)
    return work


def _order(work: _Work) -> None:
    """Sort each column so that few lines cross."""
    best, fewest = [list(points) for points in work.columns], crossings(work.columns, work.right)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        forward = sweep % 2 == 0
        near = work.left if forward else work.right
        count = len(work.columns)
        for number in range(1, count) if forward else range(count - 2, -1, -1):
            _sort_column(work.columns, number, number - 1 if forward else number + 1, near)
        found = crossings(work.columns, work.right)
        if found < fewest:
            best, fewest = [list(points) for points in work.columns], found
    work.columns = best


def _sort_column(columns: list[list[Point]], number: int, fixed: int, near: Mapping[Point, list[Point]]) -> None:
    """Order a column by the mean place of neighbours in the `fixed` one; without neighbours a point keeps its place."""
    at = {point: place for place, point in enumerate(columns[fixed])}
    share = len(columns[fixed]) / max(len(columns[number]), 1)
    wanted = {
        point: _mean([at[each] for each in near[point]]) if near[point] else place * share
        for place, point in enumerate(columns[number])
    }
    columns[number].sort(key=wanted.__getitem__)


def crossings(columns: list[list[Point]], right: Mapping[Point, list[Point]]) -> int:
    """How many pairs of lines between neighbouring columns cross."""
    total = 0
    for here, there in pairwise(columns):
        at = {point: place for place, point in enumerate(there)}
        seen: list[int] = []
        for point in here:
            ends = sorted(at[each] for each in right.get(point, ()))
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _middles(work: _Work, heights: Mapping[Point, float]) -> dict[Point, float]:
    """The height of each point's middle, at least 0 for the top of the highest thing."""
    middle: dict[Point, float] = {}
    for points in work.columns:
        offsets = _offsets(points, heights)
        middle.update({point: offset - offsets[-1] / 2 for point, offset in zip(points, offsets, strict=True)})
    for turn in range(ROUNDS):
        for points in work.columns if turn % 2 == 0 else reversed(work.columns):
            _settle(points, work, heights, middle)
    top = min((middle[point] - heights[point] / 2 for point in middle), default=0.0)
    return {point: round(y - top, 1) for point, y in middle.items()}


def _settle(points: list[Point], work: _Work, heights: Mapping[Point, float], middle: dict[Point, float]) -> None:
    """Move one column to where its neighbours are, as near as order and distance allow."""
    offsets = _offsets(points, heights)
    wanted, weights = [], []
    for point, offset in zip(points, offsets, strict=True):
        around = work.left.get(point, []) + work.right.get(point, [])
        wanted.append((_mean([middle[each] for each in around]) if around else middle[point]) - offset)
        weights.append(8.0 if point.kind else 1.0)  # long lines look best when they are straight
    for point, offset, y in zip(points, offsets, isotonic(wanted, weights), strict=True):
        middle[point] = y + offset


def _offsets(points: list[Point], heights: Mapping[Point, float]) -> list[float]:
    """How far each middle is below the first one when the column is packed."""
    offsets = [0.0]
    for above, below in pairwise(points):
        gap = LANE if above.kind and below.kind else GAP
        offsets.append(offsets[-1] + (heights[above] + heights[below]) / 2 + gap)
    return offsets


def isotonic(wanted: list[float], weights: list[float]) -> list[float]:
    """The non-decreasing sequence nearest to `wanted` by weighted squares."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(wanted, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, heavy, many), (other, light, few) = pools[-2:]
            pools[-2:] = [((one * heavy + other * light) / (heavy + light), heavy + light, many + few)]
    return [mean for mean, _, length in pools for _ in range(length)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _measure(work: _Work, sizes: Mapping[str, tuple[float, float]], middle: Mapping[Point, float]) -> Layout:
    """Columns get their x, and lines their ends: they leave a column on its right and pass it straight."""
    x, lefts, rights = 0.0, [], []
    for points in work.columns:
        width = max((sizes[point.name][0] for point in points if not point.kind), default=0.0)
        lefts.append(x)
        rights.append(x + width)
        lines = sum(len(work.right.get(point, ())) for point in points)
        x += width + BETWEEN + max(0, lines - _FULL) * 3
    boxes, parts = {}, []
    for point, y in middle.items():
        if not point.kind:
            left, right = lefts[point.column], rights[point.column]
            boxes[point.name] = (left, round(y - sizes[point.name][1] / 2, 1), right - left)
        parts += [
            Line(work.kinds[point, end], (rights[point.column], y), (lefts[end.column], middle[end]), not end.kind)
            for end in work.right.get(point, ())
        ]
        if point.kind:
            parts.append(Line(point.kind, (lefts[point.column], y), (rights[point.column], y), False))
    height = max((y + sizes[name][1] for name, (_, y, _) in boxes.items()), default=0.0)
    low = max(middle.values(), default=0.0)
    return Layout(boxes=boxes, lines=tuple(parts), width=max(rights, default=0.0), height=max(height, low))
