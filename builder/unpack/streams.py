"""Decompressors, told apart by the first bytes of the file, not by its name."""

import bz2
import gzip
import lzma
import zlib
from typing import IO, Protocol

_READ = 1 << 18
_MEMORY = 256 << 20  # bytes a decoder may take; `xz -9` needs 65 MiB, `zstd --long=27` 128 MiB

FAILURES = (zlib.error, lzma.LZMAError, OSError)  # what decoders raise for damaged bytes; such an OSError has no errno


class Stream(Protocol):
    """What is left of a file: `read` returns at most `size` bytes, fewer when it pleases, none at the end."""

    def read(self, size: int, /) -> bytes: ...


def decompressed(file: IO[bytes]) -> Stream:
    """The content of a file at its beginning: gzip, bzip2, xz or Zstandard, and any other file as it is.

    Reading it raises EOFError where it ends early, and one of FAILURES where it is damaged. (The Zstandard decoder
    cannot tell the early end of a frame; the archive inside shows it.)
    """
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):  # RFC 1952, section 2.3.1
        return gzip.GzipFile(fileobj=file)
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if magic == b"\xfd7zXZ\0":  # The .xz File Format, section 2.1.1.1
        return _Xz(file)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):  # RFC 8878, section 3.1.1
        return _Zstd(file)
    return file


class _Xz:
    """xz streams one after another, as xz(1) reads them, with a limit on memory (which `lzma.LZMAFile` lacks)."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead = b""  # read from the file, not yet decoded
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)

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
        """Go on to the next stream, over padding (section 2.2: zero bytes); False at the end of the file."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest:
            fresh = self._file.read(_READ)
            if not fresh:
                return False
            rest = fresh.lstrip(b"\0")
        self._ahead = rest
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        return True


class _Zstd:
    """Zstandard frames one after another; its error is an OSError, so that nobody else must import the library."""

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
