"""Directories of this repository as sources: whole, or only the files that globs name."""

import os
import shutil
import tempfile
from collections.abc import Sequence

from builder.base import globs, within
from builder.base.errors import UsageError
from builder.tree import nar


def tree(root: str, folder: str, include: Sequence[str] = ()) -> str:
    """The digest of the tree of a directory, given as a path from the project's directory `root`.

    Raises:
        UsageError: there is no such directory in the project, or nothing in it is included.
        StoreError: it cannot be a tree: devices, pipes, sockets, too many directories within each other.
    """
    if not include:
        return nar.hash_tree(_place(root, folder))
    with tempfile.TemporaryDirectory() as place:
        copy(root, folder, f"{place}/tree", include)
        return nar.hash_tree(f"{place}/tree")


def copy(root: str, folder: str, target: str, include: Sequence[str] = ()) -> None:
    """Copy a directory: files with their executable bit, symbolic links as they are. Raises as `tree`."""
    source = _place(root, folder)
    entries = list(nar.scan(source))[1:]  # refuses devices and the like before anything is copied
    found = [each for each in entries if not include or (each.kind != "dir" and globs.matches(each.path, include))]
    if include and not found:
        hint = "correct `include` in the recipe that names the directory"
        raise UsageError(f"nothing in it is like {' or '.join(include)}", where=f"{root}/{folder}", hint=hint)
    os.makedirs(target)
    for entry in found:
        if entry.kind == "dir":
            os.mkdir(f"{target}/{entry.path}")
        else:
            os.makedirs(os.path.dirname(f"{target}/{entry.path}"), exist_ok=True)
            shutil.copy2(f"{source}/{entry.path}", f"{target}/{entry.path}", follow_symlinks=False)


def _place(root: str, folder: str) -> str:
    """The real path of a directory of the project."""
    where = f"{root}/{folder}"
    if place := within.leads_out(root, where):
        hint = "put the directory itself in the project: what lies outside is not pinned by it"
        raise UsageError(f"it is a link out of the project, to {place}", where=where, hint=hint)
    if not os.path.isdir(where):
        hint = "a recipe names it as a source; correct its `folder`"
        raise UsageError("there is no such directory", where=where, hint=hint)
    return os.path.realpath(where)
