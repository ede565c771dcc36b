"""Downloads over https and http: redirects, time limits, retries, and resuming a download that broke off.

The head of an answer has to come within the limits for connecting and for silence together, and so do all redirects on
the way to it. Of its body at least `_SLOWEST` bytes a second have to come over each time of that silence, and all of it
as if `_USUAL` bytes a second came.

RFC 9110: 14 (ranges), 15.4 (redirects), 10.2.3 (Retry-After).
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import requests.utils
import urllib3.exceptions

from builder.base.addresses import host, scrubbed, shown
from builder.fetch.call import Adapter, Call, Pace, Reach, silence
from builder.fetch.hosts import Hosts, Patience
from builder.fetch.part import Part, TooLarge
from builder.fetch.unpack import Cancelled
from builder.fetch.wanted import Unavailable

_CHUNK = 1 << 18
_REDIRECTS = 10
_TRIES = 4
_LONGEST_PAUSE = 20.0
_SLOWEST = 1024  # bytes a second, over the read limit
_USUAL = 8192  # bytes a second, over the whole body of one try
_PEEK = 1 << 16  # bytes that are taken of a file that is announced as too large, to see what it is
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # statuses that can be over soon
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_HEADERS = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "gateway-image-builder"}


class _Again(Exception):  # noqa: N818
    """This try failed, another may not. after: seconds that the server asked for."""

    def __init__(self, reason: str, after: float = 0.0, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.silent = silent  # the host did not answer in time


class _Session(requests.Session):
    """A session that leaves redirects alone. `requests` reads their bodies into memory, however long they are, even
    when it is told not to follow them."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Http:
    """Downloads with one session for each host. Any thread may download; `stop` wakes those that wait for bytes."""

    def __init__(self, cancel: threading.Event, patience: Patience) -> None:
        self._cancel = cancel
        self._patience = patience
        self._hosts = Hosts(patience.connect)
        self._sessions: dict[str, requests.Session] = {}
        self._live: set[Call] = set()
        self._lock = threading.Lock()

    def download(self, url: str, part: Part, *, size: int | None, pinned: bool, resume: bool) -> None:
        """Add the file to `part`: all of it, or with `resume` what `part` lacks.

        size: bytes of the whole file, if known. pinned: its SHA-256 is known, so a redirect from https to http does no
        harm.

        Raises:
            Unavailable: the server does not give it.
            TooLarge: it is longer than the part may be.
            Cancelled: the run was cancelled.
        """
        if not resume:
            part.restart()
        pause = self._patience.pause
        for tries_left in reversed(range(_TRIES)):
            try:
                self._try(url, part, size=size, pinned=pinned)
                return
            except _Again as again:
                if not tries_left:
                    if again.silent:
                        self._hosts.failed(host(url), again.reason)
                    raise Unavailable(f"{again.reason} ({_TRIES} tries)", cause=again.reason) from None
                if not resume:
                    part.restart()
                if self._cancel.wait(min(max(pause, again.after), _LONGEST_PAUSE)):
                    raise Cancelled from None
                pause *= 2

    def stop(self) -> None:
        """End all downloads now."""
        with self._lock:
            for call in self._live:
                call.hang_up()

    def _try(self, url: str, part: Part, *, size: int | None, pinned: bool) -> None:
        farthest: Reach | None = None
        limit = self._patience.connect + self._patience.read
        late, said = time.monotonic() + limit, self._silence()
        for _ in range(_REDIRECTS):
            with self._called(farthest) as call:
                with call.within(max(0.0, late - time.monotonic()), said):
                    response = self._ask(url, part.size, call)
                try:
                    self._must_go_on(call)  # a socket that was shut reads as the end of the head
                    if not (300 <= response.status_code < 400 and "Location" in response.headers):
                        self._take(response, part, size, call)
                        return
                finally:
                    response.close()
                url = next_hop(url, response.headers["Location"], pinned=pinned)
                farthest = max(call.peer, farthest or Reach.LOOPBACK)
                said = f"its redirects took longer than {limit:g} s"
        raise Unavailable(f"more than {_REDIRECTS} redirects")

    @contextmanager
    def _called(self, farthest: Reach | None) -> Iterator[Call]:
        """A call that `stop` can end."""
        with Call(farthest) as call:
            with self._lock:
                self._live.add(call)
            try:
                yield call
            finally:
                with self._lock:
                    self._live.discard(call)

    def _ask(self, url: str, start: int, call: Call) -> requests.Response:
        """Ask for the file from byte `start` on; the body of the response is not read yet."""
        at = host(url)
        self._hosts.check(at)
        if self._cancel.is_set():
            raise Cancelled
        headers = _HEADERS | ({"Range": f"bytes={start}-"} if start else {})
        try:
            parts = urlsplit(url)
            call.allow(parts.hostname or "", secure=parts.scheme == "https")
            timeout = (self._connect_limit(url), self._patience.read)
            return self._session(at).get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
        except Unavailable as error:
            if not error.reason.startswith("refused: "):
                self._hosts.failed(at, error.reason)
            raise
        except requests.ReadTimeout:
            raise _Again(self._silence(), silent=True) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            self._must_go_on(call)
            reason = connecting(error, self._patience.connect)
            if reason is None:
                raise _Again(f"the connection broke off: {_cause(error)}") from None
            self._hosts.failed(at, reason)
            raise Unavailable(reason) from None

    def _connect_limit(self, url: str) -> float:
        parts = urlsplit(url)
        proxies = requests.utils.get_environ_proxies(url)
        if requests.utils.select_proxy(url, proxies) or not parts.hostname:
            return self._patience.connect  # the proxy finds the host
        return self._hosts.connect_limit(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    def _session(self, at: str) -> requests.Session:
        with self._lock:
            session = self._sessions.get(at)
            if session is None:
                session = self._sessions[at] = _Session()
                session.mount("https://", Adapter())
                session.mount("http://", Adapter())
                session.auth = _no_auth  # or requests looks into ~/.netrc
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def _take(self, response: requests.Response, part: Part, size: int | None, call: Call) -> None:
        """Read the body into the part."""
        status = response.status_code
        if status in _AGAIN:
            raise _Again(_status(status), _retry_after(response))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
            part.restart()
            raise _Again("it has less than an earlier download")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise Unavailable(_status(status))
        if status == HTTPStatus.PARTIAL_CONTENT:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found.group(1)) != part.size:
                part.restart()
                raise _Again("it answered with another range")
        elif part.size:
            part.restart()  # it ignored the range: this is the whole file
        self._stream(response, part, size, call)

    def _stream(self, response: requests.Response, part: Part, size: int | None, call: Call) -> None:
        length = response.headers.get("Content-Length", "")
        total = part.size + int(length) if length.isdecimal() and len(length) < 19 else None
        excess = total is not None and total > part.limit
        wanted = size if total is None else total
        enough = min(part.limit, part.size + _PEEK) if excess else part.limit + 1
        most = self._patience.read + (min(wanted or part.limit, part.limit) - part.size) / _USUAL
        with call.flowing(lambda: part.size, Pace(least=_SLOWEST, every=self._patience.read, most=most)):
            for chunk in self._chunks(response, part, wanted, call):
                part.write(chunk[: enough - part.size])
                if part.size >= enough:
                    break
        if excess:
            raise TooLarge(total or 0)
        if wanted is not None and part.size < wanted:
            raise _Again(_broken_off(part, wanted))

    def _chunks(self, response: requests.Response, part: Part, wanted: int | None, call: Call) -> Iterator[bytes]:
        """The body as it comes, without waiting for full chunks."""
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                yield chunk
        except urllib3.exceptions.ReadTimeoutError:
            raise _Again(self._silence(), silent=True) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            self._must_go_on(call)
            raise _Again(_broken_off(part, wanted)) from None
        self._must_go_on(call)  # and here as the end of the file

    def _must_go_on(self, call: Call) -> None:
        """Raise the reason why a call ended, if the builder ended it."""
        if self._cancel.is_set():
            raise Cancelled from None
        if call.late:
            raise _Again(call.late, silent=True) from None

    def _silence(self) -> str:
        return silence(self._patience.read)


