"""Sealed JSON: a small file with a check sum of itself.

    {"check":"<SHA-256 of the value's bytes, 64 hex>","value":<JSON>}

It is plain JSON for other tools; the value's bytes start and end at fixed places, so checking needs no second encoding.
Every flipped or missing byte is found.
"""

import hashlib
import json
import os
import stat
from typing import Any

from builder.base import textfile

_HEAD = b'{"check":"'
_MIDDLE = b'","value":'
_TAIL = b"}\n"
_LARGEST = 1 << 26  # bytes; a root of 100,000 keys has a tenth of it
_START = len(_HEAD) + 64 + len(_MIDDLE)


def seal(value: Any) -> bytes:
    body = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"".join((_HEAD, hashlib.sha256(body).hexdigest().encode("ascii"), _MIDDLE, body, _TAIL))


def unseal(data: bytes) -> Any:
    """The value.

    Raises:
        ValueError: a byte is not as it was written.
    """
    body = data[_START : -len(_TAIL)]
    check = hashlib.sha256(body).hexdigest().encode("ascii")
    if data[:_START] != _HEAD + check + _MIDDLE or not data.endswith(_TAIL):
        raise ValueError("the content does not match its check sum")
    return json.loads(body)


def read(path: str) -> Any:
    """The value of the file `path`.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is damaged.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe must not wait
    try:
        status = os.fstat(file)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)) or status.st_size > _LARGEST:
            raise ValueError("it is no small regular file")
        data = os.read(file, status.st_size)
    finally:
        os.close(file)
    return unseal(data)


def write(path: str, value: Any, scratch: str) -> None:
    """Write the file `scratch` and rename it to `path`; makes the directory of `path` at need.

    Not written through to the disk (no fsync): rename keeps others, and kill -9, from seeing a part, and after a loss
    of power the check sum tells.

    Raises:
        OSError: it cannot be written.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory, exist_ok=True)
    with textfile.replaced(path, scratch) as file:
        file.write(seal(value))
