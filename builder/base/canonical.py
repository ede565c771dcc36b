"""Canonical JSON: one value, one spelling. Keys of derivations and digests of recipes are SHA-256 of these bytes.

UTF-8, keys sorted by code point, no white space, no floats in the callers' values (RFC 8785 without its number rules,
which integers and strings do not need).
"""

import hashlib
import json
from typing import Any

from builder.base import digest


def encode(value: Any) -> bytes:
    """The canonical bytes of a value made of dict (string keys), list, tuple, str, int, bool and None."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def key(value: Any) -> str:
    """`sha256-<base64>` of the canonical bytes."""
    return digest.to_sri(hashlib.sha256(encode(value)).hexdigest())
