"""The graph of needs as an SVG picture (W3C SVG 1.1), without a program to draw it.

Boxes carry their own fill and the rest is of a middle tone, so that the picture reads on light and on dark pages. No
script, no outside font or style; every text is escaped. Same graph, same bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

from builder.base import order
from builder.show import graph as needs
from builder.show import placement
from builder.show.graph import BASE, BUILD, IMAGE, RUNTIME, Needs

_MARGIN = 24.0
_HEAD = 34.0  # height of the title
_LEGEND = 46.0
_BOX = 38.0  # height of a box
_ASIDE = "aside"
_FONT = "ui-sans-serif, system-ui, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
_STYLE = f"""
  text {{ font-family: {_FONT}; fill: #1f2933; }}
  .name {{ font-size: 12.5px; font-weight: 600; }}
  .version {{ font-size: 11px; fill: #52606d; }}
  .title {{ font-size: 15px; font-weight: 600; fill: #7b8794; }}
  .legend {{ font-size: 11.5px; fill: #7b8794; }}
  rect {{ stroke-width: 1.2; }}
  rect.image {{ fill: #d9e8fb; stroke: #3d73b4; }}
  rect.runtime {{ fill: #ddf1e2; stroke: #3f8f5b; }}
  rect.build {{ fill: #f3efe4; stroke: #a08f66; }}
  path {{ fill: none; }}
  path.runtime {{ stroke: #3f8f5b; stroke-width: 1.5; }}
  path.build {{ stroke: #a08f66; stroke-width: 1; stroke-dasharray: 5 3; }}
  path.aside {{ stroke: #a08f66; stroke-width: 1; }}
  path.base {{ stroke: #5b8fd0; stroke-width: 1.5; stroke-dasharray: 1.5 3; }}
  path.arrow {{ stroke: none; }}
  .arrow.runtime {{ fill: #3f8f5b; }} .arrow.build, .arrow.aside {{ fill: #a08f66; }} .arrow.base {{ fill: #5b8fd0; }}
"""


def svg(graph: Needs, title: str) -> str:
    """The picture of `graph`.

    Raises:
        LockError: the graph has a cycle.
    """
    needs.generations(graph)  # names a cycle
    users = _users(graph)
    column = {name: number for number, names in enumerate(order.generations(users)) for name in names}
    sizes = {name: (_width(name), _BOX) for name in graph}
    role = roles(graph)
    edges = [(who, what, _look(needs.kind_of(graph, who, what), role[who])) for who, what in needs.edges(graph)]
    placed = placement.place(sizes, column, edges)
    width = max(placed.width, 560.0) + 2 * _MARGIN
    height = placed.height + 2 * _MARGIN + _HEAD + _LEGEND
    body = [*_head(title, width, height), f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN + _HEAD)})">']
    body += _lines(placed.lines)
    body += _boxes(graph, placed.boxes)
    body += ["</g>", *_legend(graph, height - _MARGIN - 12), "</svg>", ""]
    return "\n".join(body)


def roles(graph: Needs) -> dict[str, str]:
    """Node -> "image", "runtime" (it or its base reaches an image) or "build" (only builds see it)."""
    starts = [node for node in graph if node.startswith(IMAGE)] or needs.roots(graph)
    kept: set[str] = set(starts)
    stack = list(starts)
    while stack:
        node = stack.pop()
        for what in graph[node]:
            if what not in kept and needs.kind_of(graph, node, what) != BUILD:
                kept.add(what)
                stack.append(what)
    return {node: "image" if node.startswith(IMAGE) else RUNTIME if node in kept else BUILD for node in sorted(graph)}


def _users(graph: Needs) -> dict[str, list[str]]:
    """Node -> the nodes that need it, sorted."""
    found: dict[str, list[str]] = {node: [] for node in graph}
    for who, what in needs.edges(graph):
        found[what].append(who)
    return found


def _look(kind: str, role: str) -> str:
    """How a need is drawn: the needs of tools stay in their colour, and those of the image stand out."""
    return _ASIDE if kind == RUNTIME and role == BUILD else kind


def _head(title: str, width: float, height: float) -> Iterator[str]:
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
           f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label={quoteattr(_plain(title))}>')
    yield f"<style>{_STYLE}</style>"
    yield f'<text class="title" x="{_n(_MARGIN)}" y="{_n(_MARGIN + 10)}">{escape(_plain(title))}</text>'


def _lines(lines: Iterable[placement.Line]) -> Iterator[str]:
    for line in sorted(lines, key=lambda each: (each.kind not in (BUILD, _ASIDE), each.kind, each.start, each.end)):
        (x1, y1), (x2, y2) = line.start, line.end
        x2 -= 6 if line.last else 0
        if y1 == y2:
            yield f'<path class="{line.kind}" d="M{_n(x1)} {_n(y1)}H{_n(x2)}"/>'
        else:
            bend = (x2 - x1) / 2
            curve = f"M{_n(x1)} {_n(y1)}C{_n(x1 + bend)} {_n(y1)} {_n(x2 - bend)} {_n(y2)} {_n(x2)} {_n(y2)}"
            yield f'<path class="{line.kind}" d="{curve}"/>'
        if line.last:
            yield _arrow(line.kind, x2 + 6, y2)


def _arrow(kind: str, x: float, y: float) -> str:
    return f'<path class="arrow {kind}" d="M{_n(x)} {_n(y)}l-8 -3.5v7z"/>'


def _boxes(graph: Needs, boxes: Mapping[str, tuple[float, float, float]]) -> Iterator[str]:
    needed_by = _users(graph)
    for node, role in roles(graph).items():
        x, y, width = boxes[node]
        name, version = _words(node)
        middle = _n(x + width / 2)
        users = ", ".join(needed_by[node])
        tip = f"{node}: needed by {users}" if users else node
        yield f"<g><title>{escape(_plain(tip))}</title>"
        yield f'<rect class="{role}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(_BOX)}" rx="6"/>'
        yield f'<text class="name" x="{middle}" y="{_n(y + 16)}" text-anchor="middle">{escape(name)}</text>'
        yield f'<text class="version" x="{middle}" y="{_n(y + 31)}" text-anchor="middle">{escape(version)}</text></g>'


def _legend(graph: Needs, y: float) -> Iterator[str]:
    """The legend of the colours and lines that are drawn, and of no others."""
    here = set(roles(graph).values())
    kinds = {kind for what in graph.values() for kind in what.values()}
    x = _MARGIN
    for role, text in (("image", "image"), (RUNTIME, "in the image"), (BUILD, "only for builds")):
        if role in here:
            yield f'<rect class="{role}" x="{_n(x)}" y="{_n(y - 11)}" width="20" height="14" rx="3"/>'
            yield f'<text class="legend" x="{_n(x + 27)}" y="{_n(y)}">{text}</text>'
            x += 46 + 6.5 * len(text)
    for kind, text in ((RUNTIME, "needs"), (BUILD, "needs to build"), (BASE, "stands on")):
        if kind in kinds:
            yield f'<path class="{kind}" d="M{_n(x)} {_n(y - 4)}h30"/>' + _arrow(kind, x + 36, y - 4)
            yield f'<text class="legend" x="{_n(x + 43)}" y="{_n(y)}">{text}</text>'
            x += 62 + 6.5 * len(text)


def _words(node: str) -> tuple[str, str]:
    """The two lines of a box."""
    if node.startswith(IMAGE):
        return _plain(node.removeprefix(IMAGE)), "image"
    name, _, version = node.partition(" ")
    return _plain(name), _plain(version)


def _width(node: str) -> float:
    name, version = _words(node)
    return max(64.0, round(max(len(name) * 7.6, len(version) * 6.4) + 22, 1))


def _plain(text: str) -> str:
    """Without characters that XML 1.0 (section 2.2) cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
