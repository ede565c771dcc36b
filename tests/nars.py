"""Trees as values, and their NAR archives by the book: for tests of what reads and writes them."""

import base64
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from builder.tree import nar

File = tuple[bytes, bool]


Tree = File | bytes | dict[bytes, "Tree"]


def plain_string(data: bytes) -> bytes:
    padding = (8 - len(data) % 8) % 8
    return len(data).to_bytes(8, "little") + data + b"\0" * padding


def plain_node(tree: Tree) -> bytes:
    """The form again, from the specification and without a look at builder/tree/nar.py; of a value, not of a folder."""
    words: list[bytes] = [b"(", b"type"]
    if isinstance(tree, bytes):
        words += [b"symlink", b"target", tree]
    elif isinstance(tree, tuple):
        content, executable = tree
        words += [b"regular", *([b"executable", b""] if executable else []), b"contents", content]
    else:
        words += [b"directory"]
    result = b"".join(plain_string(word) for word in words)
    if isinstance(tree, dict):
        for name in sorted(tree):
            result += b"".join(plain_string(word) for word in (b"entry", b"(", b"name", name, b"node"))
            result += plain_node(tree[name]) + plain_string(b")")
    return result + plain_string(b")")


def plain_nar(tree: Tree) -> bytes:
    return plain_string(b"nix-archive-1") + plain_node(tree)


def plain_digest(tree: Tree) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(plain_nar(tree)).digest()).decode()


class Parser:
    """Reads NAR bytes back to a value; strict about padding, order and what follows."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def string(self) -> bytes:
        size = int.from_bytes(self.stream.read(8), "little")
        data = self.stream.read(size)
        assert len(data) == size
        assert self.stream.read(-size % 8) == bytes(-size % 8)
        return data

    def expect(self, *words: bytes) -> None:
        for word in words:
            assert self.string() == word

    def archive(self) -> Tree:
        self.expect(b"nix-archive-1")
        tree = self.node()
        assert self.stream.read() == b""
        return tree

    def node(self) -> Tree:
        self.expect(b"(", b"type")
        kind = self.string()
        if kind == b"symlink":
            self.expect(b"target")
            target = self.string()
            self.expect(b")")
            return target
        if kind == b"directory":
            return self.folder()
        assert kind == b"regular"
        word = self.string()
        executable = word == b"executable"
        if executable:
            self.expect(b"", b"contents")
        else:
            assert word == b"contents"
        content = self.string()
        self.expect(b")")
        return content, executable

    def folder(self) -> Tree:
        entries: dict[bytes, Tree] = {}
        while (word := self.string()) == b"entry":
            self.expect(b"(", b"name")
            name = self.string()
            assert all(name > other for other in entries)
            self.expect(b"node")
            entries[name] = self.node()
            self.expect(b")")
        assert word == b")"
        return entries


def make(tree: Tree, path: bytes, *, backwards: bool = False) -> None:
    if isinstance(tree, bytes):
        os.symlink(tree, path)
    elif isinstance(tree, tuple):
        with open(path, "wb") as file:
            file.write(tree[0])
        os.chmod(path, os.stat(path).st_mode & ~0o100 | (0o100 if tree[1] else 0))
    else:
        os.mkdir(path)
        for name in sorted(tree, reverse=backwards):
            make(tree[name], os.path.join(path, name), backwards=backwards)


def written(path: str | bytes) -> bytes:
    pieces: list[bytes] = []
    nar.write_nar(path, pieces.append)
    return b"".join(pieces)


@contextmanager
def scratch() -> Iterator[bytes]:
    """A folder for one example: pytest's own lasts for a whole test, and hypothesis runs many examples in one."""
    folder = tempfile.mkdtemp(prefix="nar-")
    try:
        yield os.fsencode(folder)
    finally:
        shutil.rmtree(os.fsencode(folder))


names = st.binary(min_size=1, max_size=12).filter(lambda n: n not in (b".", b"..") and not {0, 47} & set(n))


files = st.tuples(st.binary(max_size=40), st.booleans())


links = st.binary(min_size=1, max_size=20).filter(lambda target: 0 not in target)


folders = st.recursive(
    st.dictionaries(names, st.one_of(files, links), max_size=4),
    lambda below: st.dictionaries(names, st.one_of(files, links, below), max_size=4),
    max_leaves=10,
)
