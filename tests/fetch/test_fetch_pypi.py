"""Wheels through pip: the options that make pip choose a foreign wheel, and what it says when it cannot."""

import hashlib
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from builder.fetch import pypi
from builder.fetch.part import Part
from builder.fetch.unpack import Cancelled
from builder.fetch.wanted import Unavailable

SIX = "pypi://six/1.16.0/six-1.16.0-py2.py3-none-any.whl"
SIX_SHA256 = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"


def options(filename: str) -> list[str]:
    return pypi.options(pypi.parse(f"pypi://a/1/{filename}"))[2:]


def test_options_follow_from_the_name() -> None:
    assert options("a-1-py2.py3-none-any.whl") == [
        "--implementation", "py", "--python-version", "3", "--abi", "none", "--platform", "any",
    ]
    assert options("a-1-2build-cp311-abi3.cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl") == [
        "--implementation", "cp", "--python-version", "3.11", "--abi", "abi3", "--abi", "cp311",
        "--platform", "manylinux_2_17_aarch64", "--platform", "manylinux2014_aarch64",
    ]
    assert options("a-1-cp39.cp310-none-win32.whl")[3] == "3.10"


@pytest.mark.parametrize(("location", "said"), [
    ("pypi://a/1", "is not of the form pypi://PROJECT/VERSION/FILE"),
    ("pypi://a/1/b/c-1-py3-none-any.whl", "is not of the form pypi://PROJECT/VERSION/FILE"),
    ("pypi://-r/1/a-1-py3-none-any.whl", "is not of the form pypi://PROJECT/VERSION/FILE"),
    ("pypi://a/1 --pre/a-1-py3-none-any.whl", "is not of the form pypi://PROJECT/VERSION/FILE"),
    ("pypi://a/1\n/a-1-py3-none-any.whl", "is not of the form pypi://PROJECT/VERSION/FILE"),
    ("pypi://a/1/a-1.tar.gz", "is no wheel, and only wheels are fetched from a package index"),
    ("pypi://a/1/a-1-any.whl", "is no wheel, and only wheels are fetched from a package index"),
])
def test_locations_that_are_none(location: str, said: str) -> None:
    with pytest.raises(Unavailable) as caught:
        pypi.parse(location)
    assert caught.value.reason == said


class Client:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.part"
        self.cancel = threading.Event()

    def get(self, location: str, sha256: str | None) -> bytes:
        with Part(str(self.path), limit=1 << 20, cancel=self.cancel, progress=lambda _count: None) as part:
            pypi.download(location, sha256, part, self.cancel)
        assert [path.name for path in self.path.parent.iterdir() if path.name.startswith("pip-")] == []
        return self.path.read_bytes()

    def refused(self, location: str, sha256: str | None) -> str:
        with pytest.raises(Unavailable) as caught:
            self.get(location, sha256)
        return caught.value.reason


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "CONFIG_FILE"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, tags: str) -> tuple[str, bytes]:
    """A wheel of project `builder-test-sample` 1.0: its location and bytes."""
    name = f"builder_test_sample-1.0-{tags}.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("builder_test_sample.py", f"tags = '{tags}'\n")
        info = "builder_test_sample-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: builder-test-sample\nVersion: 1.0\nRequires-Python: >=3.99\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"pypi://builder-test-sample/1.0/{name}", (folder / name).read_bytes()


@pytest.mark.parametrize("tags", [
    "py3-none-manylinux_2_12_s390x.musllinux_1_1_s390x",
    pytest.param("py3-none-any", marks=pytest.mark.long),
    pytest.param("cp312-cp312-win_arm64", marks=pytest.mark.long),
])
def test_a_wheel_for_any_machine_is_fetched_on_this_one(client: Client, index: Path, tags: str) -> None:
    location, data = make_wheel(index, tags)
    make_wheel(index, "py3-none-manylinux_2_12_ppc64le")
    assert client.get(location, hashlib.sha256(data).hexdigest()) == data


@pytest.mark.long
def test_pip_checks_the_hash(client: Client, index: Path) -> None:
    location, _ = make_wheel(index, "py3-none-any")
    said = client.refused(location, "0" * 64)
    assert said.startswith("pip: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.")


@pytest.mark.long
def test_pip_does_not_find_it(client: Client, index: Path) -> None:
    assert index.is_dir()
    assert client.refused("pypi://builder-test-absent/1.0/builder_test_absent-1.0-py3-none-any.whl", "0" * 64) == (
        "pip: No matching distribution found for builder-test-absent==1.0"
    )


def test_no_hash(client: Client) -> None:
    assert client.refused(SIX, None) == "a file of a package index is fetched by its sha256 only: pin it"


def test_no_pip(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert client.refused(SIX, SIX_SHA256) == (
        "this Python has no pip: run `python3 -m ensurepip`, or install the package python3-pip"
    )


def test_it_can_be_called_off(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    threading.Timer(0.2, client.cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        client.get(SIX, SIX_SHA256)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("address", "said"), [
    ("http://me:secret@127.0.0.1:9/simple", "pip: could not connect: Connection refused"),
    pytest.param("https://nowhere.invalid/simple", "pip: could not connect: ", marks=pytest.mark.long),
])
def test_an_index_that_cannot_be_reached(client: Client, monkeypatch: pytest.MonkeyPatch, address: str, said: str) -> None:
    """pip itself ends with "No matching distribution found"."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", address)
    found = client.refused(SIX, SIX_SHA256)
    assert found.startswith(said)
    assert "secret" not in found


@pytest.mark.parametrize(("line", "said"), [
    ("'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate "
     "(_ssl.c:1006)'))'", "pip: could not connect securely: certificate verify failed: self-signed certificate"),
    ("'ProxyError('Cannot connect to proxy.', NewConnectionError('<X object at 0x7f>: Failed to establish a new connection: [Errno 111] "
     "Connection refused'))'", "pip: could not connect through the proxy: Connection refused"),
    ("'ReadTimeoutError(\"HTTPSConnectionPool(host='h.example', port=443): Read timed out. (read timeout=15)\")'",
     "pip: could not connect: Read timed out."),
])
def test_what_broke_the_connection(line: str, said: str) -> None:
    log = f"WARNING: Retrying (Retry(total=0)) after connection broken by {line}: /simple/six/\nERROR: No matching distribution\n"
    assert pypi._reason(log, 1) == said


@pytest.mark.network
def test_the_real_index(client: Client) -> None:
    assert hashlib.sha256(client.get(SIX, SIX_SHA256)).hexdigest() == SIX_SHA256
