"""Some threads that work on a list, and end at once when the user interrupts.

They are daemons on purpose: one that waits for a silent server must not keep the program from ending, and nothing it
holds needs it to end well (the store's docstring says what `kill -9` can do: nothing).
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
    """What `work` gives for each item, in their order. The first exception ends all, and is raised here.

    cancel is set, and `stop` called, when the work is called off; `work` then raises Cancelled soon.
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
