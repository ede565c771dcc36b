"""Printing to stdout. Every `--json` document has one form, whose schemas `builder.cli.kinds` holds:

    {"version": 1, "kind": "list", "data": ...}          the answer of a verb
    {"version": 1, "kind": "error", "error": {...}}      the reason why it has none

`version` rises when a key goes or changes its meaning; a new key does not change it.
"""

import json
import os
import sys
from typing import Any

from builder.base.errors import BuilderError

VERSION = 1


def say(text: str) -> None:
    """Write one text, a line or more, to stdout."""
    sys.stdout.write(text + "\n")


def document(kind: str, data: Any) -> str:
    """The JSON document of a verb's data, which may hold structs."""
    return _text({"version": VERSION, "kind": kind, "data": data})


def say_json(kind: str, data: Any) -> None:
    """Write the JSON document of a verb's data to stdout."""
    say(document(kind, data))


def shown_path(path: str) -> str:
    """A path as the user types it here: relative when it lies below the current directory."""
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def error_document(error: BuilderError) -> str:
    """The JSON document of an error."""
    return _text({"version": VERSION, "kind": "error", "error": error.as_dict()})


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    from msgspec.structs import asdict  # noqa: PLC0415

    return asdict(value)
