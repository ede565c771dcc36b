"""Directories nested deeper than Python's stack; pytest could not remove them, so a block does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.store.remove import remove_tree

DEPTH = 1200


@contextmanager
def nested(place: Path, *others: Path) -> Iterator[Path]:
    """The lowest of DEPTH directories within `place`; `place` and `others` are removed at the end."""
    lowest = place.joinpath(*["d"] * DEPTH)
    path = str(place)
    try:
        for _ in range(DEPTH):
            os.makedirs(path, exist_ok=True)
            path += "/d"
        os.mkdir(path)
        yield lowest
    finally:
        for each in (place, *others):
            remove_tree(str(each))
