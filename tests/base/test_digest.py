"""Digests in their two spellings."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import digest

EMPTY_HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256sum /dev/null
EMPTY_SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_of_nothing() -> None:
    assert digest.of_bytes(b"") == EMPTY_SRI
    assert digest.of_stream(io.BytesIO()) == EMPTY_HEX
    assert digest.to_hex(EMPTY_SRI) == EMPTY_HEX
    assert digest.to_sri(EMPTY_HEX) == EMPTY_SRI


@given(st.binary(min_size=32, max_size=32))
def test_the_spellings_are_one_digest(raw: bytes) -> None:
    sri = digest.to_sri(raw.hex())
    assert digest.is_sri(sri)
    assert digest.is_hex(raw.hex())
    assert digest.to_hex(sri) == raw.hex()


@given(st.binary(max_size=100))
def test_of_bytes_and_of_stream_agree(data: bytes) -> None:
    assert digest.to_hex(digest.of_bytes(data)) == digest.of_stream(io.BytesIO(data)) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, digest.CHUNK - 1, digest.CHUNK, digest.CHUNK + 1])
def test_of_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert digest.of_file(path) == digest.of_file(str(path)) == hashlib.sha256(b"x" * size).hexdigest()


def test_of_stream_takes_what_is_left() -> None:
    stream = io.BytesIO(b"header rest")
    stream.seek(7)
    assert digest.of_stream(stream) == hashlib.sha256(b"rest").hexdigest()


@pytest.mark.parametrize("text", [
    "", EMPTY_HEX[:-1], EMPTY_HEX + "0", EMPTY_HEX.upper(), EMPTY_HEX + "\n", EMPTY_HEX[:-1] + "g", EMPTY_SRI,
])
def test_what_is_not_hexadecimal(text: str) -> None:
    assert not digest.is_hex(text)


@pytest.mark.parametrize("text", [
    "", EMPTY_HEX, EMPTY_SRI[:-1], EMPTY_SRI + "=", EMPTY_SRI + "\n", EMPTY_SRI.replace("sha256", "sha512"),
    EMPTY_SRI.replace("+", "-"),  # the URL-safe alphabet
    EMPTY_SRI[:-2] + "V=",  # the same 32 bytes for a lenient decoder: the last digit's two low bits are not used
    " " + EMPTY_SRI,
])
def test_what_is_not_a_canonical_digest(text: str) -> None:
    assert not digest.is_sri(text)


def test_the_lenient_spelling_is_the_same_bytes() -> None:
    assert digest.to_hex(EMPTY_SRI[:-2] + "V=") == EMPTY_HEX  # so accepting it would give one digest two names
