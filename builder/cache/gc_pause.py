"""Python's cyclic garbage collector, paused while many long-lived values are made.

Recipes, locks and plans are trees of values without cycles: each collection walks all of them and finds nothing, which
costs a third of the time that ten thousand recipes take.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collections inside. Afterwards they go on, but pass over all objects made by then (freed by their last
    reference)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()
