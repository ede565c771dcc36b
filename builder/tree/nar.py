"""Trees in NAR form, the bytes whose SHA-256 is a tree's identity: written here, read by `builder.tree.restore`.

The form is Nix's archive (E. Dolstra, "The Purely Functional Software Deployment Model", figure 5.2; Nix manual, "Nix
Archive (NAR) format"). A string is its length in 8 bytes, little-endian, its bytes, and zeros up to a multiple of 8:

    archive  = "nix-archive-1" node
    node     = "(" "type" "regular" ["executable" ""] "contents" <bytes> ")"
             | "(" "type" "symlink" "target" <target> ")"
             | "(" "type" "directory" {"entry" "(" "name" <name> "node" node ")"} ")"     names sorted by their bytes

So a tree is names, bytes, the owner's executable bit and link targets. Times, owners, other mode bits, extended
attributes and hard links are not in it. Names are bytes here: one that is not UTF-8 stays as it is.

Walks keep their own stack, because a hostile tree can be deeper than Python's; and a tree that is nested deeper than
`DEEPEST` is refused, so that programs which walk it later need not be that careful.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import AnyStr, Protocol

from msgspec import Struct

from builder.base import digest
from builder.base.errors import StoreError

DEEPEST = 256  # directories within each other
_CHUNK = 1 << 20
_SMALL = 1 << 16  # bytes gathered for one call of the sink: hashing lets other threads run from 2 KiB on


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def _strings(*parts: bytes) -> bytes:
    return b"".join(map(_string, parts))


_MAGIC = _string(b"nix-archive-1")
_FILE = _strings(b"(", b"type", b"regular", b"contents")
_PROGRAM = _strings(b"(", b"type", b"regular", b"executable", b"", b"contents")
_LINK = _strings(b"(", b"type", b"symlink", b"target")
_FOLDER = _strings(b"(", b"type", b"directory")
_ENTRY = _strings(b"entry", b"(", b"name")
_NODE = _string(b"node")
_CLOSE = _string(b")")

_SPECIAL = {
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
_by_name = attrgetter("name")


class UnfitError(StoreError):
    """The entry cannot be a tree: it has a device, a pipe or a socket, or is nested too deep."""


class Visitor(Protocol):
    """Gets every entry of a walk once, and may change it; so the store settles and hashes a tree in one pass."""

    def arrive(self, path: bytes, status: os.stat_result) -> os.stat_result:
        """Called before an entry is read. Returns its status as it is afterwards."""

    def leave(self, path: bytes) -> None:
        """Called after all entries of the directory `path` were read."""


class _Look:
    """The visitor that changes nothing."""

    def arrive(self, path: bytes, status: os.stat_result) -> os.stat_result:
        return status

    def leave(self, path: bytes) -> None:
        pass


class _Writer:
    """Walks one tree and gives its NAR form to `sink`, in pieces of any size."""

    def __init__(self, sink: Callable[[bytes], object], visitor: Visitor) -> None:
        self._sink = sink
        self._visitor = visitor
        self._pending = bytearray(_MAGIC)

    def write(self, top: bytes) -> None:
        stack: list[tuple[bytes, Iterator[os.DirEntry[bytes]]]] = []
        if self._open(top, os.lstat(top)):
            stack.append((top, _listing(top)))
        while stack:
            path, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                self._visitor.leave(path)
                self._pending += _CLOSE + _CLOSE if stack else _CLOSE
                continue
            self._pending += _ENTRY + _string(entry.name) + _NODE
            if self._open(entry.path, entry.stat(follow_symlinks=False)):
                if len(stack) >= DEEPEST:
                    raise too_deep(top)
                stack.append((entry.path, _listing(entry.path)))
            else:
                self._pending += _CLOSE
        self._flush()

    def _open(self, path: bytes, status: os.stat_result) -> bool:
        """Write a file or a link, or the beginning of a directory (True)."""
        kind = _kind(path, status)
        status = self._visitor.arrive(path, status)
        if kind == "dir":
            self._pending += _FOLDER
            return True
        if kind == "link":
            self._pending += _LINK + _string(os.readlink(path)) + _CLOSE
        else:
            self._file(path, status)
        return False

    def _file(self, path: bytes, status: os.stat_result) -> None:
        size = status.st_size
        self._pending += _PROGRAM if status.st_mode & stat.S_IXUSR else _FILE
        self._pending += size.to_bytes(8, "little")
        read = 0
        for chunk in _chunks(path, size):
            read += len(chunk)
            if read > size:
                break
            if len(chunk) < _SMALL:
                self._pending += chunk
            else:
                self._flush()
                self._sink(chunk)
        if read != size:
            raise StoreError(
                f"the file changed while it was read: it had {size} bytes",
                where=shown(path),
                hint="end the program that writes to it, then run the command again",
            )
        self._pending += bytes(-size % 8) + _CLOSE
        if len(self._pending) >= _SMALL:
            self._flush()

    def _flush(self) -> None:
        self._sink(bytes(self._pending))
        self._pending.clear()


def write_nar(path: str | bytes, sink: Callable[[bytes], object], *, visitor: Visitor | None = None) -> None:
    """Give the NAR form of the file, link or directory `path` to `sink`, in pieces of any size.

    Raises:
        UnfitError: it has a device, pipe or socket, or directories that are nested too deep.
        StoreError: a file grows or shrinks meanwhile.
        OSError: an entry cannot be read.
    """
    _Writer(sink, visitor or _Look()).write(os.fsencode(path))


def hash_tree(path: str | bytes, *, visitor: Visitor | None = None) -> str:
    """`sha256-<base64>` of the NAR form, as `nix hash path --sri` prints it. Raises what `write_nar` raises."""
    hasher = hashlib.sha256()
    write_nar(path, hasher.update, visitor=visitor)
    return digest.to_sri(hasher.hexdigest())


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of a tree.

    path: relative to the top, which itself is ""; bytes that are not UTF-8 as `os.fsdecode` has them. kind: "file",
    "dir" or "link". size: bytes of a file, else 0. target: of a link, else "".
    """

    path: str
    kind: str
    executable: bool = False
    size: int = 0
    target: str = ""


