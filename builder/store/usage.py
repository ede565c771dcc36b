"""The trees and archives that roots keep, for `builder store roots`."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from builder.base import units
from builder.store.gc_root import file_name
from builder.store.remove import freed_by

if TYPE_CHECKING:
    from builder.store.store import Store


class Kept(Struct, frozen=True, kw_only=True):
    """One root. owner: its project; exists: whether the project is still there, else the next gc drops the root.

    trees, archives: how many of those that it names are here; size: their bytes on disk, shared ones included.
    used: seconds since 1970 at which a build wrote it last.
    """

    name: str
    owner: str
    exists: bool
    trees: int
    archives: int
    size: int
    used: int


def usage(store: "Store", progress: Callable[[int, int], object]) -> list[Kept]:
    """All roots by name. progress: called with (roots done, all roots).

    Raises:
        StoreError: a root cannot be read.
    """
    sizes: dict[str, int] = {}  # by path, because roots share most trees
    found = []
    roots = list(store.roots().values())
    for done, root in enumerate(roots):
        progress(done, len(roots))
        trees = [store.tree_path(tree) for tree in {*root.trees, *_recorded(store, root.keys)} if store.has_tree(tree)]
        archives = [path for path in map(store.file_path, root.files) if os.path.exists(path)]
        sizes |= {path: freed_by([path]) for path in (*trees, *archives) if path not in sizes}
        found.append(
            Kept(
                name=root.name, owner=root.owner, exists=not root.owner or os.path.lexists(root.owner),
                trees=len(trees), archives=len(archives), size=sum(sizes[path] for path in (*trees, *archives)),
                used=int(os.stat(os.path.join(store.roots_dir, file_name(root.name))).st_mtime),
            )
        )
    return found


def table(roots: Sequence[Kept]) -> str:
    """A table for people: the size of each project's root, when it was built last, and which projects are gone."""
    if not roots:
        return "no project keeps anything"
    cells = [("root", "last built", "size", "project")]
    for root in roots:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(root.used))
        gone = "" if root.exists else "  (gone: `builder gc` drops the root)"
        cells.append((root.name, day, units.size(root.size), root.owner + gone))
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in cells)


def _recorded(store: "Store", keys: Iterable[str]) -> set[str]:
    records = [store.record(key) for key in keys]
    return {tree for record in records if record is not None for tree in record.mentions()}
