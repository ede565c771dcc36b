"""Directories of trees as values, read once: the store's trees never change, and many builds share one tool root."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["file", "directory", "link"]


class Entry(Struct, frozen=True):
    """One name in a directory. text: of a symbolic link, else empty."""

    name: str
    kind: Kind
    text: str = ""


class TreeListing(Struct, frozen=True):
    """A tree to lay out: `name` is for messages, `root` its directory on the host.

    entries: path of a directory ("" or "/usr/lib") -> its entries. content: path of a file -> a value that is equal for
    equal files; it is read only when two trees hold the same path.
    """

    name: str
    root: str
    entries: Callable[[str], Sequence[Entry]]
    content: Callable[[str], object]


def tree_listing(root: str, name: str = "") -> TreeListing:
    """The listing of a tree that does not change while this process lives, such as one of the store."""
    return TreeListing(name or root, root, functools.partial(_entries, root), functools.partial(_content, root))


@functools.lru_cache(maxsize=8192)
def _entries(root: str, path: str) -> tuple[Entry, ...]:
    with os.scandir(root + path) as found:
        return tuple(map(_entry, found))


def _entry(found: "os.DirEntry[str]") -> Entry:
    if found.is_symlink():
        return Entry(found.name, "link", os.readlink(found.path))
    return Entry(found.name, "directory" if found.is_dir(follow_symlinks=False) else "file")


def _content(root: str, path: str) -> object:
    with open(root + path, "rb") as file:
        return os.fstat(file.fileno()).st_mode & 0o111 != 0, file.read()
