"""Runs nginx in its sandbox until it ends or is told to: first gently, then at once."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from msgspec.structs import replace

from builder.base.errors import RefusedError
from builder.run.serving import tree
from builder.run.serving.listening import Listening
from builder.run.serving.tree import Process
from builder.sandbox import Outcome, Sandbox, SandboxSpec

_PERIOD = 0.05  # seconds between looks at a service that starts
_CHUNK = 1 << 16
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Service:
    """Runs one command. said: called with lines for people."""

    def __init__(self, sandbox: Sandbox, spec: SandboxSpec, said: Callable[[str], None]) -> None:
        self._sandbox = sandbox
        self._spec = spec
        self._said = said
        self._cancel = threading.Event()
        self._ended = threading.Event()
        self._asked = False
        self._outcome: Outcome | BaseException | None = None
        self.main: Process | None = None

    def run(self, out: int, errors: int, started: Callable[[Process], None]) -> Outcome:
        """Run to the end; what it writes goes to the descriptors `out` and `errors`. Call it from the main thread.

        SIGINT, SIGTERM and SIGHUP have the command end what it is at (SIGQUIT); the second time it is ended at once.
        started: called with the command's process when it runs. SandboxError, BuildError: as `Sandbox.run`.
        """
        with signals(self._interrupted), _forwarded(out) as to_out, _forwarded(errors) as to_errors:
            thread = threading.Thread(
                target=self._serve, args=(replace(self._spec, errors_fd=to_errors), to_out), name="service"
            )
            thread.start()
            try:
                self._wait_for_start(started)
                self._ended.wait()
            except BaseException:
                self._cancel.set()
                raise
            finally:
                thread.join()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    @property
    def asked(self) -> bool:
        """Whether it ended because it was told to."""
        return self._asked

    def _serve(self, spec: SandboxSpec, out: int) -> None:
        try:
            self._outcome = self._sandbox.run(spec, out, self._cancel)
        except BaseException as error:  # raised again where it is waited for
            self._outcome = error
        finally:
            self._ended.set()

    def _wait_for_start(self, started: Callable[[Process], None]) -> None:
        while not self._ended.wait(_PERIOD):
            self.main = tree.command_below(os.getpid())
            if self.main is not None:
                started(self.main)
                return

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked or self.main is None:
            self._cancel.set()
            return
        self._asked = True
        self._said("ending: requests that are under way are finished; once more ends it at once")
        self.main.send(signal.SIGQUIT)


@contextmanager
def signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals that end it. A hang-up that is ignored stays so, as nohup(1) has it."""
    wanted = [each for each in _ENDING if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


@contextmanager
def _forwarded(target: int) -> Iterator[int]:
    """A pipe whose content goes to `target`: a file that nginx opens again by name (/dev/stderr)
    must be its user's own, which a terminal or a socket of the caller is not always."""
    read, write = os.pipe()
    thread = threading.Thread(target=_forward, args=(read, target), name="forward", daemon=True)
    thread.start()
    try:
        yield write
    finally:
        os.close(write)
        thread.join()
        os.close(read)


def _forward(source: int, target: int) -> None:
    gone = False
    while data := os.read(source, _CHUNK):
        try:
            while data and not gone:
                data = data[os.write(target, data) :]
        except OSError:  # the reader has gone: the rest is thrown away, so that nginx does not wait
            gone = True


def require_free(listening: Listening) -> None:
    """Raises RefusedError when a port cannot be listened on."""
    for port in listening.ports():
        if port < _lowest_port():
            hint = "take a port above, like --port 8080:80"
            raise RefusedError(
                f"only root outside of the sandbox can listen on port {port}", where=listening.host, hint=hint
            )
        family = socket.AF_INET6 if ":" in listening.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listening.address, port))
            except OSError as error:
                hint = "end what listens there, or take another port: --port, --tls-port, --status-port"
                where = f"{listening.host}:{port}"
                raise RefusedError(f"nothing can listen there: {error.strerror}", where=where, hint=hint) from error


def _lowest_port() -> int:
    """The lowest port that a process without privileges can listen on (ip(7), ip_unprivileged_port_start)."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def wait_until_ready(listening: Listening, ended: Callable[[], bool], seconds: float) -> list[int]:
    """Wait until all ports answer; those that do not. ended: whether there is nothing more to wait for."""
    deadline = time.monotonic() + seconds
    silent = list(listening.ports())
    while silent and not ended() and time.monotonic() < deadline:
        silent = [port for port in silent if not _answers(listening.address, port)]
        if silent:
            time.sleep(_PERIOD)
    return silent


def _answers(address: str, port: int) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not listened on
    try:
        socket.create_connection((target, port), timeout=1).close()
    except OSError:
        return False
    return True
