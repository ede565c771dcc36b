"""Progress as lines, for a pipe or a log."""

import threading
import time
from collections.abc import Callable
from typing import TextIO

from builder.progress.clean import clean_lines
from builder.progress.reporter import NullReporter, Reporter, Task, elapsed, finish, progress

HEARTBEAT = 15.0  # seconds of silence after which a running task says that it still runs


class Lenient:
    """A text stream whose writes cannot fail: characters outside its encoding become "?", and a stream that is gone
    (closed pipe, full disk) is written to no more. Progress is never worth a build."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False
        self.encoding = getattr(stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        try:
            if not self._gone:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding, "replace"))
        except (OSError, ValueError):
            self._gone = True
        return len(text)

    def flush(self) -> None:
        try:
            if not self._gone:
                self._stream.flush()
        except (OSError, ValueError):
            self._gone = True

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class QuietReporter(NullReporter):
    """Prints warnings alone."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = Lenient(stream)

    def warn(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"warning: {clean_lines(text)}\n")
            self._stream.flush()


class PlainReporter(Reporter):
    """Lines for a pipe or a log. A thread, started by the first task, gives the signs of life."""

    def __init__(
        self, stream: TextIO, *, now: Callable[[], float] = time.monotonic, heartbeat: float = HEARTBEAT,
        verbose: bool = False
    ) -> None:
        super().__init__(now=now, verbose=verbose)
        self._stream = Lenient(stream)
        self._heartbeat = heartbeat
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Write one line for each task that has been silent for `heartbeat` seconds."""
        with self._lock:
            for task in self._tasks:
                if self.now() - task.spoke >= self._heartbeat:
                    task.spoke = self.now()
                    self._on_text(f"{task.title}: {', '.join(progress(task))}")

    def close(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _on_text(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def _on_start(self, task: Task) -> None:
        if not task.brief or self.verbose:
            self._on_text(task.title + self._place(task.kind))
        if self._thread is None:
            self._stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(self._stop,), name="heartbeat", daemon=True)
            thread.start()
            self._thread = thread  # one that could not start is not waited for

    def _on_finish(self, task: Task) -> None:
        if not task.brief or self.verbose:
            self._on_text(f"{task.title}: {finish(task)}")

    def _place(self, kind: str) -> str:
        """Which of all it is, like " (3 of 27, about 2 min 10 s left)"."""
        goal = self._goals.get(kind)
        if goal is None or goal.total < 2:
            return ""
        left = goal.time_left(elapsed(self._tasks))
        return f" ({goal.begun} of {goal.total}{', ' * bool(left)}{left})"

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._heartbeat / 5):
            self.beat()