def below(top: AnyStr) -> Iterator[tuple[AnyStr, "os.DirEntry[AnyStr]"]]:
    """Every entry below the directory `top` with its path from there, sorted; a directory comes before its entries.

    Raises:
        UnfitError: directories are nested too deep.
        OSError: a directory cannot be read.
    """
    start = len(top) + 1
    stack = [_listing(top)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry.path[start:], entry
        if entry.is_dir(follow_symlinks=False):
            if len(stack) >= DEEPEST:
                raise too_deep(top)
            stack.append(_listing(entry.path))


def scan(path: str | bytes) -> list[Entry]:
    """All entries of the tree, its top included, sorted by the bytes of their paths. Raises as `write_nar` does."""
    top = os.fsencode(path)
    found = [_entry(b"", top, os.lstat(top))]
    if found[0].kind == "dir":
        found += [_entry(name, each.path, each.stat(follow_symlinks=False)) for name, each in below(top)]
    return sorted(found, key=lambda entry: os.fsencode(entry.path))


def require_shallow(path: str) -> None:
    """Raises UnfitError when directories of the tree are nested too deep for those that walk it."""
    for _ in below(path):
        pass


def shown(path: str | bytes) -> str:
    """A path in printable form for any terminal: bytes that are not UTF-8 and control characters are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def too_deep(top: str | bytes) -> UnfitError:
    """The error for directories of the tree `top` that are nested deeper than `DEEPEST`."""
    hint = "make fewer directories within each other in the step that makes them"
    return UnfitError(f"its directories are nested more than {DEEPEST} deep", where=shown(top), hint=hint)


def _listing(directory: AnyStr) -> Iterator["os.DirEntry[AnyStr]"]:
    with os.scandir(directory) as entries:
        return iter(sorted(entries, key=_by_name))


def _kind(path: bytes, status: os.stat_result) -> str:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISLNK(mode):
        return "link"
    raise UnfitError(
        f"{_SPECIAL.get(stat.S_IFMT(mode), 'an entry of an unknown kind')} cannot be part of a tree",
        where=shown(path),
        hint="trees hold files, directories and links only: remove it in the step that makes it",
    )


def _chunks(path: bytes, size: int) -> Iterator[bytes]:
    """The bytes of a regular file; a read that is short is the last. One byte is asked for beyond `size`."""
    wanted = min(size + 1, _CHUNK)
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            chunk = os.read(file, wanted)
            yield chunk
            if len(chunk) < wanted:
                return
    finally:
        os.close(file)


def _entry(name: bytes, path: bytes, status: os.stat_result) -> Entry:
    kind = _kind(path, status)
    return Entry(
        path=os.fsdecode(name),
        kind=kind,
        executable=kind == "file" and bool(status.st_mode & stat.S_IXUSR),
        size=status.st_size if kind == "file" else 0,
        target=os.fsdecode(os.readlink(path)) if kind == "link" else "",
    )
