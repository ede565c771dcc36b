"""The graph of needs of a locked image and profile: as text, as DOT, as generations, and as an answer to "why".

A node is a package's id ("openssl 3.5.7") or an image ("image:openresty"). An edge A -> B says that A needs B, and its
`kind` says how: "runtime" (B goes into the image, and A's build sees it), "build" (only A's build sees it) or "base" (B
is below the image's layer: a package, or the image that it stands on). Everything is added
in sorted order, so equal locks give equal answers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct

from builder.base import order
from builder.base.errors import LockError, Problem, UsageError
from builder.base.shape import near
from builder.lock.lock import Lock, LockedImage, LockedPackage

RUNTIME, BUILD, BASE = "runtime", "build", "base"
MOST_PATHS = 20
IMAGE = "image:"

Needs: TypeAlias = dict[str, dict[str, str]]  # node -> the node that it needs -> kind


class Step(Struct, frozen=True):
    """One edge of a path: `needs` is needed by `who`, in the way `kind`."""

    who: str
    kind: str
    needs: str


def of(lock: Lock, profile: str, image: str | None = None, *, build: bool = True) -> Needs:
    """The graph of one image in a profile, or of everything in the profile.

    build: whether needs of builds are followed too.

    Raises:
        UsageError: the lock has no such profile, or no such image in it.
        LockError: the lock names a package that it does not hold.
    """
    packages = lock.in_profile(profile)
    images = [each for each in lock.images if each.profile == profile and image in (None, each.name)]
    _check_names(lock, profile, image, packages, images)
    images = sorted(
        {each.name: each for top in images for each in lock.stack(top)}.values(), key=lambda each: each.name
    )
    graph: Needs = {}
    for each in images:
        _add(
            graph,
            IMAGE + each.name,
            [(RUNTIME, each.packages), (BASE, [IMAGE + each.below] if each.below else each.base)],
        )
    for package in sorted(packages.values(), key=lambda each: each.id):
        needs = [(RUNTIME, package.requires), (BUILD, package.build_requires if build else ())]
        _add(graph, package.id, needs)
    _check_whole(graph, packages, profile)
    if image is None:
        return graph
    return below(graph, IMAGE + image)


def below(graph: Needs, node: str) -> Needs:
    """The part of the graph that `node` needs, with itself."""
    wanted = order.below(graph, node) | {node}
    return {each: needs for each, needs in graph.items() if each in wanted}


def edges(graph: Needs) -> list[tuple[str, str]]:
    """(node, needed node) of every need, sorted."""
    return sorted((who, each) for who, needs in graph.items() for each in needs)


def kind_of(graph: Needs, who: str, needs: str) -> str:
    return graph[who][needs]


def needs_of(graph: Needs, node: str) -> list[tuple[str, str]]:
    """(kind, node) of what `node` needs: runtime needs first, then the base, then those of the build, by name."""
    order = (RUNTIME, BASE, BUILD)
    return sorted(((kind_of(graph, node, each), each) for each in graph[node]), key=lambda e: (order.index(e[0]), e[1]))


def roots(graph: Needs) -> list[str]:
    """The nodes that no other needs: images first, then packages, by name."""
    needed = {each for needs in graph.values() for each in needs}
    return sorted((node for node in graph if node not in needed), key=lambda n: (not n.startswith(IMAGE), n))


def find(graph: Needs, text: str) -> str:
    """The node that a user means by "openssl", "openssl 3.5.7", "image:gateway" or "gateway".

    A package comes before an image of the same name; "image:NAME" is always the image.

    Raises:
        UsageError: nothing or more than one thing is called so; it names what is near.
    """
    if text in graph:
        return text
    named = sorted(node for node in graph if _name(node) == text)
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(f"'{text}' is in the graph more than once", hint=f"say which: {_quoted(named)}")
    if IMAGE + text in graph:
        return IMAGE + text
    name, _, version = text.partition(" ")
    others = sorted(node for node in graph if version and _name(node) == name)
    hint = f"it has {_quoted(others)}" if others else near(text, sorted({_name(node) for node in graph}))
    raise UsageError(f"there is no '{text}' in the graph", hint=hint)


def why(graph: Needs, who: str, needs: str) -> list[tuple[Step, ...]]:
    """All shortest chains of needs from `who` to `needs` (at most `MOST_PATHS`), sorted; none when it is not needed.

    `who` and `needs` are looked up as `find` does, but `who` may be an image by its bare name.

    Raises:
        UsageError: one of them is unknown, or they are the same.
    """
    start = IMAGE + who if IMAGE + who in graph else find(graph, who)
    end = find(graph, needs)
    if start == end:
        raise UsageError(f"'{who}' and '{needs}' are the same: {end}", hint="ask about two different things")
    return [_steps(graph, path) for path in order.shortest(graph, start, end, MOST_PATHS)]


def why_text(graph: Needs, who: str, needs: str) -> str:
    """The answer of `why` for people, one chain a block; when there is none it says so."""
    paths = why(graph, who, needs)
    if not paths:
        return f"{who} does not need {needs}\n"
    return "\n".join("\n".join(_chain(path)) + "\n" for path in paths)


def generations(graph: Needs) -> list[list[str]]:
    """The packages that can be built at the same time: each list needs only what stands in lists before it.

    Raises:
        LockError: there is a cycle; it is named.
    """
    try:
        return order.generations(graph)
    except order.CycleFoundError as error:
        found = order.cycles(graph)
        places = [Problem("lock.toml", "is a cycle: " + " -> ".join([*cycle, cycle[0]])) for cycle in found]
        hint = "a package cannot need itself; correct the recipes and run `builder resolve`"
        raise LockError(places, hint=hint) from error


def tree(graph: Needs, root: str | None = None) -> str:
    """The graph as an indented text, below `root` or all roots.

    The needs of each node are shown once, where the way to it is shortest and, if it can, without builds. Elsewhere it
    ends in "(*)".
    """
    starts = [find(graph, root)] if root is not None else roots(graph) or sorted(graph)[:1]
    homes = _homes(graph, starts)
    return "".join(line + "\n" for start in starts for line in _branches(graph, start, homes))


def dot(graph: Needs) -> str:
    """The graph in the DOT language (graphviz.org/doc/info/lang.html), sorted; build needs are dashed."""
    lines = ["digraph needs {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for node in sorted(graph):
        shape = " [shape=folder]" if node.startswith(IMAGE) else ""
        lines.append(f"  {dot_quoted(node)}{shape};")
    styles = {RUNTIME: "", BUILD: " [style=dashed]", BASE: " [style=dotted]"}
    for who, needs in edges(graph):
        lines.append(f"  {dot_quoted(who)} -> {dot_quoted(needs)}{styles[kind_of(graph, who, needs)]};")
    return "\n".join([*lines, "}", ""])


def dot_quoted(text: str) -> str:
    """A DOT string: in quotes, where a backslash before a quote or at the end would be read otherwise."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"\s", " ", escaped) + '"'


