"""Hosts that failed are not asked again in the same run, so that a dead one costs its time limit once."""

import queue
import socket
import threading

from msgspec import Struct

from builder.fetch.wanted import Unavailable

_LEAST = 1.0  # seconds for each address of a host that has many


class Patience(Struct, frozen=True):
    """Seconds: to connect, to wait for the next bytes, and to pause before the second try (then doubled)."""

    connect: float = 5.0
    read: float = 60.0
    pause: float = 0.5


USUAL = Patience()


class Hosts:
    """Remembers failures by "host:port". limit: seconds to find a host and to connect to it. Safe for threads."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._failed: dict[str, str] = {}
        self._limits: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, host: str) -> None:
        """Raises Unavailable if the host failed before."""
        with self._lock:
            if host in self._failed:
                raise Unavailable(f"not asked again: {self._failed[host]}")

    def failed(self, host: str, reason: str) -> None:
        with self._lock:
            self._failed.setdefault(host, reason)

    def connect_limit(self, host: str, port: int) -> float:
        """Seconds for one connection attempt. A client tries all addresses of a host in turn, each with this limit.

        Raises:
            Unavailable: the name has no address, or none was told in time (the resolver has no time limit of its own).
        """
        with self._lock:
            known = self._limits.get(host)
        if known is None:
            known = max(min(_LEAST, self.limit), self.limit / self._addresses(host, port))
            with self._lock:
                self._limits[host] = known
        return known

    def _addresses(self, host: str, port: int) -> int:
        answer: queue.SimpleQueue[int | str] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answer.put(len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)) or 1)
            except (OSError, UnicodeError) as error:
                answer.put(getattr(error, "strerror", None) or str(error))

        threading.Thread(target=look_up, name="resolver", daemon=True).start()
        try:
            found = answer.get(timeout=self.limit)
        except queue.Empty:
            found = f"no answer within {self.limit:g} s"
        if isinstance(found, str):
            raise Unavailable(f"could not find the host '{host}': {found}")
        return found
