"""The rows of `builder list`: the packages of an image with version, state and size."""

import os
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from builder.base import units
from builder.lock.lock import Lock, LockedImage
from builder.plan.plan import Plan
from builder.store import Store


class Row(Struct, frozen=True, kw_only=True):
    """role: "image" when its files go into the layer, "base" when they are in a layer
    below, or "build" when only builds need it.

    state: see `state`. size: bytes of "out", if built.
    """

    package: str
    version: str
    role: str
    state: str
    size: int | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(plan: Plan, lock: Lock, image: LockedImage, store: Store) -> list[Row]:
    """One row a package of the image's graph, by role and name. plan: advanced for the image's targets."""
    graph = plan.graph
    lower = [name for each in lock.stack(image)[:-1] for name in each.packages]
    base, own = set(graph.closure((*lower, *image.base))), set(graph.closure(image.packages))

    def row(name: str) -> Row:
        package = graph.packages[name]
        now = state(plan, name, store)
        role = "base" if name in base else "image" if name in own else "build"
        size = _size(store.tree_path(plan.trees[name]["out"])) if now == "built" else None
        return Row(package=package.name, version=package.version, role=role, state=now, size=size)

    return sorted(map(row, graph.packages), key=lambda row: (("image", "base", "build").index(row.role), row.package))


def state(plan: Plan, name: str, store: Store) -> str:
    """The state of a package, for the recipes, sources and inputs of now.

    building: a process builds it. built: its output "out" is in the store. pinned: the lock knows its outputs,
    and the store lacks "out". stale: the lock's outputs are of other inputs, or something
    that it needs must be built first. absent: none of these.
    """
    key = plan.keys.get(name)
    if key is not None and store.is_building(key):
        return "building"
    if plan.present(name):
        return "built"
    pin = plan.graph.packages[name].outputs.get(plan.host_platform)
    if pin is None:
        return "absent"
    return "pinned" if name in plan.unmeasured or pin.key == key else "stale"


def _size(path: str) -> int:
    """Bytes of a tree's files."""
    if not os.path.isdir(path):
        return os.path.getsize(path)
    size, folders = 0, [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for each in entries:
                if each.is_dir(follow_symlinks=False):
                    folders.append(each.path)
                elif each.is_file(follow_symlinks=False):
                    size += each.stat(follow_symlinks=False).st_size
    return size


def table(found: Sequence[Row]) -> str:
    """Rows in columns, for people."""
    cells = [("package", "version", "role", "state", "size")]
    cells += [
        (row.package, row.version, row.role, row.state, "" if row.size is None else units.size(row.size))
        for row in found
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4].rjust(9)])
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)
