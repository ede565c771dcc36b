"""The declarations in a text given to `ffi.cdef`: functions, variables and constants.

Source: LuaJIT 2.1, "FFI Semantics", C language support: declarations only, no preprocessor, `//` comments, GCC's
attributes and `__asm__("name")`. The text is taken apart just far enough to know names.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

_WORD = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|[A-Za-z_$][A-Za-z0-9_$]*|[0-9][A-Za-z0-9.]*|\S', re.DOTALL)
_NAME = re.compile(r"[A-Za-z_$]")
_CLOSING = {"(": ")", "{": "}", "[": "]"}
_ATTRIBUTES = {"__attribute__", "__attribute", "__declspec", "__alignas"}
_ASM = {"__asm__", "__asm", "asm"}
_TAGGED = {"struct", "union", "enum"}


class Declared(Struct, frozen=True, kw_only=True):
    """symbols: name in Lua -> symbol of the binary. constants: names that need no symbol."""

    symbols: dict[str, str]
    constants: set[str]


def parse(text: str) -> Declared:
    declared = Declared(symbols={}, constants=set())
    for statement in _statements([each for each in _WORD.findall(text) if not each.startswith(("//", "/*"))]):
        declared.constants.update(_enumerators(statement))
        if not statement or statement[0] == "typedef":
            continue
        plain, symbol = _plain(statement)
        for name in _declarators(plain):
            if "static" in plain:
                declared.constants.add(name)
            else:
                declared.symbols[name] = symbol or name
    return declared


def _statements(words: Sequence[str]) -> Iterator[list[str]]:
    """Parted at semicolons outside of brackets."""
    depth = 0
    current: list[str] = []
    for word in words:
        depth += (word in _CLOSING) - (word in _CLOSING.values())
        if word == ";" and depth == 0:
            yield current
            current = []
        else:
            current.append(word)
    yield current


def _end(words: Sequence[str], start: int) -> int:
    """The index after the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(words)):
        depth += (words[at] in _CLOSING) - (words[at] in _CLOSING.values())
        if depth == 0:
            return at + 1
    return len(words)


def _enumerators(statement: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(statement):
        if word == "enum":
            start = next((i for i in range(at + 1, min(at + 3, len(statement))) if statement[i] == "{"), None)
            if start is not None:
                body = statement[start + 1 : _end(statement, start) - 1]
                yield from (each[0] for each in _parted(body) if each)


def _parted(words: Sequence[str]) -> Iterator[list[str]]:
    """Parted at commas outside of brackets."""
    depth = 0
    current: list[str] = []
    for word in words:
        depth += (word in _CLOSING) - (word in _CLOSING.values())
        if word == "," and depth == 0:
            yield current
            current = []
        else:
            current.append(word)
    yield current


def _plain(statement: Sequence[str]) -> tuple[list[str], str]:
    """A declaration without bodies and attributes, and the symbol that `__asm__` names ("" for none)."""
    found: list[str] = []
    symbol = ""
    at = 0
    while at < len(statement):
        word = statement[at]
        if word in _ATTRIBUTES | _ASM:
            end = _end(statement, at + 1)
            if word in _ASM:
                symbol = "".join(each.strip('"') for each in statement[at + 2 : end - 1])
            at = end
        elif word == "{":
            at = _end(statement, at)
        else:
            found.append(word)
            at += 1
    return found, symbol


def _declarators(words: Sequence[str]) -> Iterator[str]:
    """Names that a declaration without bodies gives to functions and variables."""
    if not words or (words[0] in _TAGGED and len(words) <= 2):
        return  # "struct x" alone declares no name that C code could use
    for each in _parted(words):
        name = _name(each)
        if name:
            yield name


def _name(declarator: Sequence[str]) -> str:
    """The name in `int f(void)`, `int (f)(int)`, `int (*f)(int)`, `char *f[3]`, `int f = 1`; "" when there is none."""
    for at, word in enumerate(declarator):
        if word == "(":
            inner = [each for each in declarator[at + 1 : _end(declarator, at) - 1] if _NAME.match(each)]
            bracketed = declarator[at + 1 : at + 2] == ["*"] or list(declarator[at + 2 : at + 4]) == [")", "("]
            if bracketed or at == 0:
                return inner[0] if inner else ""
            return declarator[at - 1] if _NAME.match(declarator[at - 1]) else ""
        if word in {"[", "=", ":"}:
            return declarator[at - 1] if at and _NAME.match(declarator[at - 1]) else ""
    return declarator[-1] if declarator and _NAME.match(declarator[-1]) else ""
