"""`builder run` on the real image: a policy goes in, requests are answered, edited Lua is taken or refused."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.checkout import MARKS, make, run, start, started, until_gone

pytestmark = MARKS
NGINX = b"nginx.conf"
KEEPS = "  next: the running gateway keeps what it has; correct this and reload again\n"


def policy(code: int) -> str:
    """Every path of port 80 is redirected."""
    matches = [["STARTS_WITH", "URL", "/"]]
    rule = {"rule": "all", "internal_dsl": matches, "redirect_url": "http://there.example.org/", "redirect_code": code}
    return json.dumps({"http": {"tcp": {"80": [rule]}}, "backend_group": []})


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def ask(port: int, path: str = "/") -> tuple[int, str]:
    """Status and body of the answer to a request; (0, "") when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("project"), "gateway")


class Gateway:
    """A running `builder run`. port, status: where it listens."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = project
        self.policy = folder / "policy.json"
        self.port, self.tls, self.status = free_ports(3)
        self.replace(302)
        self.process = start(project, *self.words())
        self.below = started(self.process, NGINX)
        until(lambda: ask(self.port)[0] != 0)
        until((project / "out/run/state.json").exists)

    def words(self) -> list[str]:
        ports = ["--port", f"{self.port}:80", "--tls-port", str(self.tls), "--status-port", str(self.status)]
        return ["run", "--policy", str(self.policy), "--workers", "2", *ports]

    def replace(self, code: int) -> None:
        new = self.policy.with_suffix(".new")
        new.write_text(policy(code))
        new.rename(self.policy)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        if self.process.returncode is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        until_gone(self.below)
        return self.process.returncode, out, err


@pytest.fixture
def gateway(project: Path, tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(project, tmp_path)
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGKILL)


@pytest.fixture
def init(project: Path) -> Iterator[Path]:
    """A Lua file of the project that every start runs; it is as before when the test has ended."""
    path = project / "lua/gateway/init.lua"
    before = path.read_text()
    yield path
    path.write_text(before)


def test_requests_are_answered_by_the_policy(gateway: Gateway) -> None:
    assert ask(gateway.port)[0] == 302
    assert ask(gateway.status, "/status")[0] == 200
    gateway.replace(307)
    until(lambda: ask(gateway.port)[0] == 307, 3)
    code, out, err = gateway.end()
    assert code == 0
    assert '"port":"' in out, "the access log goes to standard output"
    assert f"http://127.0.0.1:{gateway.port}/  (rules of port 80)\n" in err
    assert "from the checkout: lua/conf, lua/gateway, lua/embedded/resty\n" in err
    assert "ending: requests that are under way are finished; once more ends it at once\n" in err
    assert "Traceback" not in err
    assert ask(gateway.port) == (0, "")
    assert not (gateway.project / "out/run/state.json").exists()


def test_edited_lua_is_taken_by_a_reload(gateway: Gateway, init: Path) -> None:
    init.write_text('ngx.log(ngx.WARN, "this was edited")\n' + init.read_text())
    conf = gateway.project / "lua/conf/status.conf"
    text = conf.read_text()
    conf.write_text(text.replace("location = /status {", "location = /edited { return 204; }\n\nlocation = /status {"))
    assert ask(gateway.status, "/edited")[0] == 404
    done = run(gateway.project, "run", "--reload")
    conf.write_text(text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "reloaded: 2 new workers\n")
    assert ask(gateway.status, "/edited")[0] == 204
    assert ask(gateway.port)[0] == 302
    assert "this was edited" in gateway.end()[2]


@pytest.mark.parametrize(("file", "text", "message"), [
    ("gateway/init.lua", "\nx = = 1\n", "builder: Lua does not compile:\n/usr/local/openresty/site/lualib/gateway/init.lua:"),
    ("conf/nginx.conf", "\nnonsense on;\n", 'builder: nginx refuses the configuration:\nnginx: [emerg] unknown directive "nonsense" in '),
])  # fmt: skip
def test_a_broken_edit_is_refused_and_the_old_one_goes_on(file: str, text: str, message: str, gateway: Gateway) -> None:
    path = gateway.project / "lua" / file
    before = path.read_text()
    path.write_text(before + text)
    try:
        done = run(gateway.project, "run", "--reload")
    finally:
        path.write_text(before)
    assert done.returncode == 1
    assert done.stderr.startswith(message), done.stderr
    assert done.stderr.endswith(KEEPS)
    assert "nonsense" not in (gateway.project / "out/run/conf/nginx.conf").read_text()
    assert not (gateway.project / "out/run/trial").exists()
    assert ask(gateway.port)[0] == 302
    assert run(gateway.project, "run", "--reload").returncode == 0


def test_reloads_take_turns(gateway: Gateway) -> None:
    commands = [start(gateway.project, "run", "--reload") for _ in range(3)]
    assert [each.communicate()[1] for each in commands] == ["reloaded: 2 new workers\n"] * 3
    assert ask(gateway.port)[0] == 302


def test_what_fails_only_when_it_runs_is_found_before_it_is_taken(gateway: Gateway, init: Path) -> None:
    init.write_text('do error("boom when it starts") end\n' + init.read_text())
    done = run(gateway.project, "run", "--reload")
    assert done.returncode == 1
    assert done.stderr.startswith("builder: nginx does not start with it:\n")
    assert "boom when it starts" in done.stderr
    assert ask(gateway.port)[0] == 302


def test_one_gateway_a_project(gateway: Gateway) -> None:
    done = run(gateway.project, *gateway.words())
    assert done.returncode == 1
    assert f"the gateway of this project runs already, process {gateway.process.pid}, at http://127.0.0.1:{gateway.port}/" in done.stderr
    assert ask(gateway.port)[0] == 302
    gateway.end()
    done = run(gateway.project, "run", "--reload")
    assert done.returncode == 1
    assert "no gateway of this project runs\n  next: start it: builder run --policy FILE\n" in done.stderr


def test_a_killed_builder_takes_its_gateway_with_it(gateway: Gateway) -> None:
    code, _, _ = gateway.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert run(gateway.project, "run", "--reload").returncode == 1


def test_a_second_interrupt_does_not_wait(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n")  # a request that is under way
        time.sleep(0.3)
        gateway.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            gateway.process.wait(timeout=1)
        assert gateway.end()[0] == 0


@pytest.mark.parametrize(("words", "code", "message"), [
    ([], 2, "builder: builder run: there is no policy to serve\n  next: name it: --policy FILE\n"),
    (["--policy", "none.json"], 2, "builder: none.json: there is no such policy file\n"),
    (["--policy", "lock.toml", "--listen", "here"], 2, "builder: --listen: 'here' is no IP address\n"),
    (["--policy", "lock.toml", "--port", "1936"], 2, "builder: port 1936 is named twice\n"),
    (["--policy", "lock.toml", "--image", "openresty"], 2, "builder: image openresty: the image has no /etc/gateway/nginx.conf"),
])  # fmt: skip
def test_bad_arguments(words: list[str], code: int, message: str, project: Path) -> None:
    done = run(project, "run", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_low_ports_are_for_root_outside(project: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest <= 7 or os.geteuid() != 0:
        pytest.skip("a plain user is told that the port cannot be listened on")
    done = run(project, "run", "--policy", "lock.toml", "--port", "7:80")
    assert done.returncode == 1
    assert "only root outside of the sandbox can listen on port 7\n" in done.stderr
