"""A web server on 127.0.0.1 that lies, stalls, cuts off and redirects, as a test tells it to, and notes what it was asked.

    with Server() as server:
        server.serve("/a.tar.gz", Good(data), ...)      one answer for each request, the last for all that follow

Each answer is a function of the request's handler; the names below are the kinds there are.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        self.server.headers.append(dict(self.headers.items()))
        answers = self.server.answers.get(self.path)
        if not answers:
            return self.reply(404, b"nothing here")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(self)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.begin(status, len(body), **headers)
        self.wfile.write(body)

    def begin(self, status: int, length: int | None, **headers: str) -> None:
        """The head of an answer; without a length the end of the connection is the end of the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def break_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    @property
    def start(self) -> int:
        """Where the asked range begins."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found.group(1)) if found else 0

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to tell."""


class Server:
    """The server, running. asked: (path, Range header) of each request in order; headers: theirs."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._server = _Server(host)
        self.asked = self._server.asked
        self.headers = self._server.headers
        self.address = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def serve(self, path: str, *answers: Answer) -> str:
        """Answer requests for `path`; returns its URL."""
        self._server.answers[path] = list(answers)
        return self.address + path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def good(data: bytes, *, ranges: bool = True) -> Answer:
    """The file; `ranges` tells whether ranges are honoured or ignored."""

    def answer(handler: Handler) -> None:
        start = handler.start if ranges else 0
        if start > len(data):
            handler.reply(416, b"", Content_Range=f"bytes */{len(data)}")
        elif start:
            handler.reply(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            handler.reply(200, data)

    return answer


def wrong_range(data: bytes, shift: int = 1) -> Answer:
    """A part that does not begin where it was asked to."""

    def answer(handler: Handler) -> None:
        start = handler.start + shift
        handler.reply(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler: handler.reply(code, body, **headers)


def redirect(to: str, code: int = 302) -> Answer:
    return status(code, b"", Location=to)


def cut_off(data: bytes, after: int, *, length: bool = True) -> Answer:
    """The first `after` bytes of the file (or of the range), then the connection breaks."""

    def answer(handler: Handler) -> None:
        rest = data[handler.start:]
        if handler.start:
            handler.begin(206, len(rest), Content_Range=f"bytes {handler.start}-{len(data) - 1}/{len(data)}")
        else:
            handler.begin(200, len(rest) if length else None)
        handler.wfile.write(rest[:after])
        handler.break_off()

    return answer


def no_answer() -> Answer:
    """The connection breaks before anything was said."""
    return lambda handler: handler.break_off()


def stall(data: bytes, after: int, seconds: float) -> Answer:
    """The first `after` bytes, then nothing for a while."""

    def answer(handler: Handler) -> None:
        handler.begin(200, len(data))
        handler.wfile.write(data[:after])
        handler.wfile.flush()
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def trickle(data: bytes, pause: float, step: int = 1) -> Answer:
    """A few bytes at a time, each well within the time limit for a read."""

    def answer(handler: Handler) -> None:
        handler.begin(200, len(data))
        for place in range(0, len(data), step):
            handler.wfile.write(data[place : place + step])
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def endless(head: bytes = b"", *, announced: int | None = None) -> Answer:
    """A body without end (or one that announces a length), as chunks."""

    def answer(handler: Handler) -> None:
        handler.begin(200, announced)
        handler.wfile.write(head)
        while True:
            handler.wfile.write(bytes(1 << 16))

    return answer


def chunked(data: bytes) -> Answer:
    """The file in chunked transfer coding (RFC 9112, section 7.1), so without a length."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for place in range(0, len(data), 1000):
            piece = data[place : place + 1000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def drip(handler: Handler, piece: bytes, pause: float) -> None:
    """The same few bytes again and again, until the client goes away."""
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)
    handler.close_connection = True


def endless_head(pause: float, piece: bytes = b"x") -> Answer:
    """A header that never ends."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        drip(handler, piece, pause)

    return answer


def endless_continue(pause: float) -> Answer:
    """One interim answer after another (RFC 9110, section 15.2)."""
    return lambda handler: drip(handler, b"HTTP/1.1 100 Continue\r\n\r\n", pause)


def endless_extension(head: bytes, pause: float) -> Answer:
    """A chunk, then one whose extension never ends (RFC 9112, section 7.1.1)."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n1;" % (len(head), head))
        drip(handler, b"a", pause)

    return answer


def endless_trailer(data: bytes, pause: float) -> Answer:
    """The whole file in chunks, then trailers that never end (RFC 9112, section 7.1.2)."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n" % (len(data), data))
        drip(handler, b"a", pause)

    return answer


def dead_address() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Silent:
    """A port that takes no connection and refuses none: its queue is full. address: "host:port"."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(0)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._socket.getsockname())
            self._fillers.append(filler)

    def close(self) -> None:
        for each in (*self._fillers, self._socket):
            each.close()


class HalfTls:
    """A port that begins a TLS record and then sends it a byte at a time. address: "host:port"."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._socket.accept()[0],), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            line.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB (RFC 8446, section 5.1)
            while True:
                line.sendall(b"\x02")
                time.sleep(self._pause)

    def close(self) -> None:
        self._socket.close()
