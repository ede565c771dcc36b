"""What serving costs, on the nginx of a built image: the six figures that the gateway is held to, side by side in one run.

    python bench/gateway/serving.py --image out/gateway --tools "$(builder build launcher | awk '{ print $NF }')" [--seconds 6]

The image's root file system is unpacked to a tmpfs and its nginx runs in bubblewrap with two workers, on the loopback of this
machine, without an access log and with an error log from `warn` on. What is compared runs in turns (A, B, A, B) and the median
counts. wrk shares the cores with the workers and costs both sides the same, so the processor time of the workers for a request
is printed too: it says what the ratio would be if wrk cost nothing. Ends with 1 when a figure is missed.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import policy as policies

from builder.rootfs import Rootfs, unpacked
from builder.sandbox.program import find_program
from builder.serving.listening import Listener, Listening

CONF = "etc/gateway"
WORKERS = 2
RULES, CHANGED, CERTIFICATES, SAMPLES = 10_000, 100, 1_000, 20
REQUESTS = 500
LINE = ["-t", "2", "-c", "32"]
TLS_LINE = ["-t", "2", "-c", "16", "-H", "Connection: close"]
TARGET = "https://elsewhere.example.com/"
MARKER = "version.example.com"
TLS_NAME = "localhost"  # wrk sends the name of its URL as SNI

# In turn all requests of a file as policy.py prints them.
WALK = """
local requests, at = {}, 0
function init()
    for line in io.lines(os.getenv("REQUESTS")) do
        local host, path, method, value = line:match("^([^\\t]+)\\t([^\\t]+)\\t([^\\t]+)\\t([^\\t]+)")
        local headers = { Host = host }
        if value ~= "-" then
            headers["%s"] = value
        end
        requests[#requests + 1] = wrk.format(method, path, headers)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
""".replace("%s", policies.HEADER)

# Counts the handshakes that were no full ones.
RESUMED = """
local threads = {}
function setup(thread)
    threads[#threads + 1] = thread
end
function init()
    resumed = 0
end
function response(status, headers)
    if headers["X-Resumed"] then
        resumed = resumed + 1
    end
end
function done()
    local sum = 0
    for _, thread in ipairs(threads) do
        sum = sum + thread:get("resumed")
    end
    io.write("Resumed: ", sum, "\\n")
end
"""

# The plain sides. Both variables are empty unless asked for, and nginx then sends no header.
SERVERS = """
access_log off;
map $http_x_ask $bench_worker {{ default ""; worker $pid; }}
map $http_x_ask:$ssl_session_reused $bench_resumed {{ default ""; resumed:r 1; }}
add_header X-Worker $bench_worker always;
add_header X-Resumed $bench_resumed always;
upstream bench_backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
server {{ listen 127.0.0.1:{plain}; location / {{ return 200 "ok\\n"; }} }}
server {{ listen 127.0.0.1:{redirect}; location / {{ return 302 {target}; }} }}
server {{ listen 127.0.0.1:{backend}; keepalive_requests 1000000; location / {{ return 200 "ok\\n"; }} }}
server {{
    listen 127.0.0.1:{proxy};
    location / {{
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_pass http://bench_backend;
    }}
}}
server {{
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate /etc/gateway/http.d/static.crt;
    ssl_certificate_key /etc/gateway/http.d/static.key;
    {tls_settings}
    location / {{ return 302 {target}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the machine. rules, routed, secure, status are the gateway's, the others those of the plain servers."""

    rules: int
    routed: int
    secure: int
    status: int
    plain: int
    redirect: int
    backend: int
    proxy: int
    tls: int

    @classmethod
    def above(cls, first: int) -> "Ports":
        return cls(*range(first, first + 9))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk. rate: requests a second. p99: seconds. processor: seconds of the workers for one request."""

    rate: float
    p99: float
    processor: float


@dataclass(slots=True)
class Gateway:
    """A running nginx of the image. folder: its home, configuration and policy."""

    folder: Path
    ports: Ports
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """The processes that have no children: nginx's workers."""
        todo, found = [self.process.pid], []
        while todo:
            pid = todo.pop()
            children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            todo += children
            found += [] if children else [pid]
        return sorted(found)

    def replace(self, text: str) -> None:
        replace(self.folder / "policy" / "policy.json", text)

    def log(self) -> str:
        return (self.folder / "error.log").read_text(errors="replace")

    def end(self) -> None:
        for pid in self.workers()[:1]:
            parent = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            assert parent is not None
            os.kill(int(parent[1]), signal.SIGTERM)
        self.process.wait(10)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


# The policies


@dataclass(slots=True)
class Many:
    """The policy with many rules, all of which redirect, as text of its rules; `step` changes some of them."""

    rules: list[str]
    certificates: str
    version: int = 0
    matches: list[policies.Match] = field(default_factory=lambda: policies.matches(RULES, 1))
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @classmethod
    def of(cls, certificates: dict[str, dict[str, str]]) -> "Many":
        return cls([_redirect(i, each, 0) for i, each in enumerate(policies.matches(RULES, 1))], json.dumps(certificates))

    def step(self) -> str:
        self.version += 1
        for i in self.chance.sample(range(RULES), CHANGED - 1):  # the marker's rule is one of those that change
            self.rules[i] = _redirect(i, self.matches[i], self.version)
        return self.text()

    def text(self) -> str:
        marker = _rule("marker", ["EQ", "HOST", MARKER], redirect_url=f"{TARGET}{self.version}", redirect_code=302)
        return f'{{"certificate_map":{self.certificates},"http":{{"tcp":{{"80":[{",".join([marker, *self.rules])}]}}}},"backend_group":[]}}'


def _rule(name: str, expression: list[object], **more: object) -> str:
    return json.dumps({"rule": name, "internal_dsl": [expression], **more})


def _redirect(i: int, match: policies.Match, version: int) -> str:
    return _rule(f"rule-{i:06d}", match.expression, redirect_url=f"{TARGET}{i}/{version}", redirect_code=302)


def one_rule(ports: Ports, certificate: dict[str, str]) -> str:
    everything: list[object] = ["STARTS_WITH", "URL", "/"]
    redirect = json.loads(_rule("redirect", everything, redirect_url=TARGET, redirect_code=302))
    routed = json.loads(_rule("routed", everything, upstream="backend"))
    backends = [{"address": "127.0.0.1", "port": ports.backend, "weight": 100}]
    group = {"name": "backend", "mode": "http", "session_affinity_policy": "", "backends": backends}
    tcp = {"80": [redirect], "81": [routed]}
    return json.dumps({"certificate_map": {TLS_NAME: certificate}, "http": {"tcp": tcp}, "backend_group": [group]})


# nginx


def write_conf(rootfs: Rootfs, conf: Path, ports: Ports, certificate: dict[str, str]) -> Listening:
    """The image's configuration with listeners and workers of ours, and without resumption: every handshake is a full one."""
    shutil.copytree(Path(rootfs.root) / CONF, conf)
    listening = Listening(
        address="127.0.0.1", http=(Listener(ports.rules, 80), Listener(ports.routed, 81)), https=(Listener(ports.secure, 80),),
        status=ports.status,
    )
    for name, text in listening.files().items():
        (conf / "listen" / name).write_text(text)
    (conf / "main.d" / "workers.conf").write_text(f"worker_processes {WORKERS};\n")
    tls = re.sub(r"ssl_session_\w+ [^;]*;", "", (conf / "tls.conf").read_text()) + "ssl_session_cache off;\nssl_session_tickets off;\n"
    (conf / "tls.conf").write_text(tls)
    plain = re.sub(r"ssl_certificate\w* [^;{]*(;|\{[^}]*\})", "", tls)
    servers = SERVERS.format(
        plain=ports.plain, redirect=ports.redirect, backend=ports.backend, proxy=ports.proxy, tls=ports.tls, target=TARGET,
        tls_settings=plain.replace("\n", "\n    "),
    )
    (conf / "http.d").mkdir(exist_ok=True)
    for name, text in {"bench.conf": servers, "static.crt": certificate["cert"], "static.key": certificate["key"]}.items():
        (conf / "http.d" / name).write_text(text)
    return listening


def words(launcher: Sequence[str], rootfs: Rootfs, folder: Path, rules: str) -> list[str]:
    """nginx in bubblewrap: the network and the processes are the machine's, so that they can be measured from here."""
    account = rootfs.account()
    tops = [each for each in sorted(os.listdir(rootfs.root)) if each not in ("dev", "proc", "run", "tmp")]
    binds = [word for each in tops for word in ("--ro-bind", f"{rootfs.root}/{each}", f"/{each}")]
    own = ["--bind", str(folder / "home"), account.home, "--ro-bind", str(folder / "conf"), f"/{CONF}"]
    own += ["--ro-bind", str(folder / "policy"), "/policy", "--tmpfs", "/tmp", "--dev", "/dev", "--bind", "/proc", "/proc"]
    environment = {**rootfs.env, "HOME": account.home, "NEW_POLICY_PATH": "/policy/policy.json", "GATEWAY_PORTS": rules}
    sets = [word for name, value in environment.items() for word in ("--setenv", name, value)]
    user = ["--unshare-user", "--uid", str(account.uid), "--gid", str(account.gid)]
    return [*launcher, *user, "--die-with-parent", *binds, *own, *sets, *rootfs.command]


@contextmanager
def gateway(
    launcher: Sequence[str], rootfs: Rootfs, folder: Path, ports: Ports, text: str, certificate: dict[str, str],
) -> Iterator[Gateway]:
    for each in ("home", "policy"):
        (folder / each).mkdir(parents=True)
    (folder / "policy" / "policy.json").write_text(text)
    listening = write_conf(rootfs, folder / "conf", ports, certificate)
    argv = words(launcher, rootfs, folder, listening.rules())
    with (folder / "error.log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={})
    started = Gateway(folder, ports, process)
    try:
        wait_until_serving(started)
        yield started
    finally:
        if process.poll() is None:
            started.end()


def wait_until_serving(started: Gateway) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end and started.process.poll() is None:
        try:
            if ask(started.ports.rules, MARKER)[0] == 302:
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"nginx does not serve:\n{started.log()}")


# Single requests


class Connection:
    """A connection that is kept: asks for / of the marker's host and reads Location and the worker's number."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, name: str = "") -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=name) if context else plain

    def ask(self, host: str) -> tuple[int, str, int]:
        """Status, Location, worker."""
        self._socket.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Ask: worker\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines[1:])}
        missing = int(fields.get("content-length", "0")) - len(body)
        while missing > 0:
            missing -= len(self._receive())
        return int(lines[0].split()[1]), fields.get("location", ""), int(fields["x-worker"])

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data

    def close(self) -> None:
        self._socket.close()


def ask(port: int, host: str, context: ssl.SSLContext | None = None, name: str = "") -> tuple[int, str, int]:
    connection = Connection(port, context, name)
    try:
        return connection.ask(host)
    finally:
        connection.close()


def connection_to_each(started: Gateway) -> list[Connection]:
    """One kept connection to each worker."""
    found: dict[int, Connection] = {}
    spare = []
    end = time.monotonic() + 10
    while set(found) != set(started.workers()):
        assert time.monotonic() < end, "a worker takes no connections"
        connection = Connection(started.ports.rules)
        worker = connection.ask(MARKER)[2]
        if worker in found:
            spare.append(connection)  # kept open: the busier a worker, the sooner the other takes the next one
        else:
            found[worker] = connection
    for each in spare:
        each.close()
    return list(found.values())


# wrk


def processor(pids: Sequence[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_of(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[2]]


def wrk(started: Gateway, url: str, seconds: int, options: Sequence[str], script: Path | None = None, requests: str = "") -> Run:
    argv = ["wrk", *options, "-d", f"{seconds}s", "--latency", *(["-s", str(script)] if script else []), url]
    workers = started.workers()
    before = processor(workers)
    out = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "REQUESTS": requests}).stdout
    used = processor(workers) - before
    assert started.workers() == workers, f"a worker ended:\n{started.log()}"
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{url}: requests failed\n{out}{started.log()}")
    rate, count, p99 = (re.search(each, out) for each in (r"Requests/sec:\s+([\d.]+)", r"(\d+) requests in", r"\n\s+99%\s+(\S+)"))
    assert rate and count and p99, out
    return Run(float(rate[1]), seconds_of(p99[1]), used / int(count[1]))


def in_turns(rounds: int, *sides: Callable[[], Run]) -> list[Run]:
    """The sides in turns; for each the median of every figure."""
    runs: list[list[Run]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, found in zip(sides, runs, strict=True):
            found.append(side())
    return [Run(*(statistics.median(getattr(run, name) for run in found) for name in ("rate", "p99", "processor"))) for found in runs]


# The figures


@dataclass(slots=True)
class Report:
    missed: list[str] = field(default_factory=list)

    def row(self, what: str, reach: str, measured: str, *, good: bool) -> None:
        print(f"{what:<62} {reach:>16}  {measured}{'' if good else '   MISSED'}", flush=True)
        if not good:
            self.missed.append(what)

    def rates(self, what: str, side: Run, against: Run, reach: float | None) -> None:
        ratio = side.rate / against.rate
        cost = f"{side.processor * 1e6:.1f} / {against.processor * 1e6:.1f} us of workers"
        measured = f"{ratio:.0%}  ({side.rate:,.0f} / {against.rate:,.0f} a second; {cost})"
        self.row(what, f"{reach:.0%}" if reach else "-", measured, good=not reach or ratio >= reach)


@dataclass(frozen=True, slots=True)
class Bench:
    folder: Path
    seconds: int
    rounds: int
    report: Report

    def script(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.lua"
        path.write_text(text)
        return path

    def own_answer(self, one: Gateway) -> None:
        """Row 1, and what passing on costs."""
        ports = (one.ports.rules, one.ports.plain, one.ports.redirect, one.ports.routed, one.ports.proxy)
        sides = [lambda port=port: wrk(one, f"http://127.0.0.1:{port}/", self.seconds, LINE) for port in ports]
        redirect, plain, plain_redirect, routed, proxied = in_turns(self.rounds, *sides)
        self.report.rates("one rule, L1 hit, against return 200", redirect, plain, 0.7)
        self.report.rates("  against return 302, as the rule answers", redirect, plain_redirect, None)
        self.report.rates("  passed on to a backend, against plain proxy_pass", routed, proxied, None)

    def many_rules(self, one: Gateway, many: Gateway, requests: str) -> None:
        """Row 2: the same request again and again, and different ones in turn, whose rules lie in different places of memory."""
        walk = self.script("walk", WALK)
        lines = Path(requests).read_text().splitlines(keepends=True)
        for count in (1, 100, len(lines)):
            some = self.folder / f"requests-{count}.tsv"
            some.write_text("".join(lines[:: len(lines) // count][:count]))
            sides = [
                lambda each=each, some=some: wrk(each, f"http://127.0.0.1:{each.ports.rules}/", self.seconds, LINE, walk, str(some))
                for each in (many, one)
            ]
            found, single = in_turns(self.rounds, *sides)
            which = f"{count} different requests in turn" if count > 1 else "one request"
            self.report.rates(f"{RULES} rules against one, {which}", found, single, 0.9)

    def changing(self, many: Gateway, text: Many, requests: str) -> None:
        """Row 3: latency under full load while the policy changes every second."""
        walk = self.script("walk", WALK)

        def still() -> Run:
            return wrk(many, f"http://127.0.0.1:{many.ports.rules}/", self.seconds, LINE, walk, requests)

        def changed() -> Run:
            over = threading.Event()

            def change() -> None:
                while not over.wait(1):
                    many.replace(text.step())

            thread = threading.Thread(target=change)
            thread.start()
            try:
                return still()
            finally:
                over.set()
                thread.join()

        before, after = in_turns(self.rounds, still, changed)
        ratio = after.p99 / before.p99
        measured = f"{ratio:.2f} x  ({after.p99 * 1e3:.2f} / {before.p99 * 1e3:.2f} ms; {after.rate:,.0f} / {before.rate:,.0f} a second)"
        self.report.row(f"p99 while {CHANGED} of {RULES} rules change every second", "2 x", measured, good=ratio <= 2)

    def propagation(self, many: Gateway, text: Many) -> None:
        """Row 4: from the rename until the last worker serves the new rule, asked on a kept connection to each."""
        took = []
        for _ in range(SAMPLES):
            connections = connection_to_each(many)
            content = text.step()
            time.sleep(text.chance.uniform(0.2, 1.2))
            path = many.folder / "policy" / "policy.json"
            path.with_suffix(".new").write_text(content)
            started = time.perf_counter()
            path.with_suffix(".new").rename(path)
            waiting = list(connections)
            while waiting:
                waiting = [each for each in waiting if each.ask(MARKER)[1] != f"{TARGET}{text.version}"]
                assert time.perf_counter() - started < 10, f"a worker does not take the new policy:\n{many.log()}"
                time.sleep(0.002)
            took.append(time.perf_counter() - started)
            for each in connections:
                each.close()
        typical, most = statistics.median(took), max(took)
        measured = f"median {typical:.3f} s, most {most:.3f} s of {SAMPLES}"
        self.report.row("policy file replaced until every worker serves it", "0.2 s, 1.2 s", measured, good=typical <= 0.2 and most <= 1.2)

    def memory(self, many: Gateway, domains: Sequence[str]) -> None:
        """Row 5: after a handshake for every certificate with every worker."""
        before = usage(many)
        load_certificates(many, domains)
        time.sleep(2)
        after = usage(many)
        most = max(after.values())
        shown = "; ".join(f"USS {uss / 1e6:.1f}, PSS {pss / 1e6:.1f}, RSS {rss / 1e6:.1f}" for uss, pss, rss in after.values())
        rules_only = max(before.values())[0] / 1e6
        measured = f"{most[0] / 1e6:.1f} MB  (workers: {shown}; before the handshakes USS {rules_only:.1f})"
        self.report.row(f"a worker with {RULES} rules and {CERTIFICATES} certificates", "60 MB", measured, good=most[0] <= 60e6)

    def handshakes(self, one: Gateway) -> None:
        """Row 6: a connection for each request, none resumed."""
        urls = [f"https://{TLS_NAME}:{port}/" for port in (one.ports.secure, one.ports.tls)]
        count = self.script("resumed", RESUMED)
        for url in urls:
            argv = ["wrk", *TLS_LINE, "-H", "X-Ask: resumed", "-d", "1s", "-s", str(count), url]
            out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            assert "Resumed: 0" in out, f"handshakes were resumed:\n{out}"
        sides = [lambda url=url: wrk(one, url, self.seconds, TLS_LINE) for url in urls]
        dynamic, static = in_turns(self.rounds, *sides)
        self.report.rates("TLS handshakes, certificate from L1 against a static one", dynamic, static, 0.85)


def load_certificates(many: Gateway, domains: Sequence[str]) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    workers = set(many.workers())
    missing = {(domain, worker) for domain in domains for worker in workers}
    end = time.monotonic() + 60
    while missing:
        for domain in sorted({domain for domain, _ in missing}):
            missing.discard((domain, ask(many.ports.secure, MARKER, context, domain)[2]))
        assert time.monotonic() < end, f"{len(missing)} certificates are not loaded: connections go to one worker only"


def usage(started: Gateway) -> dict[int, tuple[int, int, int]]:
    """Worker -> bytes that are its own, its share, and all that is in memory of it (proc(5), smaps_rollup)."""
    found = {}
    for pid in started.workers():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
        private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
        found[pid] = (private * 1024, kilobytes["Pss"] * 1024, kilobytes["Rss"] * 1024)
    return found


def prepare_requests(folder: Path) -> str:
    path = folder / "requests.tsv"
    script = Path(__file__).with_name("policy.py")
    with path.open("wb") as file:
        subprocess.run([sys.executable, str(script), "--rules", str(RULES), "--requests", str(REQUESTS)], check=True, stdout=file)
    return str(path)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="out/gateway", help="folder of the built image")
    parser.add_argument("--tools", default="", help="tool root with bubblewrap in it (default: the system's)")
    parser.add_argument("--seconds", type=int, default=6, help="of one run of wrk")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side")
    parser.add_argument("--port", type=int, default=18000, help="first of 20 free ports")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    parser.add_argument("--certificates", type=Path, help="folder that keeps the certificates made")
    parser.add_argument("--rows", default="1,2,3,4,5,6")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    rows = set(options.rows.split(","))
    report = Report()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.scratch, prefix="serving.")))
        rootfs = stack.enter_context(unpacked(os.path.abspath(options.image), str(folder / "rootfs")))
        launcher = find_program(os.path.abspath(options.tools) if options.tools else "")
        kept = options.certificates or folder / "certificates"
        certificates = policies.certificates_of(CERTIFICATES if "5" in rows else 1, kept)
        own = policies.make_certificate(TLS_NAME, kept)
        text, requests = Many.of(certificates), prepare_requests(folder)
        first, second = Ports.above(options.port), Ports.above(options.port + 10)
        one = stack.enter_context(gateway(launcher, rootfs, folder / "one", first, one_rule(first, own), own))
        many = stack.enter_context(gateway(launcher, rootfs, folder / "many", second, text.text(), own))
        print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
        print(f"{'what':<62} {'reach':>16}  measured")
        bench = Bench(folder, options.seconds, options.rounds, report)
        figures: dict[str, Callable[[], None]] = {
            "1": lambda: bench.own_answer(one), "2": lambda: bench.many_rules(one, many, requests), "6": lambda: bench.handshakes(one),
            "5": lambda: bench.memory(many, list(certificates)), "4": lambda: bench.propagation(many, text),
            "3": lambda: bench.changing(many, text, requests),
        }
        for number, figure in figures.items():
            if number in rows:
                figure()
        print(f"\nUSS after all changes of the policy: {', '.join(f'{uss / 1e6:.1f} MB' for uss, _, _ in usage(many).values())}")
        for each in (one, many):
            if said := each.log():
                print(f"error log of {each.folder.name}:\n{said[:2000]}")
    sys.exit(1 if report.missed else 0)


if __name__ == "__main__":
    main()
