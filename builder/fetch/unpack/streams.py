"""Decompressors, told apart by the first bytes of the file, not by its name."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Protocol

_READ = 1 << 16
_OUT = 1 << 18
_MEMORY = 256 << 20  # bytes a decoder may take; `xz -9` needs 65 MiB, `zstd --long=27` 128 MiB
_STREAMS = 100_000  # streams one after another; bgzip ends one every 64 KiB

FAILURES = (zlib.error, lzma.LZMAError, OSError)  # of decoders, for damaged bytes; such an OSError has no errno


class Stream(Protocol):
    """The rest of a file: `read` returns at most `size` bytes, perhaps fewer, and none at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Decoder(Protocol):
    """A decoder of one stream, as `lzma` and `bz2` have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decompressed(file: IO[bytes]) -> Stream:
    """The content of a file at its beginning: gzip, bzip2, xz or Zstandard, and any other file as it is.

    Raises, and so does reading it:
        EOFError: the file ends early. (The Zstandard decoder cannot see the early end of a frame; the archive inside
            shows it.)
        FAILURES: the file is damaged.
    """
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):  # RFC 1952, section 2.3.1
        return _Streams(file, _Gzip)
    if magic.startswith(b"BZh"):
        return _Streams(file, bz2.BZ2Decompressor)
    if magic == b"\xfd7zXZ\0":  # The .xz File Format, section 2.1.1.1
        return _Streams(file, _xz)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):  # RFC 8878, section 3.1.1
        return _Zstd(file)
    return file


class _Streams:
    """Streams one after another, read as the formats' own tools read them: the padding between them is zeros.

    The standard library's files are not used: `LZMAFile` has no limit on memory, and `GzipFile` reads a header of any
    length byte by byte.
    """

    def __init__(self, file: IO[bytes], decoder: Callable[[], _Decoder]) -> None:
        self._file = file
        self._ahead = b""  # read from the file, not yet decoded
        self._new = decoder
        self._decoder = decoder()
        self._left = _STREAMS

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof and not self._next():
                return b""
            fresh = b""
            if self._decoder.needs_input:
                fresh, self._ahead = self._ahead or self._file.read(_READ), b""
                if not fresh:
                    raise EOFError
            if data := self._decoder.decompress(fresh, size):
                return data

    def _next(self) -> bool:
        """Go on to the next stream; False at the end of the file."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest:
            fresh = self._file.read(_READ)
            if not fresh:
                return False
            rest = fresh.lstrip(b"\0")
        self._left -= 1
        if self._left < 0:
            raise OSError(f"it has more than {_STREAMS} compressed streams")
        self._ahead = rest
        self._decoder = self._new()
        return True


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


class _Gzip:
    """`zlib` with the interface of the other decoders. It decodes ahead: `zlib` copies unused input."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._ready = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._zlib.eof and not self._ready

    @property
    def needs_input(self) -> bool:
        return not (self._ready or self._zlib.eof or self._zlib.unconsumed_tail)

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if not self._ready:
            self._ready = memoryview(self._zlib.decompress(data or self._zlib.unconsumed_tail, _OUT))
        found, self._ready = self._ready[:max_length], self._ready[max_length:]
        return bytes(found)


class _Zstd:
    """Zstandard frames one after another; its error is an OSError, so that no other module imports the library."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard  # noqa: PLC0415 - 20 ms, and few archives need it

        decoder = zstandard.ZstdDecompressor(max_window_size=_MEMORY // 2)
        self._error = zstandard.ZstdError
        self._stream = decoder.stream_reader(file, read_size=_READ, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except self._error as error:
            raise OSError(str(error)) from None
