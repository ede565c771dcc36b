"""Verification: reads every byte again and reports all that is not as it was written."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from builder.base import digest
from builder.base.errors import StoreError
from builder.base.units import counted
from builder.store import gc_root, record, sealed
from builder.store.collect import record_keys
from builder.store.form import Check, Linked, strange
from builder.store.store import Store
from builder.store.trouble import explain, trying
from builder.tree import nar

_SHOWN = 3  # entries of one tree that are named
_THREADS = 8  # at most; hashing runs outside the interpreter's lock, so they use all processors


class Damage(Struct, frozen=True, kw_only=True, order=True):
    """One thing that is not as it was written.

    kind: "tree", "archive", "record", "root" or "stray". name: SRI digest of a tree, SHA-256 of an archive, key of a
    record, else the file's name.
    """

    kind: str
    name: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_Found = tuple[list[Damage], list[tuple[Damage, Linked]]]  # damage, and damage only if a file has names elsewhere


def verify(store: Store, progress: Callable[[int, int], object] | None = None) -> list[Damage]:
    """Read everything; all damage, sorted, so that two runs print the same. progress: called with (things done, all
    things).

    Raises:
        StoreError: the store cannot be listed.
    """
    with trying("verify the store", store.root):
        checks = list(_checks(store, os.stat(store.root).st_uid))
    found: list[Damage] = []
    linked: list[tuple[Damage, Linked]] = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        tasks = [pool.submit(check) for check in checks]
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                damage, more = task.result()
                found += damage
                linked += more
                if progress is not None:
                    progress(done, len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted([*found, *_strays(store), *_linked_outside(store, linked)])


def _checks(store: Store, owner: int) -> Iterator[Callable[[], _Found]]:
    for name in os.listdir(store.trees_dir):
        if not name.startswith(".") and digest.is_hex(name):  # those with a dot are being named or removed
            yield partial(_check_tree, name, os.path.join(store.trees_dir, name), owner)
    for name in filter(digest.is_hex, os.listdir(store.files_dir)):
        yield partial(_check_archive, name, os.path.join(store.files_dir, name), owner)
    for key in record_keys(store):
        yield partial(_check_record, store, key, owner)
    for name in os.listdir(store.roots_dir):
        yield partial(_check_root, name, os.path.join(store.roots_dir, name), owner)


def _strays(store: Store) -> Iterator[Damage]:
    """Entries of the store's directories that the store did not make."""
    shards = [os.path.join(store.records_dir, name) for name in os.listdir(store.records_dir)]
    rows = [(store.records_dir, os.path.basename(path)) for path in shards if not os.path.isdir(path)]
    rows += [(folder, name) for folder in filter(os.path.isdir, shards) for name in os.listdir(folder)
             if not digest.is_hex(name.removesuffix(".json"))]
    rows += [(folder, name) for folder in (store.trees_dir, store.files_dir) for name in os.listdir(folder)
             if not digest.is_hex(name) and not (folder == store.trees_dir and name.startswith("."))]
    for folder, name in rows:
        message = "the store did not make this: its name is no digest"
        yield Damage(kind="stray", name=name, path=os.path.join(folder, name), message=message)


def _linked_outside(store: Store, linked: list[tuple[Damage, Linked]]) -> Iterator[Damage]:
    """Files with names outside the store, through which their content can be changed."""
    counts = Counter((device, inode) for _, (device, inode, _, _) in linked)
    if any(counts[device, inode] < names for _, (device, inode, names, _) in linked):
        counts.update(_unfinished(store, set(counts)))
    rows: dict[Damage, list[str]] = {}
    for damage, (device, inode, names, entry) in linked:
        if counts[device, inode] < names:
            more = counted(names - counts[device, inode], "more name")
            rows.setdefault(damage, []).append(f"{entry} has {more} outside of the store")
    for damage, texts in rows.items():
        yield replace(damage, message="; ".join(_first(texts, "have such names")))


def _unfinished(store: Store, wanted: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The inodes of `wanted` in directories of work under way: sandboxes without mounts are made of hard links."""
    known = {store.trees_dir, store.files_dir, store.records_dir, store.roots_dir}
    folders = [path for name in os.listdir(store.root) if (path := os.path.join(store.root, name)) not in known]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif (key := (entry.stat(follow_symlinks=False).st_dev, entry.inode())) in wanted:
                        yield key
        except OSError:  # a file, or removed meanwhile
            continue


def _first(texts: list[str], what: str) -> list[str]:
    """The first few of some texts, and how many there are besides."""
    more = len(texts) - _SHOWN
    return texts[:_SHOWN] + ([f"{more} more entries {what}"] if more > 0 else [])


def _check_tree(name: str, path: str, owner: int) -> _Found:
    damage = Damage(kind="tree", name=digest.to_sri(name), path=path, message="")
    check = Check(os.fsencode(path), owner)
    messages = _tree_messages(name, path, check)
    found = [replace(damage, message="; ".join(messages))] if messages else []
    return found, [(damage, each) for each in check.linked]


def _tree_messages(name: str, path: str, check: Check) -> list[str]:
    try:
        tree = nar.hash_tree(path, visitor=check)
    except OSError as error:
        if not os.path.lexists(path):  # discarded since it was listed
            return []
        return [explain(error, "read it", path).message]
    except StoreError as error:
        return [f"{error.where}: {error.message}"]
    messages = [f"its content is {tree}"] if digest.to_hex(tree) != name else []
    return messages + _first(check.wrong, "are not in canonical form")


def _check_archive(name: str, path: str, owner: int) -> _Found:
    damage = Damage(kind="archive", name=name, path=path, message="")
    try:
        status = os.lstat(path)
        messages = _file_messages(path, status, owner)
        if not stat.S_ISREG(status.st_mode):
            messages.append("it is no regular file")
        elif (sha256 := digest.of_file(path)) != name:
            messages.append(f"its SHA-256 is {sha256}")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [replace(damage, message=explain(error, "read it", path).message)], []
    several = status.st_nlink > 1 and stat.S_ISREG(status.st_mode)
    linked = [(damage, (status.st_dev, status.st_ino, status.st_nlink, "it"))] if several else []
    return [replace(damage, message="; ".join(messages))] if messages else [], linked


def _file_messages(path: str, status: os.stat_result, owner: int) -> list[str]:
    """The deviations of an archive, a record or a root apart from its content."""
    mode = stat.S_IMODE(status.st_mode)
    messages = [f"it has mode {mode:04o}: others may change it, or it takes their rights"] if mode & 0o7022 else []
    return messages + [f"it {text}" for text in strange(path, status, owner)]


def _check_record(store: Store, key: str, owner: int) -> _Found:
    def read(path: str) -> list[str]:
        value = record.from_dict(sealed.read(path), key)
        missing = sorted(tree for tree in value.mentions() if not store.has_tree(tree))
        return [f"it refers to trees that are missing: {', '.join(missing)}"] if missing else []

    return _check_sealed("record", key, store.record_path(key), owner, read)


def _check_root(name: str, path: str, owner: int) -> _Found:
    def read(path: str) -> list[str]:
        gc_root.from_dict(sealed.read(path))
        return []

    return _check_sealed("root", name, path, owner, read)


def _check_sealed(kind: str, name: str, path: str, owner: int, read: Callable[[str], list[str]]) -> _Found:
    try:
        messages = _file_messages(path, os.lstat(path), owner) + read(path)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        messages = [explain(error, "read it", path).message]
    except ValueError as error:
        messages = [f"it cannot be read: {error}"]
    return [Damage(kind=kind, name=name, path=path, message="; ".join(messages))] if messages else [], []
