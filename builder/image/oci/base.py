"""A base layer that somebody else made: the root file system tarball of a distribution, used byte for byte.

Its bytes are pinned by whoever hands over the path; what is read here is what an image's config needs of it (image-spec
v1.1: the digest of the uncompressed tar) and what the contract check looks at.
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from builder.base.digest import CHUNK, of_file
from builder.base.errors import ArchiveError
from builder.image.oci.compress import Blob
from builder.image.oci.entry import DIR, FILE, LINK, Entry, order

_GZIP = b"\x1f\x8b"
_XATTR = "SCHILY.xattr."
_HINT = "`builder store verify --remove` removes it from the store, and `builder fetch` brings it again"


def measure(path: str, compression: str = "gzip") -> Blob:
    """Digests and sizes of a .tar.gz or, for "zstd", a .tar.zst, in constant memory.

    Raises:
        ArchiveError: it is something else or is damaged, or a .tar.gz ends early.
    """
    hasher, length = hashlib.sha256(), 0
    with open(path, "rb") as file:
        if compression == "gzip" and file.read(2) != _GZIP:
            hint = f"take another archive, or compress it with gzip; where the store is damaged, {_HINT}"
            raise ArchiveError("the base layer is not a .tar.gz", where=path, hint=hint)
        size = file.seek(0, 2)
        file.seek(0)
        for chunk in _unpacked(file, path) if compression == "gzip" else _unpacked_zstd(file, path):
            hasher.update(chunk)
            length += len(chunk)
    return Blob(digest=of_file(path), size=size, diff_id=hasher.hexdigest(), diff_size=length)


def _unpacked(file: IO[bytes], path: str) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveError(f"the base layer is damaged: {error}", where=path, hint=_HINT) from error


def _unpacked_zstd(file: IO[bytes], path: str) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - heavy, and seldom wanted

    try:
        with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except zstandard.ZstdError as error:
        raise ArchiveError(f"the layer is damaged: {error}", where=path, hint=_HINT) from error


def entries(path: str, *, origin: str) -> tuple[Entry, ...]:
    """What a .tar.gz holds, sorted, with the files' bytes in memory. A hard link is a file of its own.

    Raises:
        ArchiveError: it is damaged, or holds what is neither file, folder nor link.
    """
    found: dict[str, Entry] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                entry = _entry(archive, member, origin, path)
                if entry.path:
                    found[entry.path] = entry
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, KeyError) as error:
        raise ArchiveError(f"the base layer is damaged: {error}", where=path, hint=_HINT) from error
    return tuple(sorted(found.values(), key=order))


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, origin: str, path: str) -> Entry:
    name = "/".join(part for part in member.name.split("/") if part not in {"", "."})
    pax = sorted(member.pax_headers.items())
    xattrs = tuple((key.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape")) for key, value in pax if key.startswith(_XATTR))
    kind, data = FILE, None
    if member.isdir():
        kind = DIR
    elif member.issym():
        kind = LINK
    elif member.isreg() or member.islnk():
        content = archive.extractfile(member)
        assert content is not None, "files and hard links have content"
        data = content.read()
    else:
        raise ArchiveError(f"'{name}' in the base layer is neither file, folder nor link", where=path, hint="take another base")
    return Entry(
        path=name, kind=kind, mode=member.mode & 0o7777, uid=member.uid, gid=member.gid, size=len(data or b""),
        target=member.linkname if kind == LINK else "", xattrs=xattrs, data=data, origin=origin,
    )  # fmt: skip
