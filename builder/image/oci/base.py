"""A base layer that was made elsewhere: the root file system tarball of a distribution, used byte for byte.

The lock pins its bytes. An image's config needs the digest of the uncompressed tar (image-spec v1.1), and the contract
check looks at its entries. Both are read as hostile archives are, by `fetch.unpack`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, cast

from builder.base.digest import CHUNK
from builder.base.errors import ArchiveError
from builder.fetch.unpack import Limits, Tree, streams, tars
from builder.image.oci.compress import Blob
from builder.image.oci.entry import DIR, FILE, LINK, Entry, order

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_SUFFIX = {"gzip": ".tar.gz", "zstd": ".tar.zst"}
_XATTR = b"SCHILY.xattr."
_ID = 20  # digits of a user's or group's number, at most
_HINT = "`builder store verify --remove` removes it from the store, and `builder fetch` brings it again"


class _Base(Tree):
    """The limits of a tree, and errors that name the remedy of a base. Nothing is written."""

    def __init__(self, path: str) -> None:
        super().__init__("", name=path, strip=0, limits=Limits(), root=True)

    def refuse(self, message: str, hint: str = "take another base") -> ArchiveError:
        return super().refuse(message, hint)

    def damaged(self, error: object) -> ArchiveError:
        return self.refuse(f"the base layer is damaged: {error}", _HINT)

    def truncated(self) -> ArchiveError:
        return self.damaged("it ends early")


class _Hashed:
    """A file with the SHA-256 and the number of the bytes that were read since its beginning."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek(0)

    def seek(self, place: int) -> None:
        self._file.seek(place)
        self.hasher = hashlib.sha256()
        self.size = place

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.hasher.update(data)
        self.size += len(data)
        return data


@contextmanager
def _opened(path: str, compression: str) -> Iterator[IO[bytes]]:
    with open(path, "rb") as file:
        if not file.read(4).startswith(_MAGIC[compression]):
            hint = f"take another archive, or compress it with {compression}; where the store is damaged, {_HINT}"
            raise ArchiveError(f"the base layer is not a {_SUFFIX[compression]}", where=path, hint=hint)
        file.seek(0)
        yield file


def measure(path: str, compression: str = "gzip") -> Blob:
    """Digests and sizes of a .tar.gz or, for "zstd", a .tar.zst, in constant memory and in one pass.

    Raises:
        ArchiveError: it is something else or is damaged, or a .tar.gz ends early.
    """
    inner, length = hashlib.sha256(), 0
    with _opened(path, compression) as file:
        outer, tree = _Hashed(file), _Base(path)
        try:
            stream = streams.decompressed(cast("IO[bytes]", outer))
            while chunk := stream.read(CHUNK):
                inner.update(chunk)
                length += len(chunk)
            while outer.read(CHUNK):
                pass
        except EOFError as error:
            raise tree.truncated() from error
        except streams.FAILURES as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise tree.damaged(error) from error
    return Blob(digest=outer.hasher.hexdigest(), size=outer.size, diff_id=inner.hexdigest(), diff_size=length)


def entries(path: str, *, origin: str) -> tuple[Entry, ...]:
    """The entries of a .tar.gz, sorted, with the files' bytes in memory. A hard link is a file of its own.

    Raises:
        ArchiveError: it is damaged or over the limits of a tree, or holds a device or pipe.
    """
    found: dict[str, Entry] = {}
    tree = _Base(path)
    left = tree.limits.unpacked
    with _opened(path, "gzip") as file:
        for member in tars.members(file, tree):
            left -= member.info.size
            if left < 0:
                raise tree.refuse(f"it unpacks to more than {tree.limits.unpacked} bytes")
            entry = _entry(member, found, origin, tree)
            if entry.path:
                found[entry.path] = entry
            if len(found) > tree.limits.entries:
                raise tree.refuse(f"it has more than {tree.limits.entries} entries")
    return tuple(sorted(found.values(), key=order))


def _entry(member: tars.Member, found: Mapping[str, Entry], origin: str, tree: Tree) -> Entry:
    info = member.info
    name = _path(member.name)
    kind, data = FILE, None
    if info.isdir():
        kind = DIR
    elif info.issym():
        kind = LINK
    elif info.isreg():
        data = b"".join(member.content)
    elif info.islnk() and (source := found.get(_path(member.target))) is not None and source.kind == FILE:
        data = source.data
    else:
        raise tree.refuse(
            f"'{name}' in the base layer is no file, directory, symbolic link or hard link to an earlier file"
        )
    return Entry(
        path=name, kind=kind, mode=info.mode & 0o7777, uid=_number(member, b"uid", info.uid),
        gid=_number(member, b"gid", info.gid), size=len(data or b""),
        target=_text(member.target) if kind == LINK else "", data=data, origin=origin,
        xattrs=tuple(sorted(
            (_text(key.removeprefix(_XATTR)), value) for key, value in member.records.items() if key.startswith(_XATTR)
        )),
    )  # fmt: skip


def _number(member: tars.Member, key: bytes, short: int) -> int:
    told = member.records.get(key, b"")
    return int(told) if told.isdigit() and len(told) <= _ID else short


def _path(name: bytes) -> str:
    return "/".join(part for part in _text(name).split("/") if part not in {"", "."})


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
