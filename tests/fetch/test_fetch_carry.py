"""`fetch --to`: archives as files of a directory that may hold anything already."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base.errors import MachineError, StoreError, UsageError
from builder.fetch import Fetcher, Pinned, Wanted
from builder.fetch.carry import carry
from builder.progress.reporter import NullReporter
from builder.recipe.source import Source
from builder.store import Store

NAME = "v1.0.tar.gz"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Carrier:
    def __init__(self, top: Path) -> None:
        self.store = Store(str(top / "store"))
        self.folder = top / "carry"

    def archive(self, data: bytes, *, package: str = "one", name: str = NAME, pinned: bool = True) -> tuple[Wanted, Pinned]:
        Path(self.store.file_path(sha256(data))).write_bytes(data)
        source = Source(locations=(f"https://h.example/{name}",), filename=name, sha256=sha256(data) if pinned else None)
        return Wanted(package, "1", source), Pinned(sha256(data), len(data), None, None, None)

    def carry(self, *archives: tuple[Wanted, Pinned]) -> list[str]:
        return carry(self.store, str(self.folder), dict(archives))

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    made = Carrier(tmp_path)
    yield made
    made.store.close()


def test_each_under_its_name(carrier: Carrier) -> None:
    one, other = carrier.archive(b"1", name="a.tar"), carrier.archive(b"2", package="two", name="b.tar")
    assert carrier.carry(one, other) == carrier.carry(one, other) == []
    assert carrier.files == {"a.tar": b"1", "b.tar": b"2"}


def test_one_name_for_two_archives(carrier: Carrier, tmp_path: Path) -> None:
    """The second is there as its hash, is told, and a distdir gives both."""
    pairs = carrier.archive(b"1"), carrier.archive(b"2", package="two"), carrier.archive(b"1", package="three")
    said = [f"two 1: another file has the name {NAME}, so its archive is there as {sha256(b'2')}"]
    assert carrier.carry(*pairs) == carrier.carry(*pairs) == said
    assert carrier.files == {NAME: b"1", sha256(b"2"): b"2"}
    with Store(str(tmp_path / "elsewhere")) as store:
        fetcher = Fetcher(store, mirrors={}, distdirs=[str(carrier.folder)], offline=True, reporter=NullReporter())
        found = fetcher.fetch([wanted for wanted, _ in pairs], unpack=False)
    assert [pin.sha256 for pin in found.values()] == [pin.sha256 for _, pin in pairs]


def test_an_archive_that_is_known_by_its_name_only_gets_it(carrier: Carrier) -> None:
    assert len(carrier.carry(carrier.archive(b"1"), carrier.archive(b"2", package="two", pinned=False))) == 1
    assert carrier.files == {NAME: b"2", sha256(b"1"): b"1"}


def test_what_is_there_already_is_never_replaced(carrier: Carrier) -> None:
    carrier.folder.mkdir()
    (carrier.folder / NAME).write_bytes(b"half")
    assert len(carrier.carry(carrier.archive(b"1"))) == 1
    assert carrier.files == {NAME: b"half", sha256(b"1"): b"1"}


def test_links_are_not_followed(carrier: Carrier, tmp_path: Path) -> None:
    target = tmp_path / "target"
    carrier.folder.mkdir()
    for name in (NAME, f".{sha256(b'1')}.part"):
        (carrier.folder / name).symlink_to(target)
    assert len(carrier.carry(carrier.archive(b"1"))) == 1
    assert not target.exists()
    assert (carrier.folder / sha256(b"1")).read_bytes() == b"1"
    target.write_bytes(b"1")
    (carrier.folder / sha256(b"1")).unlink()
    carrier.carry(carrier.archive(b"1"))
    assert not (carrier.folder / sha256(b"1")).is_symlink(), "a link to the right bytes is no file to carry"


def test_a_directory_that_is_a_link(carrier: Carrier, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    carrier.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError) as caught:
        carrier.carry(carrier.archive(b"1"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    carrier.folder = Path(caught.value.hint.rpartition("--to ")[2])
    assert carrier.carry(carrier.archive(b"1")) == []


def test_names_that_are_none(carrier: Carrier) -> None:
    for name in ("../x", "..", "a/b"):
        assert len(carrier.carry(carrier.archive(b"1", name=name))) == 1
    assert carrier.files == {sha256(b"1"): b"1"}


def test_the_hash_is_taken_too(carrier: Carrier) -> None:
    carrier.folder.mkdir()
    (carrier.folder / NAME).mkdir()
    (carrier.folder / sha256(b"1")).mkdir()
    with pytest.raises(UsageError) as caught:
        carrier.carry(carrier.archive(b"1"))
    subprocess.run(caught.value.hint.removeprefix("remove it: "), shell=True, check=True)
    assert len(carrier.carry(carrier.archive(b"1"))) == 1


def test_a_damaged_archive_of_the_store_is_not_carried(carrier: Carrier) -> None:
    pair = carrier.archive(b"1")
    Path(carrier.store.file_path(sha256(b"1"))).write_bytes(b"2")
    with pytest.raises(StoreError):
        carrier.carry(pair)
    assert carrier.files == {}


def test_a_full_disk_leaves_no_half_file(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MachineError, match=r"could not write v1\.0\.tar\.gz: No space left on device"):
        carrier.carry(carrier.archive(b"1"))
    assert carrier.files == {}


KILLED = """
import os, sys, time
from builder.fetch import Pinned, Wanted, carry
from builder.recipe.source import Source
from builder.store import Store

def wait(descriptor):
    print("writing", flush=True)
    time.sleep(30)

os.fsync = wait
store, folder, sha256 = sys.argv[1:]
with Store(store) as opened:
    wanted = Wanted("one", "1", Source(filename="v1.0.tar.gz", sha256=sha256))
    carry.carry(opened, folder, {wanted: Pinned(sha256, 1, None, None, None)})
"""


def test_an_interrupted_copy_has_no_name(carrier: Carrier) -> None:
    pair = carrier.archive(b"1")
    for number in (signal.SIGINT, signal.SIGKILL):
        argv = [sys.executable, "-c", KILLED, carrier.store.root, str(carrier.folder), sha256(b"1")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            time.sleep(0.05)
            process.send_signal(number)
        assert NAME not in os.listdir(carrier.folder)
    assert carrier.carry(pair) == []
    assert carrier.files == {NAME: b"1"}, "what the killed one left was cleared away"
