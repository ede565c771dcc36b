"""Garbage collection: removes all that no root keeps; records go before the trees that they name."""

import os
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Struct

from builder.base import digest
from builder.store.gc_root import Root
from builder.store.record import Record
from builder.store.remove import freed_by, remove_tree
from builder.store.store import Store
from builder.store.trouble import trying


class Freed(Struct, frozen=True, kw_only=True):
    """The number of things of each kind that gc removed, or would remove, and the bytes of disk that this frees."""

    trees: int = 0
    records: int = 0
    archives: int = 0
    logs: int = 0
    roots: int = 0
    size: int = 0


class Garbage(Struct, frozen=True, kw_only=True):
    """The things that gc removes, in its order: names of roots, then paths."""

    roots: list[str]
    records: list[str]
    logs: list[str]
    archives: list[str]
    unverified: list[str]
    trees: list[str]


def collect(
    store: Store, *, keep_files: Iterable[str] | None = None, patience: float = 10.0, dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Freed:
    """Remove everything that no root keeps; how much that was. No other thread may use this store meanwhile.

    keep_files: SHA-256 of archives to keep besides those of roots; None keeps all archives. patience: seconds to wait
    for other processes to close the store. dry_run: remove nothing; the result is the same. progress: called with
    (things removed, all things).

    Killed at any point, it leaves a whole store: records go before the trees that they name.

    Raises:
        StoreError: other processes keep the store open, or a root cannot be read.
    """
    with trying("remove garbage", store.root), store.guard.exclusively(patience):
        left = 0 if dry_run else store.sweep()
        found = garbage(store, keep_files)
        size = _size(store, found) if dry_run else left + _remove(store, found, progress)
    return Freed(
        trees=len(found.trees), records=len(found.records), archives=len(found.archives), logs=len(found.logs),
        roots=len(found.roots), size=size,
    )


def garbage(store: Store, keep_files: Iterable[str] | None) -> Garbage:
    """The things that no living root keeps. The answer holds only while the guard is held exclusively.

    Raises:
        StoreError: a root cannot be read.
    """
    roots = store.roots().values()
    gone = [root.name for root in roots if root.owner and not os.path.lexists(root.owner)]
    living = [root for root in roots if root.name not in gone]
    trees, keys = _living(store, living)
    archives = {name for root in living for name in root.files}
    archives.update(os.listdir(store.files_dir) if keep_files is None else keep_files)
    return Garbage(
        roots=gone,
        records=[store.record_path(key) for key in record_keys(store) if key not in keys],
        logs=_others(store.logs_dir, {digest.to_hex(key) + ".log" for key in keys}),
        archives=_others(store.files_dir, archives),
        unverified=_others(store.quarantine_dir, set()),
        trees=[tree for tree in _trees(store) if tree not in trees],
    )


def _others(folder: str, keep: set[str]) -> list[str]:
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in keep]


def _trees(store: Store) -> list[str]:
    return [digest.to_sri(name) for name in sorted(os.listdir(store.trees_dir)) if digest.is_hex(name)]


def _size(store: Store, found: Garbage) -> int:
    files = (*found.records, *found.logs, *found.archives, *found.unverified)
    return freed_by([*files, *map(store.tree_path, found.trees)])


def _remove(store: Store, found: Garbage, progress: Callable[[int, int], object] | None) -> int:
    """Remove the garbage, and count the bytes."""
    for name in found.roots:
        store.drop_root(name)
    freed = 0
    files = (*found.records, *found.logs, *found.archives, *found.unverified)
    removals = [partial(remove_tree, path) for path in files]
    removals += [partial(store.discard_tree, tree) for tree in found.trees]
    for done, remove in enumerate(removals, 1):
        freed += remove()
        if progress is not None:
            progress(done, len(removals))
    return freed


def _living(store: Store, roots: list[Root]) -> tuple[set[str], set[str]]:
    """Digests of trees to keep, and keys of records to keep.

    A record stays, named by a root or not, as long as all its trees do: it costs nothing and saves a build.
    """
    records = _records(store)
    trees = {tree for root in roots for tree in root.trees}
    for key in {key for root in roots for key in root.keys} & records.keys():
        trees |= records[key].mentions()
    trees.intersection_update(_trees(store))
    return trees, {key for key, record in records.items() if record.mentions() <= trees}


def _records(store: Store) -> dict[str, Record]:
    """All readable records by key; damaged ones are not among them and are removed."""
    found = {}
    for key in record_keys(store):
        record = store.record(key)
        if record is not None:
            found[key] = record
    return found


def record_keys(store: Store) -> list[str]:
    """Keys of all records, readable or not, sorted."""
    names = [
        name.removesuffix(".json")
        for folder in os.listdir(store.records_dir)
        if os.path.isdir(os.path.join(store.records_dir, folder))  # a stray file may lie there
        for name in os.listdir(os.path.join(store.records_dir, folder))
    ]
    return [digest.to_sri(name) for name in sorted(names) if digest.is_hex(name)]
