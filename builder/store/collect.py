"""Garbage collection: what no root keeps goes, in an order in which nothing kept ever refers to what is gone."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import digest
from builder.store.record import Record
from builder.store.remove import remove_tree
from builder.store.root import Root
from builder.store.trouble import trying

if TYPE_CHECKING:
    from builder.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """How many of each kind gc removed, and the bytes of disk that it freed."""

    trees: int = 0
    records: int = 0
    archives: int = 0
    logs: int = 0
    roots: int = 0
    size: int = 0


def collect(store: "Store", keep_files: Iterable[str] | None, patience: float) -> Freed:
    """See `Store.gc`. Killed at any point, it leaves a whole store: records go before the trees they name."""
    with trying("remove garbage", store.root), store.guard.exclusively(patience):
        left = store.sweep()
        roots, dropped = _living_roots(store)
        trees, keys = _living(store, roots)
        records = _remove_records(store, keys)
        logs = _remove(store.logs_dir, {digest.to_hex(key) + ".log" for key in keys})
        archives = _remove_archives(store, keep_files, roots)
        unverified = _remove(store.quarantine_dir, set())
        gone = _remove_trees(store, trees)
    return Freed(
        trees=gone[0],
        records=records[0],
        archives=archives[0],
        logs=logs[0],
        roots=dropped,
        size=left + sum(size for _, size in (gone, records, archives, logs, unverified)),
    )


def _living_roots(store: "Store") -> tuple[list[Root], int]:
    """Roots whose owner exists; the others are removed, and counted."""
    living = []
    dropped = 0
    for root in store.roots().values():
        if root.owner and not os.path.lexists(root.owner):
            store.drop_root(root.name)
            dropped += 1
        else:
            living.append(root)
    return living, dropped


def _living(store: "Store", roots: list[Root]) -> tuple[set[str], set[str]]:
    """Digests of trees to keep, and keys of records to keep.

    A record stays, named by a root or not, as long as all its trees do: it costs nothing and saves a build.
    """
    records = _records(store)
    trees = {tree for root in roots for tree in root.trees}
    for key in {key for root in roots for key in root.keys} & records.keys():
        trees |= records[key].mentions()
    there = {digest.to_sri(name) for name in os.listdir(store.trees_dir) if digest.is_hex(name)}
    trees &= there
    return trees, {key for key, record in records.items() if record.mentions() <= trees}


def _records(store: "Store") -> dict[str, Record]:
    """All records by key; damaged ones are not among them, so they go."""
    found = {}
    for key in record_keys(store):
        record = store.record(key)
        if record is not None:
            found[key] = record
    return found


def record_keys(store: "Store") -> list[str]:
    """Keys of all records, readable or not, sorted."""
    names = [
        name.removesuffix(".json")
        for folder in os.listdir(store.records_dir)
        if os.path.isdir(os.path.join(store.records_dir, folder))  # a stray file may lie there
        for name in os.listdir(os.path.join(store.records_dir, folder))
    ]
    return [digest.to_sri(name) for name in sorted(names) if digest.is_hex(name)]


def _remove_records(store: "Store", keep: set[str]) -> tuple[int, int]:
    gone = [store.record_path(key) for key in record_keys(store) if key not in keep]
    return len(gone), sum(map(remove_tree, gone))


def _remove_trees(store: "Store", keep: set[str]) -> tuple[int, int]:
    there = [digest.to_sri(name) for name in sorted(os.listdir(store.trees_dir)) if digest.is_hex(name)]
    gone = [tree for tree in there if tree not in keep]
    return len(gone), sum(map(store.discard_tree, gone))


def _remove_archives(store: "Store", keep_files: Iterable[str] | None, roots: list[Root]) -> tuple[int, int]:
    if keep_files is None:
        return 0, 0
    return _remove(store.files_dir, {*keep_files, *(name for root in roots for name in root.files)})


def _remove(folder: str, keep: set[str]) -> tuple[int, int]:
    """Remove all of `folder` but the names in `keep`: (how many, bytes freed)."""
    gone = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in keep]
    return len(gone), sum(map(remove_tree, gone))
