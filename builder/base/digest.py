"""SHA-256 digests in their spellings, and streaming over files.

Trees and outputs are named by the SRI spelling `sha256-<base64>` (W3C Subresource Integrity, section 3.5), as
`nix hash path --sri` prints them. Archive bytes are named by 64 hexadecimal digits, as publishers print them.
"""

import binascii
import hashlib
import os
import re
from typing import BinaryIO

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_SRI = re.compile(r"sha256-[A-Za-z0-9+/]{43}=\Z")
CHUNK = 1 << 20


def is_hex(text: str) -> bool:
    """Whether `text` is a SHA-256 digest in hexadecimal digits."""
    return _HEX.match(text) is not None


def is_sri(text: str) -> bool:
    """Whether `text` is a canonical `sha256-` digest: decoding and encoding gives the same text."""
    return _SRI.match(text) is not None and to_sri(to_hex(text)) == text


def to_sri(hex_digest: str) -> str:
    """The SRI spelling of a hexadecimal digest."""
    return "sha256-" + binascii.b2a_base64(bytes.fromhex(hex_digest), newline=False).decode("ascii")


def to_hex(sri: str) -> str:
    """The hexadecimal spelling of an SRI digest."""
    return binascii.a2b_base64(sri.removeprefix("sha256-")).hex()


def of_bytes(data: bytes) -> str:
    """SRI digest of `data`."""
    return to_sri(hashlib.sha256(data).hexdigest())


def of_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, in constant memory.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return of_stream(file)


def of_stream(stream: BinaryIO) -> str:
    """Hexadecimal SHA-256 of the rest of `stream`."""
    hasher = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
    return hasher.hexdigest()
