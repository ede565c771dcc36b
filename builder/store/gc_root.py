"""A garbage collection root: what gc must keep, and for which project."""

import hashlib
from typing import Any

from msgspec import Struct

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.@")
_LONGEST = 200  # a file's name has at most 255 bytes on all usual file systems


class Root(Struct, frozen=True, kw_only=True):
    """name: any text, like a checkout's path and an image. trees: SRI digests. keys: records with all their trees.
    files: SHA-256 of archives. owner: a path; once it does not exist any more, gc drops the root."""

    name: str
    trees: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    owner: str = ""


def file_name(name: str) -> str:
    """The name of a root's file, other characters as %XX of their bytes: different names give different files."""
    raw = name.encode("utf-8", "surrogateescape")
    text = "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02X}" for b in raw)
    if len(text) <= _LONGEST:
        return text + ".json"
    return text[: _LONGEST - 33] + "~" + hashlib.sha256(raw).hexdigest()[:32] + ".json"


def to_dict(root: Root) -> dict[str, Any]:
    lists = {"trees": sorted(root.trees), "keys": sorted(root.keys), "files": sorted(root.files)}
    return {"name": root.name, "owner": root.owner, **lists}


def from_dict(value: Any) -> Root:
    """Raises ValueError for the form of another version."""
    try:
        return Root(
            name=value["name"],
            owner=value["owner"],
            trees=tuple(value["trees"]),
            keys=tuple(value["keys"]),
            files=tuple(value["files"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("it has the form of another version of builder") from error
