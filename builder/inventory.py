"""What `builder list` shows: the packages of an image with version, state and size."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from builder import nar, units
from builder.lock import Lock, LockedImage, LockedPackage
from builder.plan import Graph
from builder.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """role: "image" when its files go into the layer, "base" when they are in a layer below, or "build" when only builds need it.

    state: "built" when its pinned outputs are in the store, "pinned" when only the lock knows them, "open" else.
    size: bytes of "out", if built.
    """

    package: str
    version: str
    role: str
    state: str
    size: int | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(lock: Lock, image: LockedImage, store: Store, platform: str) -> list[Row]:
    """One row a package of the image's graph, by role and name."""
    graph = Graph.of(lock.in_profile(image.profile), lock.targets(image))
    lower = [name for each in lock.stack(image)[:-1] for name in each.packages]
    base, own = set(graph.closure((*lower, *image.base))), set(graph.closure(image.packages))

    def role(name: str) -> str:
        return "base" if name in base else "image" if name in own else "build"

    found = [_row(package, role(name), store, platform) for name, package in graph.packages.items()]
    return sorted(found, key=lambda row: (("image", "base", "build").index(row.role), row.package))


def _row(package: LockedPackage, role: str, store: Store, platform: str) -> Row:
    pin = package.outputs.get(platform)
    built = pin is not None and all(map(store.has_tree, pin.trees.values()))
    state = "built" if built else "pinned" if pin is not None else "open"
    size = _size(store.tree_path(pin.trees["out"])) if built and pin is not None else None
    return Row(package=package.name, version=package.version, role=role, state=state, size=size)


def _size(path: str) -> int:
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(entry.size for entry in nar.scan(path))


def table(found: Sequence[Row]) -> str:
    """Rows in columns, for people."""
    cells = [("package", "version", "role", "state", "size")]
    cells += [(row.package, row.version, row.role, row.state, "" if row.size is None else units.size(row.size)) for row in found]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = ("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4].rjust(9)]) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
