"""Shows the newest line of running builds' logs, or every line: one thread reads all of them twice a second."""

import os
import threading
from contextlib import suppress
from types import TracebackType

from builder.reporter import Task

_PERIOD = 0.5  # seconds
_LONGEST = 65536  # bytes of a line; more of it count as another one
_END = 4096  # bytes of a log that are looked at


class Tail:
    """Context manager; `follow` and `drop` may be called from any thread. every: show each line, not only the newest."""

    def __init__(self, *, every: bool = False) -> None:
        self._every = every
        self._logs: dict[str, Task] = {}
        self._shown: dict[str, int] = {}  # with `every`: how many bytes of each log
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
            self._shown[log] = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
                self._thread.start()

    def drop(self, log: str) -> None:
        with self._lock:
            task = self._logs.pop(log, None)
            if task is not None and self._every:
                self._show_new(log, task)
                del self._shown[log]

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            with self._lock:
                for log, task in self._logs.items():
                    if self._every:
                        self._show_new(log, task)
                    elif line := last_line(log):
                        task.line(line)

    def _show_new(self, log: str, task: Task) -> None:
        """Show the whole lines that have come since the last time."""
        with suppress(OSError), open(log, "rb") as file:
            file.seek(self._shown[log])
            while (line := file.readline(_LONGEST)) and (line.endswith(b"\n") or len(line) == _LONGEST):
                self._shown[log] += len(line)
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
