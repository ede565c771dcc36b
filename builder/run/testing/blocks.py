"""The file format of Test::Nginx (Test::Base): a Perl program, the line `__DATA__`, and blocks. Pure.

    use Test::Nginx::Socket;
    plan tests => repeat_each() * blocks() * 3;
    run_tests();
    __DATA__

    === TEST 1: the title is a sentence
    --- config
    ...
"""

import re
from collections.abc import Callable

from msgspec import Struct

_DATA = re.compile(r"^__(?:DATA|END)__[ \t]*\n", re.MULTILINE)
_BLOCK = re.compile(r"^===[ \t]*(.*?)[ \t]*$", re.MULTILINE)


class BlockFile(Struct, frozen=True, kw_only=True):
    """A file taken apart. prologue: up to the first block. blocks: (title, the whole text of the block)."""

    prologue: str
    blocks: tuple[tuple[str, str], ...]

    def only(self, wanted: Callable[[str], object]) -> "BlockFile":
        """The file with the blocks alone whose title is wanted. Nothing of the program above them changes."""
        return BlockFile(prologue=self.prologue, blocks=tuple(each for each in self.blocks if wanted(each[0])))

    def text(self) -> str:
        return self.prologue + "".join(text for _, text in self.blocks)


def parse(text: str) -> BlockFile:
    """Take a file apart. One without `__DATA__` has no blocks."""
    data = _DATA.search(text)
    starts = list(_BLOCK.finditer(text, data.end())) if data else []
    ends = [each.start() for each in starts[1:]] + [len(text)]
    blocks = tuple((each[1], text[each.start() : end]) for each, end in zip(starts, ends, strict=False))
    return BlockFile(prologue=text[: starts[0].start()] if starts else text, blocks=blocks)
