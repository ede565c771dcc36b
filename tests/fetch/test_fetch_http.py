"""Downloads from servers that fail in every way there is."""

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import (
    Answer,
    HalfTls,
    Handler,
    Server,
    Silent,
    chunked,
    cut_off,
    dead_address,
    endless,
    endless_continue,
    endless_extension,
    endless_head,
    endless_trailer,
    good,
    no_answer,
    redirect,
    stall,
    status,
    trickle,
    wrong_range,
)

from builder.fetch import call as call_module
from builder.fetch.call import Call, Reach, reach
from builder.fetch.hosts import Hosts, Patience
from builder.fetch.http import Http, next_hop
from builder.fetch.part import Part, TooLarge
from builder.fetch.unpack import Cancelled
from builder.fetch.wanted import Unavailable

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
        self.progress = 0
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
        ("http://[", "redirects to 'http://[', which is no address: Invalid IPv6 URL"),
        ("http://a:99999/b?sig=1", "redirects to 'http://a:99999/b?...', which is no address: Port out of range 0-65535"),
        ("http://me:secret@a:x1/b", "redirects to 'http://a:x1/b', which is no address: "
         "Port could not be cast to integer value as 'x1'"),
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


class TestDeadline:
    """Each byte comes well within the time limit for a read, and nothing ever ends."""

    @pytest.mark.parametrize(("answer", "said"), [
        (endless_head(0.02), "no answer within 0.2 s (4 tries)"),
        (endless_head(0.02, b"1\r\nA: "), "no answer within 0.2 s (4 tries)"),
        (endless_continue(0.02), "no answer within 0.2 s (4 tries)"),
        (endless_extension(DATA[:100], 0.02), "it is slower than 1024 bytes a second (4 tries)"),
        (endless_trailer(DATA[:100], 0.02), "it is slower than 1024 bytes a second (4 tries)"),
        (trickle(DATA, 0.05), "it is slower than 1024 bytes a second (4 tries)"),
    ])
    @pytest.mark.parametrize("size", [len(DATA), None])
    def test_a_drip_is_ended(self, client: Client, answer: Answer, said: str, size: int | None) -> None:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            client.served(answer, size=size)
        assert caught.value.reason == said
        assert time.monotonic() - started < 6

    def test_redirects_share_one_time_limit(self, client: Client) -> None:
        """Each answers well within it, and leads on to the next."""
        def late(to: str) -> Answer:
            def answer(handler: Handler) -> None:
                time.sleep(0.15)
                handler.reply(302, b"", Location=to)

            return answer

        for step in range(9):
            client.server.serve(f"/{step}", late(f"/{step + 1}"))
        client.server.serve("/9", good(DATA))
        assert client.refused(late("/0")) == "its redirects took longer than 0.5 s (4 tries)"
        assert len(client.server.asked) <= 4 * 5

    def test_a_drip_before_there_is_tls(self, client: Client) -> None:
        server = HalfTls(0.02)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.get(f"https://{server.address}/a")
        server.close()
        assert time.monotonic() - started < 6

    def test_the_next_try_goes_on(self, client: Client) -> None:
        assert client.served(endless_extension(DATA[:1000], 0.02), endless_head(0.02), good(DATA)) == "whole"
        assert client.ranges == ["", "bytes=1000-", "bytes=1000-"]

    def test_a_file_has_a_time_limit_by_its_size(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fast enough over each time of silence, but not on the whole."""
        monkeypatch.setattr("builder.fetch.http._USUAL", 200_000)
        assert client.served(trickle(DATA, 0.03, step=1000), good(DATA)) == "whole"
        assert len(client.ranges) == 2
        assert client.refused(trickle(b"1" + DATA[1:], 0.03, step=500)).endswith("(4 tries)")

    def test_a_pause_between_two_files_is_none_of_them(self, client: Client) -> None:
        """The connection is kept for the next file; its first call watches it no more."""
        assert client.served(good(DATA)) == "whole"
        time.sleep(0.7)
        os.unlink(client.path)
        assert client.served(good(DATA)) == "whole"

    def test_no_thread_is_left(self, client: Client) -> None:
        for answer in (good(DATA), endless_head(0.05), redirect("/a")):
            with contextlib.suppress(Unavailable):
                client.served(answer)
        end = time.monotonic() + 3
        while (left := [each.name for each in threading.enumerate() if each.name == "deadline"]) and time.monotonic() < end:
            time.sleep(0.01)
        assert left == []


class TestReach:
    """A redirect to what its server cannot reach. Here the servers are on this machine, and said to be elsewhere."""

    @pytest.mark.parametrize(("host", "far"), [
        ("127.0.0.1", "LOOPBACK"), ("127.9.9.9", "LOOPBACK"), ("::1", "LOOPBACK"), ("0.0.0.0", "LOOPBACK"), ("::", "LOOPBACK"),
        ("::ffff:127.0.0.1", "LOOPBACK"), ("64:ff9b::7f00:1", "LOOPBACK"), ("2002:7f00:1::", "LOOPBACK"),
        ("localhost", "LOOPBACK"), ("LOCALHOST.", "LOOPBACK"), ("a.localhost", "LOOPBACK"),
        ("169.254.169.254", "LINK"), ("fe80::1", "LINK"), ("fe80::1%eth0", "LINK"), ("::ffff:169.254.169.254", "LINK"),
        ("10.1.2.3", "PRIVATE"), ("192.168.0.1", "PRIVATE"), ("172.31.0.1", "PRIVATE"), ("100.64.0.1", "PRIVATE"), ("fd00::1", "PRIVATE"),
        ("224.0.0.1", "PRIVATE"), ("255.255.255.255", "PRIVATE"), ("ff02::1", "PRIVATE"),
        ("151.101.2.132", "PUBLIC"), ("2a04:4e42::644", "PUBLIC"),
        ("example.org", None), ("127.1", None), ("2130706433", None), ("", None),
    ])
    def test_how_far_an_address_is(self, host: str, far: str | None) -> None:
        found = reach(host)
        assert (found and found.name) == far

    @pytest.mark.parametrize(("origin", "target", "secure", "refused"), [
        ("PUBLIC", "127.0.0.1", True, "from the internet to this machine"),
        ("PUBLIC", "169.254.169.254", True, "from the internet to its local link"),
        ("PUBLIC", "10.0.0.1", False, "from the internet to a private network"),
        ("PRIVATE", "127.0.0.1", False, "from a private network to this machine"),
        ("PRIVATE", "169.254.169.254", False, "from a private network to its local link"),
        ("PUBLIC", "10.0.0.1", True, ""), ("PRIVATE", "10.0.0.1", False, ""), ("PRIVATE", "151.101.2.132", False, ""),
        ("LOOPBACK", "127.0.0.1", False, ""), ("LOOPBACK", "169.254.169.254", False, ""),
    ])
    def test_where_a_redirect_may_lead(self, origin: str, target: str, secure: bool, refused: str) -> None:
        call = Call(Reach[origin])
        if not refused:
            call.allow(target, secure=secure)
            return
        with pytest.raises(Unavailable) as caught:
            call.allow(target, secure=secure)
        assert caught.value.reason == f"refused: a redirect {refused} ({target})"

    @pytest.fixture
    def elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """127.0.0.2 counts as an address of the internet, `near` and `far` are names."""
        real_reach, real_names = call_module.reach, socket.getaddrinfo
        monkeypatch.setattr(call_module, "reach", lambda host: Reach.PUBLIC if host == "127.0.0.2" else real_reach(host))
        names = {"near.example": "127.0.0.1", "far.example": "127.0.0.2"}
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **also: real_names(names.get(host, host), *more, **also))

    @pytest.mark.parametrize("target", ["127.0.0.1", "localhost", "near.example"])
    def test_a_redirect_to_this_machine(self, client: Client, elsewhere: None, target: str) -> None:
        with Server("127.0.0.2") as far:
            port = client.server.address.rpartition(":")[2]
            client.server.serve("/a", good(DATA))
            far.serve("/a", redirect(f"http://{target}:{port}/a"))
            with pytest.raises(Unavailable) as caught:
                client.get(far.address + "/a")
            said = target if target == "localhost" else "127.0.0.1"
            assert caught.value.reason == f"refused: a redirect from the internet to this machine ({said})"
            assert client.server.asked == [], "nothing was sent there"

    def test_a_connection_that_is_there_already_is_no_way_round(self, client: Client, elsewhere: None) -> None:
        """Named directly it may be used, and is kept; a redirect must not use it."""
        port = client.server.address.rpartition(":")[2]
        assert client.get(client.server.serve("/a", good(DATA)).replace("127.0.0.1", "near.example")) == "whole"
        with Server("127.0.0.2") as far:
            far.serve("/a", redirect(f"http://near.example:{port}/a"))
            with pytest.raises(Unavailable) as caught:
                client.get(far.address + "/a", resume=False)
        assert caught.value.reason == "refused: a redirect from the internet to this machine (127.0.0.1)"
        assert len(client.server.asked) == 1

    def test_not_after_one_more_redirect_either(self, client: Client, elsewhere: None) -> None:
        with Server("127.0.0.2") as far:
            client.server.serve("/start", redirect(far.address + "/a"))
            far.serve("/a", redirect("/b"))
            far.serve("/b", redirect(client.server.address + "/secret"))
            with pytest.raises(Unavailable) as caught:
                client.get(client.server.address + "/start")
        assert caught.value.reason.startswith("refused: a redirect from the internet to this machine")
        assert [path for path, _ in client.server.asked] == ["/start"]

    def test_a_host_that_redirected_wrongly_is_asked_for_other_files(self, client: Client, elsewhere: None) -> None:
        with Server("127.0.0.2") as far:
            far.serve("/a", redirect(client.server.address + "/a"))
            with pytest.raises(Unavailable):
                client.get(far.address + "/a")
            assert client.get(far.serve("/b", good(DATA))) == "whole"
        assert client.get(client.server.serve("/c", good(DATA)), resume=False) == "whole"


class TestConnecting:
    def test_a_port_that_is_none(self, client: Client) -> None:
        for port, said in (("99999", "Port out of range 0-65535"), ("x", "Port could not be cast to integer value as 'x'")):
            with pytest.raises(Unavailable) as caught:
                client.get(f"http://me:secret@a.example:{port}/a?token=1")
            assert caught.value.reason == f"the address is wrong: {said}"

    @pytest.mark.parametrize(("url", "said"), [
        ("http://me:secret@[::1/x", "Invalid IPv6 URL"), ("https://me:secret@*/a", "URL has an invalid label."),
    ])
    def test_an_address_that_is_none(self, client: Client, url: str, said: str) -> None:
        with pytest.raises(Unavailable) as caught:
            client.get(url)
        assert caught.value.reason == f"the address is wrong: {said}"

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
