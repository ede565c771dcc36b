"""Folders of this repository as sources: the tree that one is, whole or the files of it that globs name."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence

from builder import globs, nar
from builder.errors import UsageError


def tree(folder: str, include: Sequence[str] = ()) -> str:
    """The digest of a folder's tree.

    Raises:
        UsageError: there is no such folder, or nothing in it is included.
        StoreError: it cannot be a tree: devices, pipes, sockets, too many folders within each other.
    """
    if not include:
        _must_be_there(folder)
        return nar.hash_tree(folder)
    with tempfile.TemporaryDirectory() as place:
        copy(folder, f"{place}/tree", include)
        return nar.hash_tree(f"{place}/tree")


def copy(folder: str, target: str, include: Sequence[str] = ()) -> None:
    """Copy a folder: files with their executable bit, symbolic links as they are. Raises as `tree`."""
    _must_be_there(folder)
    if not include:
        nar.scan(folder)  # refuses what cannot be a tree, before any of it is copied
        shutil.copytree(folder, target, symlinks=True, ignore_dangling_symlinks=True)
        return
    found = [path for path in _files(folder) if globs.matches(path, include)]
    if not found:
        hint = "correct `include` in the recipe that names the folder"
        raise UsageError(f"nothing in it is like {' or '.join(include)}", where=folder, hint=hint)
    for path in found:
        os.makedirs(os.path.dirname(f"{target}/{path}"), exist_ok=True)
        shutil.copy2(f"{folder}/{path}", f"{target}/{path}", follow_symlinks=False)


def _must_be_there(folder: str) -> None:
    if not os.path.isdir(folder):
        raise UsageError("there is no such folder", where=folder, hint="a recipe names it as a source; correct its `folder`")


def _files(folder: str) -> Iterator[str]:
    """Paths of everything but folders, sorted."""
    return (entry.path for entry in nar.scan(folder) if entry.kind != "dir")
