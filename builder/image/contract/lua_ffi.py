"""Which C functions a Lua module declares and uses through LuaJIT's FFI.

Names are followed within one file, by name: `local ffi = require "ffi"`, `local C = ffi.C`, `local lib =
ffi.load("x")`, `local cdef = ffi.cdef`. Names built at run time (a name in a variable, a declaration put
together from pieces) are not seen; uses inside `pcall` are, because the rule is for fallbacks that go unnoticed.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from builder.image.contract import cdef
from builder.image.contract.lua_tokens import NAME, TEXT, Token, tokens

ANY = ""  # a library whose name is not a literal
_GLOBAL = None  # ffi.C


class Use(Struct, frozen=True, kw_only=True):
    """`name` is used at `line`: of ffi.C (library None), or of what `ffi.load(library)` gave."""

    name: str
    line: int
    library: str | None


class Module(Struct, frozen=True, kw_only=True):
    """The declarations and uses of one file. symbols, constants: as in cdef.Declared.
    loads: line of each `ffi.load` of a literal name."""

    symbols: dict[str, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    uses: list[Use] = field(default_factory=list)
    loads: dict[str, int] = field(default_factory=dict)


def read(source: bytes) -> Module:
    """The declarations and uses of a Lua file."""
    reader = _Reader(list(tokens(source)))
    for at in range(len(reader.tokens)):
        reader.assignment(at)
    for at in range(len(reader.tokens)):
        reader.step(at)
    return reader.module


class _Reader:
    """Looks at the tokens twice: first which names stand for FFI's things, then what is done with them."""

    def __init__(self, found: list[Token]) -> None:
        self.tokens = found
        self.module = Module()
        self._ffi: set[str] = set()
        self._cdef: set[str] = set()
        self._spaces: dict[str, str | None] = {}  # name -> library, or None for ffi.C

    def _text(self, at: int) -> str:
        """A mark or name; strings are none."""
        return self.tokens[at].text if 0 <= at < len(self.tokens) and self.tokens[at].kind != TEXT else ""

    def _literal(self, at: int) -> str | None:
        """The string at `at`, with or without a bracket before it."""
        at += self._text(at) == "("
        return self.tokens[at].text if at < len(self.tokens) and self.tokens[at].kind == TEXT else None

    def _is_ffi(self, at: int) -> int:
        """The index after an expression that is the FFI module; `at` when there is none."""
        if self._text(at) == "require" and self._literal(at + 1) == "ffi":
            return at + (4 if self._text(at + 1) == "(" else 2)
        return at + 1 if self._text(at) in self._ffi and self._text(at - 1) not in {".", ":"} else at

    def _member(self, at: int) -> tuple[str, int]:
        """(name, index after it) of `ffi.name` at `at`; ("", at) for anything else."""
        after = self._is_ffi(at)
        if after > at and self._text(after) == ".":
            return self._text(after + 1), after + 2
        return "", at

    def assignment(self, at: int) -> None:
        """Note what names get in `a, b = x, y` with its sign at `at`."""
        if self._text(at) != "=":
            return
        names = list(self._names_before(at))
        for name, start in zip(reversed(names), self._values_after(at, len(names)), strict=False):
            self._assign(name, start)

    def _names_before(self, at: int) -> Iterator[str]:
        """Plain names left of a sign, the last one first; a field (`_M.x`) ends them."""
        while at > 0 and self.tokens[at - 1].kind == NAME and self._text(at - 2) not in {".", ":"}:
            yield self.tokens[at - 1].text
            at -= 2
            if self._text(at) != ",":
                return

    def _values_after(self, at: int, most: int) -> Iterator[int]:
        """Where each of up to `most` expressions right of a sign begins."""
        yield at + 1
        depth = 0
        while most > 1 and (at := at + 1) < len(self.tokens):
            text = self._text(at)
            depth += (text in {"(", "{", "["}) - (text in {")", "}", "]"})
            if text == "," and depth == 0:
                most -= 1
                yield at + 1
            elif depth < 0 or text in {"=", "local", "function", "return"}:
                return

    def _assign(self, name: str, at: int) -> None:
        member, after = self._member(at)
        if member == "C" and self._text(after) not in {".", "["}:
            self._spaces[name] = _GLOBAL
        elif member == "load":
            library = self._literal(after)
            self._spaces[name] = ANY if library is None else library
        elif member == "cdef" and not self._is_call(after):
            self._cdef.add(name)
        elif not member and self._is_ffi(at) > at:
            self._ffi.add(name)

    def _is_call(self, at: int) -> bool:
        return self._text(at) == "(" or (at < len(self.tokens) and self.tokens[at].kind == TEXT)

    def step(self, at: int) -> None:
        """Note the declaration, load or use that begins at `at`."""
        if self.tokens[at].kind != NAME or self._text(at - 1) in {".", ":"}:
            return
        member, after = self._member(at)
        if member == "cdef":
            self._declare(after)
        elif member == "load" and (library := self._literal(after)) is not None:
            self.module.loads.setdefault(library, self.tokens[at].line)
        elif member == "C":
            self._use(after, _GLOBAL)
        elif self.tokens[at].text in self._cdef:
            self._declare(at + 1)
        elif self.tokens[at].text in self._spaces:
            self._use(at + 1, self._spaces[self.tokens[at].text])

    def _declare(self, at: int) -> None:
        """Read the strings of one call: `cdef[[...]]`, `cdef("..." .. x)`."""
        if not self._is_call(at):
            return
        pieces = list(self._strings(at))
        declared = cdef.parse("\n".join(pieces))
        self.module.symbols.update(declared.symbols)
        self.module.constants.update(declared.constants)

    def _strings(self, at: int) -> Iterator[str]:
        if self.tokens[at].kind == TEXT:
            yield self.tokens[at].text
            return
        depth = 0
        while at < len(self.tokens):
            text = self._text(at)
            depth += (text == "(") - (text == ")")
            if depth == 0:
                return
            if self.tokens[at].kind == TEXT:
                yield self.tokens[at].text
            at += 1

    def _use(self, at: int, library: str | None) -> None:
        """`.name` or `["name"]` at `at`."""
        name: str | None = None
        if self._text(at) == "." and at + 1 < len(self.tokens):
            name = self._text(at + 1)
        elif self._text(at) == "[":
            name = self._literal(at + 1) if self._text(at + 2) == "]" else None
        if name:
            self.module.uses.append(Use(name=name, line=self.tokens[at].line, library=library))


def merged(modules: Sequence[Module]) -> tuple[dict[str, str], set[str]]:
    """Symbols and constants of all modules: FFI's declarations are global, whichever module makes them."""
    symbols: dict[str, str] = {}
    constants: set[str] = set()
    for module in modules:
        symbols.update(module.symbols)
        constants.update(module.constants)
    return symbols, constants
