"""Lua source as tokens, as far as looking for names needs it.

Source: Lua 5.1 Reference Manual, section 2.1, with LuaJIT's additions to strings ("\\z",
"\\x41", "\\u{41}") and numbers.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

NAME, TEXT, MARK = "name", "text", "mark"


class Token(NamedTuple):
    """kind: NAME, TEXT (a string's content, escapes as written) or MARK; numbers are left out. line: from 1."""

    kind: str
    text: str
    line: int


_PATTERN = re.compile(
    r"""
    --\[(?P<c>=*)\[.*?(?:\](?P=c)\]|\Z)         # long comment
  | --[^\n]*                                    # comment
  | \[(?P<l>=*)\[\r?\n?(?P<long>.*?)\](?P=l)\]  # long string; a line break at its beginning does not count
  | "(?P<double>(?:\\z\s*|\\.|[^"\\\n])*)"
  | '(?P<single>(?:\\z\s*|\\.|[^'\\\n])*)'
  | (?P<name>[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)
  | (?P<number>\.?[0-9](?:[eEpP][+-]|[0-9A-Za-z.])*)
  | (?P<mark>\.\.\.|\.\.|[=~<>]=|\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {"long": TEXT, "double": TEXT, "single": TEXT, "name": NAME, "mark": MARK}


def tokens(source: bytes) -> Iterator[Token]:
    """Everything but comments, numbers and white space."""
    text = source.decode("latin-1")
    line = 1
    at = 0
    for found in _PATTERN.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        kind = _KINDS.get(found.lastgroup or "")
        if kind:
            yield Token(kind, found.group(found.lastgroup or 0), line)
