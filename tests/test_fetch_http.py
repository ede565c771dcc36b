"""Downloads from servers that fail in every way there is."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import (
    Answer,
    Handler,
    Server,
    Silent,
    chunked,
    cut_off,
    dead_address,
    endless,
    good,
    no_answer,
    redirect,
    stall,
    status,
    trickle,
    wrong_range,
)

from builder.fetch.hosts import Hosts, Patience
from builder.fetch.http import Http, next_hop
from builder.fetch.part import Part, TooLarge
from builder.fetch.wanted import Unavailable
from builder.unpack import Cancelled

DATA = bytes(range(256)) * 400
PATIENCE = Patience(connect=0.3, read=0.2, pause=0.001)


class Client:
    """Downloads into one part and keeps what it did."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.path = folder / "a.part"
        self.server = server
        self.cancel = threading.Event()
        self.http = Http(self.cancel, PATIENCE)
        self.progress = 0

    def advance(self, count: int) -> None:
        self.progress += count

    def get(self, url: str, *, size: int | None = len(DATA), resume: bool = True) -> str:
        with Part(str(self.path), limit=len(DATA), cancel=self.cancel, progress=self.advance) as part:
            self.http.download(url, part, size=size, pinned=True, resume=resume)
        assert self.progress == part.size == self.path.stat().st_size
        assert part.file.sha256 == hashlib.sha256(self.path.read_bytes()).hexdigest()
        return "whole" if self.path.read_bytes() == DATA else f"{part.size} bytes"

    def served(self, *answers: Answer, size: int | None = len(DATA), resume: bool = True) -> str:
        return self.get(self.server.serve("/a", *answers), size=size, resume=resume)

    def refused(self, *answers: Answer) -> str:
        with pytest.raises(Unavailable) as caught:
            self.served(*answers)
        return caught.value.reason

    def call_off(self) -> None:
        self.cancel.set()
        self.http.stop()

    @property
    def ranges(self) -> list[str]:
        return [range for _, range in self.server.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def client(tmp_path: Path, server: Server) -> Client:
    return Client(tmp_path, server)


class TestWell:
    def test_a_plain_file(self, client: Client) -> None:
        assert client.served(good(DATA)) == "whole"
        assert client.ranges == [""]

    def test_headers_tell_nothing_and_ask_for_the_bytes_as_they_are(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        client.served(good(DATA))
        assert {name: client.server.headers[0][name] for name in sorted(client.server.headers[0]) if name != "Host"} == {
            "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "keep-alive", "User-Agent": "gateway-image-builder",
        }

    def test_cookies_are_not_kept(self, client: Client) -> None:
        client.served(status(500, Set_Cookie="a=b"), good(DATA))
        assert "Cookie" not in client.server.headers[1]

    def test_chunks_without_a_length(self, client: Client) -> None:
        assert client.served(chunked(DATA), size=None) == "whole"

    def test_a_content_coding_is_not_undone(self, client: Client) -> None:
        assert client.served(status(200, DATA, Content_Encoding="gzip")) == "whole"


class TestRedirects:
    def test_followed(self, client: Client) -> None:
        client.server.serve("/b", redirect("/c", 301))
        client.server.serve("/c", good(DATA))
        assert client.served(redirect(client.server.address + "/b", 307)) == "whole"

    def test_a_loop(self, client: Client) -> None:
        assert client.refused(redirect("/a")) == "more than 10 redirects"

    @pytest.mark.parametrize(("to", "said"), [
        ("file:///etc/passwd", "redirects to 'file:///etc/passwd', which is neither https nor http"),
        ("ftp://x/y", "redirects to 'ftp://x/y', which is neither https nor http"),
        ("http://[", "redirects to something that is no address"),
    ])
    def test_to_something_else(self, client: Client, to: str, said: str) -> None:
        assert client.refused(redirect(to)) == said

    def test_from_https_to_http(self) -> None:
        said = "redirects from https to 'http://x/b?...', and no sha256 proves the file"
        with pytest.raises(Unavailable) as caught:
            next_hop("https://x/a", "http://me:secret@x/b?signature=1", pinned=False)
        assert caught.value.reason == said
        assert next_hop("https://x/a", "http://x/b", pinned=True) == "http://x/b"
        assert next_hop("https://x/a", "b", pinned=False) == "https://x/b"
        assert next_hop("http://x/a", "https://y/b", pinned=False) == "https://y/b"

    def test_the_body_of_a_redirect_is_not_read(self, client: Client) -> None:
        client.server.serve("/b", good(DATA))

        def endless_redirect(handler: Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", "/b")
            handler.close_connection = True
            handler.end_headers()
            while True:
                handler.wfile.write(bytes(1 << 16))

        started = time.monotonic()
        assert client.served(endless_redirect) == "whole"
        assert time.monotonic() - started < 2

    def test_to_a_dead_host(self, client: Client) -> None:
        dead = dead_address()
        assert client.refused(redirect(f"http://{dead}/a")) == "could not connect: Connection refused"


class TestStatus:
    @pytest.mark.parametrize(("code", "said"), [
        (404, "HTTP 404 Not Found"), (403, "HTTP 403 Forbidden"), (401, "HTTP 401 Unauthorized"), (410, "HTTP 410 Gone"),
        (599, "HTTP 599 unknown status"), (204, "HTTP 204 No Content"), (304, "HTTP 304 Not Modified"),
    ])
    def test_final(self, client: Client, code: int, said: str) -> None:
        assert client.refused(status(code)) == said
        assert len(client.ranges) == 1

    @pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
    def test_over_soon(self, client: Client, code: int) -> None:
        assert client.served(status(code), status(code, Retry_After="0"), good(DATA)) == "whole"
        assert len(client.ranges) == 3

    def test_never_over(self, client: Client) -> None:
        assert client.refused(status(503)) == "HTTP 503 Service Unavailable (4 tries)"
        assert len(client.ranges) == 4

    def test_the_server_says_when_to_come_back(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float | None] = []
        monkeypatch.setattr(client.cancel, "wait", lambda seconds=None: pauses.append(seconds))
        client.served(status(429, Retry_After="7"), status(503, Retry_After="9999"), status(500, Retry_After="soon"), good(DATA))
        assert pauses == [7.0, 20.0, 0.004]


class TestBrokenOff:
    def test_goes_on_where_it_ended(self, client: Client) -> None:
        assert client.served(cut_off(DATA, 1000), cut_off(DATA, 500), good(DATA)) == "whole"
        assert client.ranges == ["", "bytes=1000-", "bytes=1500-"]

    def test_without_a_length_the_pinned_size_tells(self, client: Client) -> None:
        assert client.served(cut_off(DATA, 1000, length=False), good(DATA)) == "whole"
        assert client.ranges == ["", "bytes=1000-"]

    def test_an_earlier_run_began(self, client: Client) -> None:
        client.path.write_bytes(DATA[:700])
        assert client.served(good(DATA)) == "whole"
        assert client.ranges == ["bytes=700-"]

    def test_the_server_ignores_ranges(self, client: Client) -> None:
        assert client.served(cut_off(DATA, 1000), good(DATA, ranges=False)) == "whole"
        assert client.ranges == ["", "bytes=1000-"]

    def test_the_server_sends_another_range(self, client: Client) -> None:
        assert client.served(cut_off(DATA, 1000), wrong_range(DATA), good(DATA)) == "whole"
        assert client.ranges == ["", "bytes=1000-", ""]

    def test_the_server_has_less_than_we_do(self, client: Client) -> None:
        client.path.write_bytes(bytes(len(DATA)))
        assert client.served(status(416), good(DATA)) == "whole"
        assert client.ranges == [f"bytes={len(DATA)}-", ""]

    def test_nothing_proves_that_the_rest_belongs_to_the_beginning(self, client: Client) -> None:
        client.path.write_bytes(DATA[:700])
        assert client.served(cut_off(DATA, 1000), good(DATA), resume=False) == "whole"
        assert client.ranges == ["", ""]

    def test_again_and_again(self, client: Client) -> None:
        assert client.refused(cut_off(DATA, 1000)) == f"the connection broke off after 4000 of {len(DATA)} bytes (4 tries)"
        assert client.path.read_bytes() == DATA[:4000]

    def test_before_the_first_word(self, client: Client) -> None:
        assert client.served(no_answer(), good(DATA)) == "whole"
        assert client.refused(no_answer()) == (
            "the connection broke off: Remote end closed connection without response (4 tries)"
        )


class TestSilence:
    def test_a_stall_is_ended_and_gone_on_with(self, client: Client) -> None:
        assert client.served(stall(DATA, 1000, 2), good(DATA)) == "whole"
        assert client.ranges == ["", "bytes=1000-"]

    def test_a_trickle_counts_as_silence(self, client: Client) -> None:
        assert client.served(trickle(DATA, 0.05), good(DATA)) == "whole"

    def test_a_silent_host_is_not_asked_again(self, client: Client) -> None:
        client.server.serve("/b", good(DATA))
        assert client.refused(stall(DATA, 0, 2)) == "no answer within 0.2 s (4 tries)"
        with pytest.raises(Unavailable) as caught:
            client.get(client.server.address + "/b")
        assert caught.value.reason == "not asked again: no answer within 0.2 s"
        assert len(client.ranges) == 4


class TestConnecting:
    def test_nobody_listens(self, client: Client) -> None:
        url = f"http://{dead_address()}/a"
        for said in ("could not connect: Connection refused", "not asked again: could not connect: Connection refused"):
            with pytest.raises(Unavailable) as caught:
                client.get(url)
            assert caught.value.reason == said
        assert not client.path.read_bytes()

    def test_nobody_answers(self, client: Client) -> None:
        silent = Silent()
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            client.get(f"http://{silent.address}/a")
        silent.close()
        assert caught.value.reason == "could not connect within 0.3 s"
        assert time.monotonic() - started < 1

    def test_another_port_is_another_host(self, client: Client) -> None:
        with pytest.raises(Unavailable):
            client.get(f"http://{dead_address()}/a")
        assert client.served(good(DATA)) == "whole"

    def test_a_name_without_an_address(self, client: Client) -> None:
        with pytest.raises(Unavailable) as caught:
            client.get("http://nowhere.invalid/a")
        assert caught.value.reason.startswith("could not find the host 'nowhere.invalid': ")

    def test_a_resolver_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        end = threading.Event()

        def never(*_args: object, **_more: object) -> list[object]:
            end.wait()
            return []

        monkeypatch.setattr("socket.getaddrinfo", never)
        with pytest.raises(Unavailable) as caught:
            Hosts(0.1).connect_limit("example.org", 443)
        end.set()
        assert caught.value.reason == "could not find the host 'example.org': no answer within 0.1 s"

    def test_many_addresses_share_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_more: [None] * 4)
        assert Hosts(5.0).connect_limit("example.org", 443) == 1.25

    def test_no_tls_on_the_other_side(self, client: Client) -> None:
        with pytest.raises(Unavailable) as caught:
            client.get(client.server.address.replace("http:", "https:") + "/a")
        assert caught.value.reason.startswith("could not connect securely: ")


class TestSize:
    def test_an_endless_file(self, client: Client) -> None:
        with pytest.raises(TooLarge) as caught:
            client.served(endless(DATA))
        assert caught.value.size == 0
        assert client.path.read_bytes() == DATA

    def test_an_announced_size_is_believed_at_once(self, client: Client) -> None:
        with pytest.raises(TooLarge) as caught:
            client.served(endless(b"<html>", announced=1 << 40))
        assert caught.value.size == 1 << 40
        assert client.path.stat().st_size == 1 << 16

    def test_a_range_that_is_too_long(self, client: Client) -> None:
        with pytest.raises(TooLarge):
            client.served(cut_off(DATA + b"1", 1000), good(DATA + b"1"))

    def test_less_than_pinned_is_not_for_us_to_judge(self, client: Client) -> None:
        assert client.served(good(DATA[:100])) == "100 bytes"

    def test_an_empty_file(self, client: Client) -> None:
        assert client.served(good(b""), size=None) == "0 bytes"


class TestCalledOff:
    @pytest.mark.parametrize("answer", [stall(DATA, 1000, 5), trickle(DATA, 0.01), status(503, Retry_After="20")])
    def test_at_once_and_the_part_stays(self, tmp_path: Path, server: Server, answer: Answer) -> None:
        client = Client(tmp_path, server)
        client.http = Http(client.cancel, Patience(connect=5, read=30, pause=10))
        threading.Timer(0.3, client.call_off).start()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            client.served(answer)
        assert time.monotonic() - started < 2
        assert os.path.exists(client.path)

    def test_before_the_first_request(self, client: Client) -> None:
        client.cancel.set()
        with pytest.raises(Cancelled):
            client.served(good(DATA))
        assert client.ranges == []
