"""Shows the newest line of running builds' logs: one thread reads the ends of all of them twice a second."""

import os
import threading
from types import TracebackType

from builder.reporter import Task

_PERIOD = 0.5  # seconds
_END = 4096  # bytes of a log that are looked at


class Tail:
    """Context manager; `follow` and `drop` may be called from any thread."""

    def __init__(self) -> None:
        self._logs: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Tail":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def follow(self, log: str, task: Task) -> None:
        """Show lines of `log` as those of `task` until it is dropped."""
        with self._lock:
            self._logs[log] = task
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
                self._thread.start()

    def drop(self, log: str) -> None:
        with self._lock:
            self._logs.pop(log, None)

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            with self._lock:
                logs = list(self._logs.items())
            for log, task in logs:
                if line := last_line(log):
                    task.line(line)


def last_line(log: str) -> bytes:
    """The last whole line of a file, or nothing."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            lines = file.read().rstrip(b"\n").rsplit(b"\n", 1)
    except OSError:
        return b""
    return lines[-1]
