"""Places of the build that a file names: text that ends up in programs through __FILE__,
run paths, `nginx -V`, debug data."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

_TEXT = re.compile(rb"[\x20-\x7e]*")
_BEFORE, _AFTER = 24, 72  # bytes of the text around a place that are shown
_NAME_END = re.compile(rb"(?:[A-Za-z0-9_.~-]|:/)\Z")  # "usr/build/", or the host of a URL
_OPTION = re.compile(rb"(?:\A|[^A-Za-z0-9])-[BILl]\Z")  # -I/build/include


class Trace(Struct, frozen=True, kw_only=True):
    """`needle` stands in the file `path` `count` times; `text` is the first of them with its surroundings."""

    path: str
    needle: str
    text: str
    count: int


class Search:
    """Looks for absolute directories ("/build/") in bytes."""

    def __init__(self, needles: Iterable[str]) -> None:
        self._needles = [(each, each.encode()) for each in needles]

    def find(self, path: str, data: bytes) -> Iterator[Trace]:
        for name, needle in self._needles:
            if needle in data:  # by far the fastest test, and nearly always False
                places = list(_places(data, needle))
                if places:
                    yield Trace(path=path, needle=name, text=_surroundings(data, places[0]), count=len(places))


def _places(data: bytes, needle: bytes) -> Iterator[int]:
    """Where an absolute path begins with `needle`; after a name it would be "usr/build/"."""
    at = data.find(needle)
    while at >= 0:
        if not _within_path(data, at):
            yield at
        at = data.find(needle, at + 1)


def _within_path(data: bytes, at: int) -> bool:
    before = data[max(0, at - 3) : at]
    return bool(_NAME_END.search(before)) and not _OPTION.search(before)


def _surroundings(data: bytes, at: int) -> str:
    before = data[max(0, at - _BEFORE) : at]
    start = len(before) - len(_TEXT.match(before[::-1]).group())  # type: ignore[union-attr]  # matches always
    after = _TEXT.match(data, at, at + _AFTER)
    assert after, "the pattern matches the empty text"
    return (before[start:] + after.group()).decode("ascii")
