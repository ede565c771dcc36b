"""The nginx of a built image, running in bubblewrap: its configuration, its start and end, its workers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from connection import MARKER, Connection, ask
from msgspec import Struct

from builder.run.rootfs import Rootfs
from builder.run.serving.listening import Listener, Listening

CONF = "etc/gateway"
WORKERS = 2
BURST = 8  # connections
TARGET = "https://elsewhere.example.com/"

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


class Ports(Struct, frozen=True):
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


class Gateway(Struct):
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


def connection_to_each(started: Gateway) -> list[Connection]:
    """One kept connection to each worker."""
    found: dict[int, Connection] = {}
    spare = []
    end = time.monotonic() + 30
    while set(found) != set(started.workers()):
        assert time.monotonic() < end, f"of {started.workers()} only {sorted(found)} take connections:\n{started.log()}"
        # Several at once: of one after the other the kernel may wake the same worker for each.
        for connection in [Connection(started.ports.rules) for _ in range(BURST)]:
            worker = connection.ask(MARKER)[2]
            if worker in found:
                spare.append(connection)
            else:
                found[worker] = connection
    for each in spare:
        each.close()
    return list(found.values())
