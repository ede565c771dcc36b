"""Verification: read every byte again, and tell what is not as it was written."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from builder import digest, nar
from builder.errors import StoreError
from builder.store import record, root, sealed
from builder.store.collect import record_keys
from builder.store.form import Check
from builder.store.trouble import explain, trying

if TYPE_CHECKING:
    from builder.store.store import Store

_SHOWN = 3  # entries of one tree that are named
_THREADS = 8  # at most; hashing runs outside the interpreter's lock, so they use all processors


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Damage:
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


def verify(store: "Store", progress: Callable[[int, int], object] | None) -> list[Damage]:
    """See `Store.verify`. Damage is sorted, so that two runs print the same."""
    with trying("verify the store", store.root):
        checks = list(_checks(store))
    found: list[Damage] = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        tasks = [pool.submit(check) for check in checks]
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                found += task.result()
                if progress is not None:
                    progress(done, len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(found)


def _checks(store: "Store") -> Iterator[Callable[[], list[Damage]]]:
    for name in os.listdir(store.trees_dir):
        if not name.startswith("."):  # those are being named or removed
            yield partial(_check_tree, name, os.path.join(store.trees_dir, name))
    for name in os.listdir(store.files_dir):
        yield partial(_check_archive, name, os.path.join(store.files_dir, name))
    for key in record_keys(store):
        yield partial(_check_record, store, key)
    for name in os.listdir(store.roots_dir):
        yield partial(_check_root, name, os.path.join(store.roots_dir, name))


def _check_tree(name: str, path: str) -> list[Damage]:
    if not digest.is_hex(name):
        return [Damage(kind="stray", name=name, path=path, message="the store did not make this: its name is no digest")]
    messages = _tree_messages(name, path)
    return [Damage(kind="tree", name=digest.to_sri(name), path=path, message="; ".join(messages))] if messages else []


def _tree_messages(name: str, path: str) -> list[str]:
    check = Check(os.fsencode(path))
    try:
        tree = nar.hash_tree(path, visitor=check)
    except OSError as error:
        if not os.path.lexists(path):  # somebody discarded it since it was listed
            return []
        return [explain(error, "read it", path).message]
    except StoreError as error:
        return [f"{error.where}: {error.message}"]
    messages = [f"its content is {tree}"] if digest.to_hex(tree) != name else []
    messages += check.wrong[:_SHOWN]
    if len(check.wrong) > _SHOWN:
        messages.append(f"{len(check.wrong) - _SHOWN} more entries are not in canonical form")
    return messages


def _check_archive(name: str, path: str) -> list[Damage]:
    if not digest.is_hex(name):
        return [Damage(kind="stray", name=name, path=path, message="the store did not make this: its name is no digest")]
    try:
        sha256 = digest.of_file(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = explain(error, "read it", path).message
    else:
        if sha256 == name:
            return []
        message = f"its SHA-256 is {sha256}"
    return [Damage(kind="archive", name=name, path=path, message=message)]


def _check_record(store: "Store", key: str) -> list[Damage]:
    path = store.record_path(key)
    try:
        value = record.from_dict(sealed.read(path), key)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = explain(error, "read it", path).message
    except ValueError as error:
        message = f"it cannot be read: {error}"
    else:
        missing = sorted(tree for tree in value.mentions() if not store.has_tree(tree))
        if not missing:
            return []
        message = f"it refers to trees that are missing: {', '.join(missing)}"
    return [Damage(kind="record", name=key, path=path, message=message)]


def _check_root(name: str, path: str) -> list[Damage]:
    try:
        root.from_dict(sealed.read(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        message = explain(error, "read it", path).message
    except ValueError as error:
        message = f"it cannot be read: {error}"
    else:
        return []
    return [Damage(kind="root", name=name, path=path, message=message)]
