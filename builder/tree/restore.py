"""Trees out of archives in NAR form (the grammar is in `builder.tree.nar`): the way in for trees of remote stores.

The format is specified in the Nix manual, "Nix Archive (NAR) format". An archive is not trusted.
"""

import errno
import hashlib
import os
from typing import BinaryIO

from builder.base import digest
from builder.base.errors import ArchiveError
from builder.tree import nar

MOST_BYTES, MOST_ENTRIES = 16 << 30, 1_000_000
_NAME, _TARGET = 255, 4095  # bytes that Linux takes (NAME_MAX, and PATH_MAX without the final NUL)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def restore(
    stream: BinaryIO, path: str | bytes, *, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES
) -> str:
    """Make the tree that `stream` holds in NAR form at `path`, which must not exist; its digest, as by `nar.hash_tree`.

    The stream may come from anywhere: compare the digest before the tree is used. Only the exact bytes that
    `nar.write_nar` gives for a tree are accepted. Files get mode 0644 or 0755; links are made and never followed. After
    an error an unfinished tree stays at `path`: put it into a directory that is removed with it (`Store.stage`).

    most_bytes: of all files together. most_entries: files, directories and links.

    Raises:
        ArchiveError: the stream is not the NAR form of a tree, ends early, or holds more than it may; `where` says at
            which byte.
        OSError: the stream cannot be read, or the tree not be written.
    """
    return _Reader(stream, most_bytes, most_entries).restore(os.fsencode(path))


class _Reader:
    """Reads one archive from a stream that may be hostile, in small pieces, never more than the grammar asks for."""

    def __init__(self, stream: BinaryIO, most_bytes: int, most_entries: int) -> None:
        self._stream = stream
        self._bytes_left = most_bytes
        self._entries_left = most_entries
        self._at = 0
        self._hasher = hashlib.sha256()

    def restore(self, top: bytes) -> str:
        self._expect(b"nix-archive-1")
        stack = [(top, b"")] if self._node(top) else []  # directories that are open, and the last name in each
        while stack:
            directory, last = stack.pop()
            if self._one_of(b"entry", b")") == b")":
                if stack:
                    self._expect(b")")  # of the entry
                continue
            self._expect(b"(", b"name")
            name = self._name(last)
            self._expect(b"node")
            stack.append((directory, name))
            path = directory + b"/" + name
            if not self._node(path):
                self._expect(b")")
            elif len(stack) >= nar.DEEPEST:
                raise self._refused(f"its directories are nested more than {nar.DEEPEST} deep")
            else:
                stack.append((path, b""))
        if self._stream.read(1):
            raise self._refused("bytes follow the end of the archive")
        return digest.to_sri(self._hasher.hexdigest())

    def _node(self, path: bytes) -> bool:
        """Make a file or a link, or begin a directory (True)."""
        self._entries_left -= 1
        if self._entries_left < 0:
            raise self._refused("it has too many entries")
        self._expect(b"(", b"type")
        kind = self._one_of(b"directory", b"symlink", b"regular")
        try:
            if kind == b"directory":
                os.mkdir(path)
                return True
            if kind == b"symlink":
                os.symlink(self._target(), path)
            else:
                self._file(path)
        except OSError as error:
            if error.errno in _BAD_NAME:
                message = f"{nar.shown(path)}: a name or path that this file system does not take: {error.strerror}"
                raise self._refused(message) from error
            raise
        self._expect(b")")
        return False

    def _file(self, path: bytes) -> None:
        executable = self._one_of(b"executable", b"contents") == b"executable"
        if executable:
            self._expect(b"", b"contents")
        size = int.from_bytes(self._read(8), "little")
        if size > self._bytes_left:
            raise self._refused("its files have too many bytes")
        self._bytes_left -= size
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(file, "wb", buffering=0) as opened:
            for start in range(0, size, digest.CHUNK):
                data = memoryview(self._read(min(digest.CHUNK, size - start)))
                while data:
                    data = data[opened.write(data):]
            os.fchmod(file, 0o755 if executable else 0o644)
        self._padding(size)

    def _name(self, last: bytes) -> bytes:
        name = self._word(_NAME)
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise self._refused(f"'{nar.shown(name)}' is no name of an entry")
        if name <= last:
            raise self._refused(f"the name '{nar.shown(name)}' does not come after '{nar.shown(last)}'")
        return name

    def _target(self) -> bytes:
        self._expect(b"target")
        target = self._word(_TARGET)
        if not target or b"\0" in target:
            raise self._refused(f"'{nar.shown(target)}' is no target of a link")
        return target

    def _expect(self, *words: bytes) -> None:
        for word in words:
            self._one_of(word)

    def _one_of(self, *words: bytes) -> bytes:
        found = self._word(max(map(len, words)))
        if found not in words:
            wanted = " or ".join(nar.shown(word) or "nothing" for word in words)
            raise self._refused(f"'{nar.shown(found)}' stands where the format has {wanted}")
        return found

    def _word(self, longest: int) -> bytes:
        size = int.from_bytes(self._read(8), "little")
        if size > longest:
            raise self._refused(f"a string has {size} bytes, and {longest} at most are allowed here")
        word = self._read(size)
        self._padding(size)
        return word

    def _padding(self, size: int) -> None:
        if any(self._read(-size % 8)):
            raise self._refused("the padding of a string is not zeros")

    def _read(self, size: int) -> bytes:
        """The next `size` bytes; a stream may give them in pieces."""
        data = bytearray()
        while len(data) < size:
            piece = self._stream.read(size - len(data))
            if not piece:
                raise self._refused("it ends early")
            data += piece
        self._at += size
        self._hasher.update(data)
        return bytes(data)

    def _refused(self, message: str) -> ArchiveError:
        hint = "fetch the archive again; if it stays so, report it to the operator of that store"
        return ArchiveError(message, where=f"NAR archive, byte {self._at}", hint=hint)
