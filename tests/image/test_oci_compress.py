"""Compression: one gzip member or zstd frame, the same bytes however it is made."""

import gzip
import hashlib
import io
import random
import subprocess
import sys
import threading
import time
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image.oci import compress
from builder.image.oci.compress import KINDS, PIECE, WINDOW, Blob

WORDS = [b"static ", b"int ", b"ngx_http_lua_", b"return ", b"\n", b"0x1f", b"\xff\0\x01\x02"]


def text(length: int, seed: int = 1) -> bytes:
    rng = random.Random(seed)
    return b"".join(rng.choices(WORDS, k=length // 4 + 8))[:length]


def packed(kind: str, data: bytes, *, threads: int = 2, cuts: int = 1 << 30) -> tuple[bytes, Blob]:
    out = io.BytesIO()
    with KINDS[kind](out, threads=threads) as compressor:
        for start in range(0, len(data), cuts):
            compressor.write(data[start : start + cuts])
        blob = compressor.close()
    return out.getvalue(), blob


def unpacked(kind: str, data: bytes) -> bytes:
    return gzip.decompress(data) if kind == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress(data)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 100])
def test_round_trip_and_digests(kind: str, size: int) -> None:
    data = text(size)
    out, blob = packed(kind, data)
    assert unpacked(kind, out) == data
    assert blob == Blob(
        digest=hashlib.sha256(out).hexdigest(),
        size=len(out),
        diff_id=hashlib.sha256(data).hexdigest(),
        diff_size=size,
    )


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_neither_threads_nor_pieces_of_input_show(kind: str) -> None:
    data = text(7 * PIECE + 12345)
    expected = packed(kind, data, threads=1)
    for threads, cuts in ((1, 512), (2, 4096), (3, PIECE), (8, 1_000_003), (4, PIECE - 1)):
        assert packed(kind, data, threads=threads, cuts=cuts) == expected, (threads, cuts)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=3000), max_size=8), st.sampled_from(["gzip", "zstd"]))
def test_any_writes_round_trip(writes: list[bytes], kind: str) -> None:
    out = io.BytesIO()
    with KINDS[kind](out, threads=1) as compressor:
        for each in writes:
            compressor.write(each)
        compressor.close()
    assert unpacked(kind, out.getvalue()) == b"".join(writes)


def test_pieces_that_do_not_compress() -> None:
    data = random.Random(5).randbytes(2 * PIECE + 7)
    out, _ = packed("gzip", data)
    assert gzip.decompress(out) == data
    assert len(out) < len(data) * 1.001


def test_pieces_refer_to_what_stands_before_them() -> None:
    """Without the dictionary each piece would start anew: noise that repeats across the cut must cost nothing."""
    noise = random.Random(7).randbytes(WINDOW // 2)
    alone, _ = packed("gzip", noise)
    across, _ = packed("gzip", bytes(PIECE - len(noise)) + noise + noise)
    assert len(across) < len(alone) + 2000


def test_gzip_is_one_member_without_name_and_time() -> None:
    out, _ = packed("gzip", text(2 * PIECE))
    assert out[:10].hex() == "1f8b08000000000000ff"
    inflater = zlib.decompressobj(31)
    inflater.decompress(out)
    assert inflater.eof
    assert inflater.unused_data == b""


def test_gzip_program_reads_it() -> None:
    data = text(PIECE + 99)
    done = subprocess.run(["gzip", "-dc"], input=packed("gzip", data)[0], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (data, b"")


_PROBE = "f1951ff218b1faa0"


def is_reference_zlib() -> bool:
    """Whether this Python's deflate gives zlib's own bytes, so that gzip digests compare between machines."""
    text = b"".join(b"%d:%d " % (number, number * number % 251) for number in range(9000))
    return hashlib.sha256(compress._deflate(text, text[:WINDOW])).hexdigest()[:16] == _PROBE


@pytest.mark.skipif(not is_reference_zlib(), reason="this Python's deflate is not zlib's own")
def test_golden_gzip() -> None:
    """A change here changes the gzip digest of every layer, though not the digest that the lock pins."""
    assert packed("gzip", text(2 * PIECE))[1].digest == "91bd93a1c7caef78179b0c5c8fb85df908ffe8d7e2e36e3d68e39632ef9bbd78"


def test_another_deflate_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "GZIP_LEVEL", 4)
    assert not is_reference_zlib()


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pieces wait than threads can soon take, however fast the tar comes."""
    waiting, most, guard = 0, 0, threading.Lock()

    def slow(piece: bytes, window: bytes) -> bytes:
        nonlocal waiting
        time.sleep(0.002)
        with guard:
            waiting -= 1
        return b""

    monkeypatch.setattr(compress, "_deflate", slow)
    with compress.gzip(io.BytesIO(), threads=2) as compressor:
        for _ in range(60):
            with guard:
                waiting += 1
                most = max(most, waiting)
            compressor.write(bytes(PIECE))
        compressor.close()
    assert waiting == 0
    assert most <= 8


def test_an_error_while_compressing_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(piece: bytes, window: bytes) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(compress, "_deflate", broken)
    with pytest.raises(MemoryError, match="no room"), compress.gzip(io.BytesIO()) as compressor:
        compressor.write(bytes(PIECE))
        compressor.close()


def test_zstandard_is_not_loaded_for_gzip() -> None:
    code = "import sys, builder.image.oci.image; assert 'zstandard' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
