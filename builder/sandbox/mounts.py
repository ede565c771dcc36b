"""Lays several trees over each other at `/` with few mounts: a pure plan, made before any sandbox starts.

A directory that only one tree has is mounted whole. A directory that several have is made anew, and its entries are
laid out one by one. Each mount costs a start about 0.25 ms.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct, field

from builder.base.errors import BuildError
from builder.sandbox.listing import Entry, TreeListing
from builder.sandbox.spec import Mount

RESERVED = ("build", "dev", "output", "proc", "tmp")
_HINT = "only one of the two may have it: remove it from one of them, or move it"

_Owned = tuple[TreeListing, Entry]


class Mounts(Struct, frozen=True, kw_only=True):
    """The mounts, links and directories that show the trees, for the fields of the same name of `SandboxSpec`."""

    mounts: tuple[Mount, ...]
    links: dict[str, str]
    folders: tuple[str, ...]


class _Plan(Struct):
    taken: Collection[str]  # files that the sandbox makes itself: the trees' are left out, their directories laid out
    mounts: list[Mount] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def folder(self, path: str, trees: Sequence[TreeListing]) -> None:
        names: dict[str, list[_Owned]] = {}
        for tree in trees:
            for entry in tree.entries(path):
                names.setdefault(entry.name, []).append((tree, entry))
        if not names:
            self.folders.append(path)
        for name in sorted(names):
            self.entry(f"{path}/{name}", names[name])

    def entry(self, path: str, owners: list[_Owned]) -> None:
        if path in self.taken:
            return
        tree, first = owners[0]
        for other, entry in owners[1:]:
            _check_same(path, tree, first, other, entry)
        shared = any(each.startswith(path + "/") for each in self.taken)
        if shared and first.kind != "directory":
            raise _reserved(path, tree)
        if first.kind == "link":
            self.links[path] = first.text
        elif first.kind == "directory" and (len(owners) > 1 or shared):
            self.folder(path, [each for each, _ in owners])
        else:
            self.mounts.append(Mount(tree.root + path, path))


def plan_mounts(trees: Iterable[TreeListing], taken: Collection[str] = ()) -> Mounts:
    """The plan that shows `trees` merged at `/`. A tree that is given twice counts once.

    taken: paths of files that the sandbox makes itself; the trees' own are not shown.

    Raises:
        BuildError: two trees hold different things at one path, or one of them has a directory of the sandbox itself.
    """
    different = list({each.root: each for each in trees}.values())
    plan = _Plan(taken)
    _check_reserved(different)
    plan.folder("", [_without_reserved(each) for each in different])
    return Mounts(mounts=tuple(plan.mounts), links=plan.links, folders=tuple(filter(None, plan.folders)))


def _check_same(path: str, a: TreeListing, one: Entry, b: TreeListing, other: Entry) -> None:
    """Two directories merge; equal links and equal files are one; all else is a collision."""
    if one.kind == other.kind and one.text == other.text and (one.kind != "file" or a.content(path) == b.content(path)):
        return
    difference = f"a {one.kind} in {a.name} and a {other.kind} in {b.name}"
    if one.kind == other.kind:
        difference = f"different {one.kind}s in {a.name} and {b.name}"
    raise BuildError(f"two inputs of the build hold the same path: {difference}", where=path, hint=_HINT)


def _check_reserved(trees: Iterable[TreeListing]) -> None:
    for tree in trees:
        for entry in tree.entries(""):
            if entry.name in RESERVED and (entry.kind != "directory" or tree.entries("/" + entry.name)):
                raise _reserved(f"/{entry.name}", tree)


def _reserved(path: str, tree: TreeListing) -> BuildError:
    message = f"{tree.name} holds something at a path that the sandbox makes itself"
    return BuildError(message, where=path, hint="a build has its own there: move it elsewhere in the input")


def _without_reserved(tree: TreeListing) -> TreeListing:
    def entries(path: str) -> Sequence[Entry]:
        found = tree.entries(path)
        return found if path else [each for each in found if each.name not in RESERVED]

    return TreeListing(tree.name, tree.root, entries, tree.content)
