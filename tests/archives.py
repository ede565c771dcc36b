"""Archives that tests make: of the layout that forges, indexes and distributions have, and of the layouts that attackers like."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable

import zstandard

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def entry(name: str, content: bytes = b"", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of a tar; `more` are fields of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def make_tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def make_zip(*entries: tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Entries are (name, content, st_mode)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            archive.writestr(info, content, method)
    return file.getvalue()


def make_ar(*members: tuple[bytes, bytes], magic: bytes = b"!<arch>\n") -> bytes:
    parts = [magic]
    for name, content in members:
        header = struct.pack("16s12s6s6s8s10s2s", *(
            field.ljust(width) for field, width in (
                (name, 16), (b"0", 12), (b"0", 6), (b"0", 6), (b"100644", 8), (str(len(content)).encode(), 10), (b"`\n", 2),
            )
        ))
        parts += [header, content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def make_deb(data: bytes, name: bytes = b"data.tar.xz") -> bytes:
    control = gzip.compress(make_tar(entry("./control", b"Package: a\n")), mtime=0)
    return make_ar((b"debian-binary", b"2.0\n"), (b"control.tar.gz", control), (name, data))


def retyped(tar: bytearray, kind: bytes) -> bytes:
    """A tar whose first header has another type and a right check sum."""
    tar[156:157] = kind
    tar[148:156] = b" " * 8
    tar[148:156] = f"{sum(tar[:512]):06o}\0 ".encode()
    return bytes(tar)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A tar of the file "a" after an extended header with these bytes."""
    return retyped(bytearray(make_tar(entry("x", records))[: 512 + len(records) + -len(records) % 512]), kind) + make_tar(entry("a"))
