"""`builder doctor` on machines that are broken for real: namespaces refused, a full disk, a server that does not answer."""

import email.utils
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from builder.cli import kinds
from builder.show.doctor import CHECKS

BUILDER = str(Path(sys.executable).with_name("builder"))


class Doctor:
    """Runs the verb outside of any project. before: dash source that first breaks the machine, in namespaces of its own."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address

    def __call__(self, *argv: str, before: str = "") -> "subprocess.CompletedProcess[str]":
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "BUILDER_STORE": f"{self.folder}/store",
            "BUILDER_MIRROR_DEBIAN": self.address, "PIP_INDEX_URL": self.address,
        }  # fmt: skip
        words = ["unshare", "-Urm", "sh", "-euc", before + '\nexec "$@"', "sh"] if before else []
        return subprocess.run([*words, BUILDER, "doctor", *argv], cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    """With a mirror and an index that answer, on a machine where all is well."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Doctor(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def unshared() -> bool:
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


broken = pytest.mark.skipif(not unshared(), reason="no namespaces to break a machine in")


def test_a_machine_that_is_well(doctor: Doctor) -> None:
    done = doctor()
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("bad: ") and not line.startswith("bad: namespaces")] == []
    assert f"ok: mirror: {doctor.address} answers" in lines
    assert f"ok: index: {doctor.address} answers" in lines
    assert any(line.startswith("ok: limits.memory: ") for line in lines)
    assert len(lines) >= len(CHECKS)
    assert list(doctor.folder.iterdir()) == []  # nothing is left, and no store is made


def test_answers_as_data(doctor: Doctor) -> None:
    found = json.loads(doctor("--json", "--offline").stdout)
    jsonschema.validate(found, kinds.schema("doctor"))
    assert len(found["data"]) >= len(CHECKS)


@broken
def test_namespaces_that_the_kernel_refuses_are_told_with_the_setting(doctor: Doctor) -> None:
    done = doctor("--offline", before="echo 0 > /proc/sys/user/max_user_namespaces")
    assert done.returncode == 5
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("bad: "))
    assert line.startswith("bad: namespaces: user refused: the kernel refuses user namespaces: user.max_user_namespaces is 0 ")
    assert "; next: sysctl -w user.max_user_namespaces=15000; or, as root, " in line


@broken
@pytest.mark.parametrize(
    ("mount", "line"),
    [
        ("-o size=1m tmpfs store", "bad: store: 1.0 MB free at "),
        (
            "-o noexec,size=2g tmpfs store",
            "is mounted noexec: tools cannot run from there; next: name a store elsewhere (--store, BUILDER_STORE)",
        ),
        ("-o ro tmpfs store", "/store cannot be written; next: name a store elsewhere (--store, BUILDER_STORE)"),
        (
            "tmpfs store/trees",
            "bad: store: its directories lie on several file systems; next: keep the store on one, or name another "
            "(--store, BUILDER_STORE)",
        ),
    ],
)
def test_a_disk_that_cannot_hold_a_store(doctor: Doctor, mount: str, line: str) -> None:
    done = doctor("--offline", before=f"mkdir -p store/trees store/files\nmount -t tmpfs {mount}")
    assert done.returncode == 5, done.stderr
    assert line in done.stdout


def test_a_place_where_nothing_can_be_made_is_told_in_its_line(doctor: Doctor) -> None:
    done = doctor("--offline", "--store", "/proc/store")
    assert (done.returncode, done.stderr) == (5, "")
    assert "bad: store: /proc/store cannot be written; next: name a store elsewhere (--store, BUILDER_STORE)\n" in done.stdout


def test_a_project_that_is_named_and_not_there_is_told(doctor: Doctor) -> None:
    done = doctor("--offline", "--root", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere: there is no directory recipes/ here or above" in done.stderr


def test_servers_that_refuse(doctor: Doctor) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        doctor.address = f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}"
        done = doctor()
    assert done.returncode == 5
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("bad: ")] == ["mirror", "index"]
    assert "does not answer: could not connect: Connection refused; next: check the address" in done.stdout
    assert "REQUESTS_CA_BUNDLE" in done.stdout, "the variable that a fetch heeds"
    assert "secret" not in done.stdout


def test_offline_asks_no_server(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        doctor.address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert f"ok: mirror: {doctor.address}, not asked\n" in doctor("--offline").stdout
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_clock_that_differs_from_the_servers(tmp_path: Path) -> None:
    class Late(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", email.utils.formatdate(time.time() - 7200))
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = Doctor(tmp_path, f"http://127.0.0.1:{server.server_port}")()
        server.shutdown()
    told = r"^warn: clock: \+72\d\d s against the mirror's; next: set the clock: certificates are checked against it$"
    assert re.search(told, done.stdout, re.MULTILINE), done.stdout


def test_a_lock_of_the_future(doctor: Doctor) -> None:
    (doctor.folder / "recipes").mkdir()
    lock = doctor.folder / "lock.toml"
    lock.touch()
    os.utime(lock, (time.time() + 86400,) * 2)
    said = doctor("--offline").stdout
    told = re.search(r"warn: clock: lock.toml was written in the future; next: set the clock, or `(touch .*)`\n", said)
    assert told, said
    subprocess.run(told[1], shell=True, check=True)
    assert "ok: clock: " in doctor("--offline").stdout
