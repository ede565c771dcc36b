"""A pool of threads that work on a list, and end at once when the user interrupts.

The threads are daemons on purpose: one that waits for a name server or a silent disk must not keep the program from
ending, and a half-made file harms nothing (the store's docstring describes `kill -9`). The executors of
`concurrent.futures` join their threads when the interpreter exits.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from builder.fetch.unpack import Cancelled

_GRACE = 2.0  # seconds that interrupted threads get to clean up

T = TypeVar("T")
R = TypeVar("R")


def run(
    work: Callable[[T], R], items: Sequence[T], *, jobs: int, cancel: threading.Event, stop: Callable[[], object]
) -> list[R]:
    """The result of `work` for each item, in their order. Whatever `work` raises first ends the run and is raised here.

    The pool sets `cancel` and calls `stop` when it ends early; `work` then raises Cancelled soon.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(items)):
        todo.put(number)
    done: dict[int, R] = {}
    failed: list[BaseException] = []

    def worker() -> None:
        try:
            while not cancel.is_set():
                number = todo.get_nowait()
                done[number] = work(items[number])
        except (queue.Empty, Cancelled):
            pass
        except BaseException as error:  # it is raised below, in the caller's thread
            failed.append(error)
            cancel.set()
            stop()

    threads = [threading.Thread(target=worker, name=f"fetch-{n}", daemon=True) for n in range(min(jobs, len(items)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        cancel.set()
        stop()
        for thread in threads:
            if thread.is_alive():
                thread.join(_GRACE / len(threads))
        raise
    if failed:
        raise failed[0]
    return [done[number] for number in range(len(items))]