def _add(graph: Needs, node: str, needs: Iterable[tuple[str, Iterable[str]]]) -> None:
    mine = graph.setdefault(node, {})
    for kind, names in needs:
        for name in sorted(names):
            mine.setdefault(name, kind)  # a runtime need is seen by the build anyway
            graph.setdefault(name, {})


def _check_names(
    lock: Lock, profile: str, image: str | None, packages: Mapping[str, LockedPackage], images: list[LockedImage]
) -> None:
    if not packages and not images:
        known = sorted({each for package in lock.packages for each in package.profiles})
        raise UsageError(f"the lock has no profile '{profile}'", hint=near(profile, known))
    if image is not None and not images:
        known = sorted({each.name for each in lock.images if each.profile == profile})
        raise UsageError(f"the lock has no image '{image}' in the profile '{profile}'", hint=near(image, known))


def _check_whole(graph: Needs, packages: Mapping[str, LockedPackage], profile: str) -> None:
    missing = sorted(node for node in graph if not node.startswith(IMAGE) and node not in packages)
    problems = [
        Problem(f"lock.toml: {who}", f"needs '{node}', which the profile '{profile}' does not hold")
        for node in missing
        for who in sorted(who for who, needs in graph.items() if node in needs)
    ]
    if problems:
        raise LockError(problems, hint="run `builder resolve`")


def _name(node: str) -> str:
    return node.partition(" ")[0]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _steps(graph: Needs, path: list[str]) -> tuple[Step, ...]:
    return tuple(Step(who, kind_of(graph, who, needs), needs) for who, needs in pairwise(path))


def _chain(path: tuple[Step, ...]) -> Iterator[str]:
    words = {RUNTIME: "needs", BUILD: "needs to build", BASE: "stands on"}
    yield path[0].who
    for depth, step in enumerate(path, 1):
        yield f"{'  ' * depth}{words[step.kind]} {step.needs}"


def _homes(graph: Needs, starts: list[str]) -> dict[str, str]:
    """Node -> the node below which its needs are shown ("" for a start)."""
    homes = dict.fromkeys(starts, "")
    order = list(starts)
    for kinds in ((RUNTIME, BASE), (RUNTIME, BASE, BUILD)):
        for node in order:  # grows meanwhile: a search in breadth
            new = [each for kind, each in needs_of(graph, node) if kind in kinds and each not in homes]
            homes.update(dict.fromkeys(new, node))
            order += new
    return homes


def _branches(graph: Needs, start: str, homes: Mapping[str, str]) -> Iterator[str]:
    """Lines of the tree below `start`. A stack, no recursion: a chain of needs may be longer than Python's stack."""
    stack = [(start, "", "", "", "")]  # node, below which, what stands before it and before its needs, mark of its kind
    while stack:
        node, parent, before, indent, mark = stack.pop()
        needs = needs_of(graph, node)
        elsewhere = bool(needs) and homes[node] != parent
        yield before + node + mark + (" (*)" if elsewhere else "")
        for number, (kind, each) in enumerate(reversed(needs) if not elsewhere else ()):
            kind_mark = "" if kind == RUNTIME else f" ({kind})"
            branch, below = ("└── ", "    ") if number == 0 else ("├── ", "│   ")
            stack.append((each, node, indent + branch, indent + below, kind_mark))
