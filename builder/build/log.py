"""The log of a sandbox: its output goes through a pipe, which is read here and written to a file.

So a build holds no descriptor of a file of ours (fchmod(2) would make it setuid), and can neither overwrite its earlier
lines nor write more than there is room for. A log has at most 33 MiB: the middle is left out, and the log says so. No
line is held in memory, however long it is.
"""

import os
import queue
import threading
import time
from contextlib import suppress
from types import TracebackType

from builder.progress.reporter import Task

HEAD, TAIL = 32 << 20, 1 << 20  # bytes of the beginning and of the end that a log keeps
_CHUNK = 1 << 16
_PERIOD = 0.5  # seconds between lines that are shown
_WAITING = 1000  # lines that wait to be shown, at which the build has to wait, too
_PAUSE = 0.01  # seconds until they are looked at again
_STEP = b"\n==> "  # announces a step, see `Derivation.script`
_WINDOW = 4096  # bytes of the end that are looked at for the newest line and step
_AFTER = 1 << 20  # bytes: no pipe holds more, so all that was written before the end is in these


class Log:
    """Context manager around a run, which `sandbox.watch` lets it follow. `task` is shown the newest line twice a
    second, or with `every` each line as it comes.

    fd: for the sandbox to write to. step: the last step that was announced.
    """

    def __init__(self, path: str, task: Task, *, every: bool = False) -> None:
        self.step = "start"
        self._every = every
        self.fd = -1
        self._path, self._task = path, task
        self._size = 0
        self._tail = bytearray()
        self._window = b"\n"
        self._fresh = False
        self._shown_at = 0.0
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # to show; None ends it

    def __enter__(self) -> "Log":
        with suppress(FileNotFoundError):
            os.unlink(self._path)  # the log of an earlier try
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._read, self.fd = os.pipe()
        os.set_blocking(self._read, False)
        if self._every:
            self._shower = threading.Thread(target=self._show, name="log", daemon=True)
            self._shower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        left = _AFTER  # a process elsewhere may hold the pipe open, and write
        while left > 0 and (chunk := self._next()):
            self._take(chunk)
            left -= len(chunk)
        self._finish()
        if self._every:
            self._lines.put(None)
            self._shower.join()
        os.close(self._read)
        os.close(self._file)

    def fileno(self) -> int:
        """The pipe's end that `look` reads."""
        return self._read

    def look(self) -> None:
        """Read the bytes that are there, or a part of them when they are many; none while lines wait to be shown.

        It never waits for the terminal: this thread is the one that enforces the limits.
        """
        if self._lines.qsize() > _WAITING:
            time.sleep(_PAUSE)
            return
        if chunk := self._next():
            self._take(chunk)
            self._fresh = True
        if self._fresh and not self._every and time.monotonic() - self._shown_at >= _PERIOD:
            self._task.line(self._window.rstrip(b"\n").rpartition(b"\n")[2])
            self._shown_at, self._fresh = time.monotonic(), False

    def _next(self) -> bytes | None:
        try:
            return os.read(self._read, _CHUNK)
        except BlockingIOError:  # a build that opens its own output to read from was faster
            return None

    def _take(self, chunk: bytes) -> None:
        room = max(0, HEAD - self._size)
        self._size += len(chunk)
        if room:
            self._write(chunk[:room])
        self._tail += chunk[room:]
        del self._tail[:-TAIL]
        window = self._window + chunk
        if self._every:
            self._show_each(chunk)
        at = window.rfind(_STEP)
        if at >= 0:
            name = window[at + len(_STEP) : at + _WINDOW].partition(b"\n")[0]
            self.step = name.decode("utf-8", "replace").strip()
        self._window = window[-_WINDOW:]

    def _show_each(self, chunk: bytes) -> None:
        """Show the lines that this piece ends; of a long one the end."""
        first, *more = chunk.split(b"\n")
        if more:
            self._lines.put(self._window.rpartition(b"\n")[2] + first)
        for line in more[:-1]:
            self._lines.put(line)

    def _show(self) -> None:
        while (line := self._lines.get()) is not None:
            self._task.line(line)

    def _finish(self) -> None:
        left_out = self._size - HEAD - len(self._tail)
        if left_out > 0:
            self._write(b"\n[builder: the log is too long; %d bytes are left out here]\n" % left_out)
        self._write(bytes(self._tail))

    def _write(self, data: bytes) -> None:
        """A disk that is full must not stop the reading; the build has no room either, and fails for that."""
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            pass
