"""Compressing a layer in one pass: compressed file, its digest, and the digest of what went in (image-spec's DiffID).

gzip (RFC 1952): the stream is cut every 256 KiB; threads compress the pieces side by side, each with the last 32 KiB
before it as dictionary, as pigz does, and close it with an empty stored block (zlib's Z_SYNC_FLUSH) so that pieces end
on a byte. The result is one ordinary gzip member. Where the cuts are depends on nothing but the data, so one thread or
twenty give the same bytes. Level 5: on sources and libraries 1.4 % larger than level 6, in two thirds of its time.

The bytes also depend on the deflate code: zlib itself has kept its output for many years, while replacements of it
(zlib-ng) differ. Locks therefore pin the uncompressed tar.

zstd (RFC 8878): libzstd's own threads. It cuts jobs by size, so the number of threads does not show in the bytes, as
long as it is not 0, which is another code path. Level 9 is smaller by a sixth than the gzip, in about its time. Its
bytes may change with a release of libzstd.
"""

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Buffer = bytes | memoryview
Write = Callable[[Any], object]

THREADS = 2
PIECE = 256 << 10
WINDOW = 32 << 10  # how far back deflate may point
GZIP_LEVEL = 5
ZSTD_LEVEL = 9
_RAW = -15  # zlib's wbits for deflate without header and trailer, window of 32 KiB
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate; no name, time 0, no hint on effort, system unknown (RFC 1952, 2.3.1)
_LAST = b"\x03\0"  # an empty last block


class Blob(Struct, frozen=True, kw_only=True):
    """A compressed layer: SHA-256 (hex) and size of the file, and of the uncompressed tar in it (`diff_id`)."""

    digest: str
    size: int
    diff_id: str
    diff_size: int


class Compressor(Protocol):
    """Takes the tar in pieces of any size; `close` ends the file and says what it is."""

    def write(self, data: bytes) -> object: ...

    def close(self) -> Blob: ...


class _Hashed:
    """A stream with the SHA-256 and length of what went by."""

    def __init__(self, sink: Write) -> None:
        self._sink = sink
        self._hasher = hashlib.sha256()
        self.size = 0

    def write(self, data: Buffer) -> None:
        self._hasher.update(data)
        self.size += len(data)
        self._sink(data)

    @property
    def digest(self) -> str:
        return self._hasher.hexdigest()


class _Pieces:
    """Cuts a stream into pieces of PIECE bytes, whatever the sizes that it is given in."""

    def __init__(self, sink: Write) -> None:
        self._sink = sink
        self._waiting: list[Buffer] = []
        self._length = 0

    def write(self, data: Buffer) -> None:
        self._waiting.append(data)
        self._length += len(data)
        if self._length >= PIECE:
            joined = memoryview(b"".join(self._waiting))
            whole = self._length - self._length % PIECE
            for start in range(0, whole, PIECE):
                self._sink(joined[start : start + PIECE])
            self._waiting = [joined[whole:]]
            self._length -= whole

    def close(self) -> None:
        if self._length:
            self._sink(b"".join(self._waiting))


class _Gzip:
    def __init__(self, file: BinaryIO, pool: "ThreadPoolExecutor", threads: int) -> None:
        self._out = _Hashed(file.write)
        self._in = _Hashed(self._submit)
        self._pieces = _Pieces(self._in.write)
        self._pool = pool
        self._most = 2 * threads + 2  # pieces in memory: those at work, those done, those to come
        self._running: deque[Future[bytes]] = deque()
        self._window = b""
        self._crc = 0
        self._out.write(_HEAD)

    def write(self, data: bytes) -> None:
        self._pieces.write(data)

    def _submit(self, piece: Buffer) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        self._running.append(self._pool.submit(_deflate, piece, self._window))
        self._window = bytes(piece[-WINDOW:])
        if len(self._running) > self._most:
            self._out.write(self._running.popleft().result())

    def close(self) -> Blob:
        self._pieces.close()
        while self._running:
            self._out.write(self._running.popleft().result())
        trailer = self._crc.to_bytes(4, "little") + (self._in.size & 0xFFFFFFFF).to_bytes(4, "little")
        self._out.write(_LAST + trailer)
        return _blob(self._out, self._in)


def _deflate(piece: Buffer, window: bytes) -> bytes:
    """`piece` as deflate blocks that end on a byte and may refer to `window`, the up to 32 KiB before it."""
    deflater = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _RAW, zdict=window)
    return deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH)


class _Zstd:
    def __init__(self, file: BinaryIO, threads: int) -> None:
        import zstandard  # noqa: PLC0415  heavy, and only wanted here

        self._out = _Hashed(file.write)
        options = zstandard.ZstdCompressor(
            level=ZSTD_LEVEL, threads=threads, write_checksum=True, write_content_size=False
        )
        self._stream = options.compressobj()
        self._in = _Hashed(lambda data: self._out.write(self._stream.compress(data)))
        self._pieces = _Pieces(self._in.write)  # for fewer calls: libzstd cuts by itself

    def write(self, data: bytes) -> None:
        self._pieces.write(data)

    def close(self) -> Blob:
        self._pieces.close()
        self._out.write(self._stream.flush())
        return _blob(self._out, self._in)


def _blob(out: _Hashed, into: _Hashed) -> Blob:
    return Blob(digest=out.digest, size=out.size, diff_id=into.digest, diff_size=into.size)


@contextmanager
def gzip(file: BinaryIO, *, threads: int = THREADS) -> Iterator[Compressor]:
    """A compressor that writes one gzip member to `file`, which stays open."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only a layer that is made needs threads

    with ThreadPoolExecutor(threads, thread_name_prefix="gzip") as pool:
        yield _Gzip(file, pool, threads)


@contextmanager
def zstd(file: BinaryIO, *, threads: int = THREADS) -> Iterator[Compressor]:
    """A compressor that writes one zstd frame to `file`, which stays open."""
    assert threads > 0, "0 would change the bytes"
    yield _Zstd(file, threads)


KINDS = {"gzip": gzip, "zstd": zstd}
