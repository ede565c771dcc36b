"""Zip archives and wheels (APPNOTE.TXT, PKWARE), through `zipfile`."""

import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, cast

from builder.fetch.unpack.tree import Tree, shown

_CHUNK = 1 << 20
_ENTRY = b"PK\x01\x02"  # begins each record of the central directory (section 4.3.12)
_DIRECTORY_AN_ENTRY = 512  # bytes of the central directory for each entry allowed
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # with others `zipfile` inflates any number of bytes at once
_LINK = 4096  # bytes of a link's target that are read; Linux takes fewer
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # general purpose bits 0, 6 and 13 (section 4.4.4)
_UNIX = 3  # "version made by" (section 4.4.2): the upper half of the external attributes is st_mode
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, ValueError, OverflowError, RuntimeError)


def read(file: IO[bytes], tree: Tree) -> None:
    """Unpack a zip into `tree`."""
    try:
        with zipfile.ZipFile(cast(IO[bytes], _Guarded(file, tree))) as archive:
            _read(archive, tree, os.fstat(file.fileno()).st_size)
    except EOFError as error:
        raise tree.truncated() from error
    except zipfile.BadZipFile as error:
        # The directory of a zip is at its end, so a file that begins as one and has none was cut off.
        file.seek(0)
        if "File is not a zip file" in str(error) and file.read(4) == b"PK\x03\x04":
            raise tree.truncated() from error
        raise tree.damaged(error) from error
    except _DAMAGE as error:
        raise tree.damaged(error) from error


def _read(archive: zipfile.ZipFile, tree: Tree, size: int) -> None:
    """Names and links first, by one thread; then the files, by two: inflating is most of the work and runs beside."""
    if sum(info.compress_size for info in archive.infolist()) > size:
        raise tree.refuse("its entries overlap")
    files = [
        (tree.reserve(_raw(info.filename)), info) for info in archive.infolist() if _is_file(info, archive, tree)
    ]
    failed = threading.Event()

    def write(part: list[tuple[bytes, zipfile.ZipInfo]]) -> None:
        try:
            for path, info in part:
                if failed.is_set():
                    return
                tree.write(path, executable=bool(_mode(info) & 0o100), chunks=_chunks(archive, info))
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, part) for part in _halves(files)]:
            done.result()


def _halves(files: list[tuple[bytes, zipfile.ZipInfo]]) -> list[list[tuple[bytes, zipfile.ZipInfo]]]:
    """Two lists with about the same number of compressed bytes."""
    half = sum(info.compress_size for _, info in files) // 2
    seen = 0
    for cut, (_, info) in enumerate(files):
        seen += info.compress_size
        if seen > half:
            return [files[:cut], files[cut:]]
    return [files]


def _is_file(info: zipfile.ZipInfo, archive: zipfile.ZipFile, tree: Tree) -> bool:
    """Check one entry; a directory or a link is made at once."""
    name = _raw(info.filename)
    kind = stat.S_IFMT(_mode(info))
    if "\0" in info.orig_filename:
        raise tree.refuse(f"{shown(_raw(info.orig_filename))} has a NUL byte")
    if info.flag_bits & _ENCRYPTED:
        raise tree.refuse(f"{shown(name)} is encrypted")
    if info.compress_type not in _METHODS:
        raise tree.refuse(f"{shown(name)} is compressed by method {info.compress_type}", "pack it with method deflate")
    if info.is_dir():
        tree.folder(name)
    elif kind == stat.S_IFLNK:
        with archive.open(info) as file:
            tree.link(name, file.read(_LINK))
    elif kind in (0, stat.S_IFREG):
        return True
    else:
        raise tree.refuse(f"{shown(name)} is a device, a pipe or a socket")
    return False


def _mode(info: zipfile.ZipInfo) -> int:
    return info.external_attr >> 16 if info.create_system == _UNIX else 0


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class _Guarded:
    """The file as `zipfile` reads it. `zipfile` reads the whole central directory at once, of the size that the archive
    claims, and makes an object of each record, about ten times as large; so a directory that is too large is refused
    before."""

    def __init__(self, file: IO[bytes], tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self._most = tree.limits.entries * _DIRECTORY_AN_ENTRY + _CHUNK
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise self._tree.refuse(f"it has a directory of {size} bytes")
        data = self._file.read(size if size >= 0 else self._most)
        if len(data) > _CHUNK and data.count(_ENTRY) > self._tree.limits.entries:
            raise self._tree.too_many()
        return data