def next_hop(url: str, location: str, *, pinned: bool) -> str:
    """The address that a redirect leads to.

    Raises:
        Unavailable: it is no address of http or https, or it leads from https to http and no pin proves the bytes.
    """
    try:
        following = urljoin(url, location)
        parts = urlsplit(following)
        _ = parts.port  # it is parsed only when it is read
    except ValueError as error:
        raise Unavailable(f"redirects to {shown(location)!r}, which is no address: {error}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Unavailable(f"redirects to {shown(following)!r}, which is neither https nor http")
    if parts.scheme == "http" and urlsplit(url).scheme == "https" and not pinned:
        raise Unavailable(f"redirects from https to {shown(following)!r}, and no sha256 proves the file")
    return following


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _status(status: int) -> str:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "unknown status"
    return f"HTTP {status} {phrase}"


def _broken_off(part: Part, wanted: int | None) -> str:
    return f"the connection broke off after {part.size}" + (f" of {wanted} bytes" if wanted else " bytes")


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def connecting(error: Exception, limit: float) -> str | None:
    """The reason why no connection was made; None when there was a connection, and it broke."""
    if isinstance(error, requests.ConnectTimeout):
        return f"could not connect within {limit:g} s"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return f"could not connect: {_cause(cause)}"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"could not connect through the proxy: {_cause(cause)}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"could not connect securely: {_cause(cause)}"
    if isinstance(error, ValueError):
        return f"the address is wrong: {scrubbed(str(error))}"
    return None


def _cause(error: BaseException | None) -> str:
    """The innermost reason, without the objects that libraries print around it."""
    while error is not None and (inner := error.__cause__ or _wrapped(error)) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _wrapped(error: BaseException) -> BaseException | None:
    return next((each for each in reversed(error.args) if isinstance(each, BaseException)), None)
