"""One request and its answer on the wire: which addresses it may reach, and when it ends, however the server behaves.

A time limit of a socket is for one read alone. A server that sends a byte now and then, in a header, in the extension
of a chunk, in trailers, or as one "100 Continue" after another, never runs into it. So a thread watches each call and
shuts the socket when it is late, which wakes every read.

A redirect must not use the builder to reach hosts that its server cannot: from farther addresses to this machine or to
its link, and over plain http to a private network. (Over https the certificate proves that the right server answers.)
The address that counts is the one of the connection, after name resolution.
"""

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import requests.adapters
import urllib3
from msgspec import Struct
from urllib3.connection import HTTPConnection, HTTPSConnection

from builder.fetch.wanted import Unavailable


class Reach(IntEnum):
    """How far an address is."""

    LOOPBACK = 1
    LINK = 2
    PRIVATE = 3
    PUBLIC = 4


_NAMES = {
    Reach.LOOPBACK: "this machine", Reach.LINK: "its local link", Reach.PRIVATE: "a private network",
    Reach.PUBLIC: "the internet",
}  # fmt: skip
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last four bytes
_now: ContextVar["Call"] = ContextVar("call")


def reach(host: str) -> Reach | None:
    """How far an address is; None for a name, which could be anywhere."""
    if host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost"):
        return Reach.LOOPBACK
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        address = inner or address
    if address.is_loopback or address.is_unspecified:
        return Reach.LOOPBACK
    if address.is_link_local:
        return Reach.LINK
    return Reach.PUBLIC if address.is_global and not address.is_multicast else Reach.PRIVATE


class Pace(Struct, frozen=True):
    """The least speed of a body: `least` bytes a second over each `every` seconds, and all within `most` seconds."""

    least: int
    every: float
    most: float


def silence(seconds: float) -> str:
    """The message for a server that sent nothing of use for so many seconds."""
    return f"no answer within {seconds:g} s"


class Call:
    """One request, as a context. farthest: of the addresses that led here by redirects; None where none did."""

    def __init__(self, farthest: Reach | None = None) -> None:
        self.late = ""  # why it was ended, if it was
        self.peer = Reach.PUBLIC  # how far the other side is; a proxy's other side is not known
        self._farthest = farthest
        self._line: socket.socket | None = None
        self._hung_up = False
        self._lock = threading.Lock()

    def allow(self, host: str, *, secure: bool) -> None:
        """Check the address of a request; names are checked again by their addresses, on connecting.

        Raises:
            Unavailable: a redirect must not lead there.
        """
        far = reach(host)
        if far is None or self._farthest is None or far >= self._farthest:
            return
        if far < Reach.PRIVATE or not secure:
            raise Unavailable(f"refused: a redirect from {_NAMES[self._farthest]} to {_NAMES[far]} ({host})")

    def use(self, line: socket.socket, *, secure: bool, proxied: bool) -> None:
        """Take this connection, before anything is sent over it.

        Raises:
            Unavailable: a redirect must not lead to its other side.
        """
        copy = socket.socket(fileno=os.dup(line.fileno()))  # TLS and http.client close and detach theirs
        with self._lock:
            old, self._line = self._line, copy
        if old is not None:
            old.close()
        if self._hung_up:
            self.hang_up()
        if not proxied:
            host = str(copy.getpeername()[0])
            self.allow(host, secure=secure)
            self.peer = reach(host) or Reach.PUBLIC

    def hang_up(self) -> None:
        """End the request now; any thread may do so."""
        with self._lock:
            self._hung_up = True
            if self._line is not None:
                with suppress(OSError):  # the other side was faster
                    self._line.shutdown(socket.SHUT_RDWR)

    def within(self, seconds: float, said: str) -> AbstractContextManager[None]:
        """Hang up when the block takes longer, and say so in `late`."""
        return self._watched(lambda: seconds, lambda: said)

    def flowing(self, size: Callable[[], int], pace: "Pace") -> AbstractContextManager[None]:
        """Hang up when `size` grows too slowly for `pace`, and say so in `late`."""
        end, seen = time.monotonic() + pace.most, size()

        def check() -> str:
            nonlocal seen
            before, seen = seen, size()
            if time.monotonic() >= end:
                return f"the file was not here within {pace.most:.0f} s"
            if seen - before >= pace.least * pace.every:
                return ""
            return f"it is slower than {pace.least} bytes a second" if seen > before else silence(pace.every)

        return self._watched(lambda: min(pace.every, max(0.0, end - time.monotonic())), check)

    @contextmanager
    def _watched(self, pause: Callable[[], float], verdict: Callable[[], str]) -> Iterator[None]:
        """Ask for a verdict after each pause while the block runs, and hang up when it is not ""."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(pause()):
                if said := verdict():
                    self.late = said
                    self.hang_up()
                    return

        threading.Thread(target=watch, name="deadline", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def __enter__(self) -> Self:
        self._token = _now.set(self)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        _now.reset(self._token)
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None


class _Reporting:
    """The common part of both kinds of connection: they tell the call of this thread which socket it uses."""

    sock: Any
    proxy: Any
    secure = False

    def _new_conn(self) -> Any:
        line = super()._new_conn()  # type: ignore[misc]
        try:
            self._tell(line)
        except BaseException:
            line.close()
            raise
        return line

    def request(self, *words: Any, **more: Any) -> None:
        if self.sock is not None:  # kept from an earlier request, for which other rules may have held
            self._tell(self.sock)
        super().request(*words, **more)  # type: ignore[misc]

    def _tell(self, line: Any) -> None:
        _now.get().use(line, secure=self.secure, proxied=self.proxy is not None)


class _Plain(_Reporting, HTTPConnection):
    pass


class _Secure(_Reporting, HTTPSConnection):
    secure = True


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


class Adapter(requests.adapters.HTTPAdapter):
    """Makes the connections of a `requests` session; each request is made inside a `Call`."""

    def init_poolmanager(self, *words: Any, **more: Any) -> None:
        super().init_poolmanager(*words, **more)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *words: Any, **more: Any) -> Any:
        manager = super().proxy_manager_for(*words, **more)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _PlainPool, "https": _SecurePool}
