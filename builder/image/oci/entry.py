"""The entries of a layer: one `Entry` a path, and the order of paths."""

from msgspec import Struct

FILE, DIR, LINK = "file", "dir", "link"
KIND_WORDS = {FILE: "a file", DIR: "a directory", LINK: "a symbolic link"}


class Entry(Struct, frozen=True, kw_only=True):
    """One path of a layer ("usr/bin/nginx": no slash at either end) with everything that a tar archive says of it.

    A file's bytes are `data`, or when that is None the content of the file `source` on disk, `size` bytes either way.
    `xattrs` are (name, value) pairs in order of name. `origin` names its owner: a package, or "image".
    """

    path: str
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    source: str = ""
    data: bytes | None = None
    origin: str = ""


def order(entry: Entry) -> bytes:
    """Sort key of a layer: the path's bytes, '/' below all others, so that a directory's
    content comes right after it."""
    return entry.path.encode().replace(b"/", b"\0")


def parents(path: str) -> list[str]:
    """The directories above `path`, nearest first: "a/b/c" -> ["a/b", "a"]."""
    found = []
    while "/" in path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
