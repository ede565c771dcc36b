"""A server that holds a fetch, sends it elsewhere, or wants secrets printed; the installed builder from start to end."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from integration.world import World

DATA = b"a\n" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every request in one way. asked: the paths."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        asked = self.asked = []  # type: list[str]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked.append(self.path)
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__((host, 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def address(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_port}"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(answer: Answer, host: str = "127.0.0.1") -> Server:
        made.append(Server(answer, host))
        return made[-1]

    yield start
    for each in made:
        each.shutdown()
        each.server_close()


def good(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    handler.wfile.write(DATA)


def redirect(to: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def drip(head: bytes, piece: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while True:
            handler.wfile.write(piece)
            time.sleep(1)

    return answer


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "home").mkdir()
    return World(tmp_path / "project", tmp_path / "home", {"no_proxy": "*", "BUILDER_MIRROR_DEBIAN": "http://127.0.0.1:9"})


def project(world: World, *locations: str) -> None:
    world.write(
        "recipes/one.toml",
        f'name = "one"\ntools = ""\n[build]\nstyle = "copy"\n[[version]]\nversion = "1"\n[[version.source]]\n'
        f'locations = {json.dumps(locations)}\nsha256 = "{SHA256}"\nsize = {len(DATA)}\nstrip = 0\n',
    )
    world.image("one")


DRIPS = {
    "a header": drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the extension of a chunk": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x"),
}


@pytest.mark.long
def test_servers_that_drip_are_left_within_minutes(tmp_path: Path, world: World, serve: Callable[..., Server]) -> None:
    """Four tries of a little more than a minute each, and then the next place is asked; all servers at the same time."""
    fetches = {}
    for number, (what, answer) in enumerate(DRIPS.items()):
        slow, fast = serve(answer), serve(good)
        own = World(tmp_path / f"project-{number}", tmp_path / f"home-{number}", world.environ)
        own.home.mkdir()
        project(own, slow.address + "/a.bin", fast.address + "/a.bin")
        fetches[what] = (own.start("fetch"), fast)
    for what, (process, fast) in fetches.items():
        said = process.communicate(timeout=330)[1]
        assert fast.asked == ["/a.bin"], (what, said)


@pytest.mark.parametrize("target", ["http://h.example:99999/a", "http://h.example:x/a", "http://[/a", "file:///etc/passwd"])
def test_a_redirect_to_no_address_leads_to_the_next_place(world: World, serve: Callable[..., Server], target: str) -> None:
    fast = serve(good)
    project(world, serve(redirect(target)).address + "/a.bin", fast.address + "/a.bin")
    answer = world.run("fetch")
    assert fast.asked == ["/a.bin"]
    assert "Traceback" not in answer.err


@pytest.mark.skipif(os.geteuid() != 0, reason="gives this machine an address of the internet for a moment: root only")
def test_a_redirect_from_the_internet_does_not_reach_this_machine(world: World, serve: Callable[..., Server]) -> None:
    """In a network namespace of its own, where a server has an address of the internet."""
    script = world.write("serve.py", """
import http.server, os, subprocess, sys, threading
subprocess.run(["ip", "address", "add", "151.101.2.132/32", "dev", "lo"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
asked = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_response(302 if self.path == "/a.bin" else 200)
        self.send_header("Location", "http://localhost:8000/secret")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass
for host in ("151.101.2.132", "127.0.0.1"):
    server = http.server.ThreadingHTTPServer((host, 8000), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
code = subprocess.run(sys.argv[1:]).returncode
print("asked", *asked, flush=True)
sys.exit(code)
""")
    project(world, "http://151.101.2.132:8000/a.bin")
    answer = world.run("fetch", before=("unshare", "--net", "python3", str(script)))
    assert "refused: a redirect from the internet to this machine" in answer.err
    assert (answer.code, answer.out) == (3, "asked /a.bin\n")


@pytest.mark.parametrize("words", [
    "fetch", "fetch --json", "fetch --offline", "fetch --offline --json", "build", "build --json --offline", "resolve --json", "audit",
    "audit --json", "list --json",
])
def test_no_secret_is_printed(world: World, words: str) -> None:
    project(world, "https://me:secret@127.0.0.1:9/a.bin?signature=secret#secret")
    secret = World(world.root, world.home, {
        **world.environ, "https_proxy": "http://me:secret@127.0.0.1:9", "no_proxy": "", "PIP_INDEX_URL": "http://me:secret@127.0.0.1:9",
    })
    world.run("resolve", "--offline")
    first = secret.run(*words.split())
    project(world, "https://me:secret@127.0.0.2:9/a.bin?signature=secret")
    second = secret.run(*words.split())
    for answer in (first, second):
        assert "secret" not in answer.out + answer.err
        assert "Traceback" not in answer.err
