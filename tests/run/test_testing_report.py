"""The file of a report: the old one or the new one, whole, and nothing beside it."""

import os
import threading
from pathlib import Path

import pytest

from builder.base import textfile
from builder.base.errors import MachineError, UsageError
from builder.run.testing import report


def test_a_report_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        report.require_place(str(tmp_path / "r.xml"))
        report.write(str(tmp_path / "r.xml"), data)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.xml": data}


def test_a_full_disk_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.xml"
    path.write_bytes(b"old")
    monkeypatch.setattr(textfile, "_private", lambda _path, _flags: os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(MachineError) as error:
        report.write(str(path), b"new")
    assert str(error.value) == f"{path}: the report cannot be written: No space left on device\n  next: free space or permissions there"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.xml": b"old"}


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / f"r.xml.{os.getpid()}.tmp").symlink_to(tmp_path / "mine")
    report.write(str(tmp_path / "r.xml"), b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mine": b"mine", "r.xml": b"new"}


def test_an_interrupt_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_one: str, _two: str) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "r.xml"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.write(str(path), b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.xml": b"old"}


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """As /dev/stdout does, and /dev/null, which a file would replace for the whole machine."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    report.write(str(path), b"data")
    reader.join()
    assert read == [b"data"]
    assert path.is_fifo()


@pytest.mark.parametrize(("name", "message"), [
    (".", "it is a directory\n  next: name a file"),
    ("none/r.xml", "there is no such directory\n  next: make the directory, or name a file in another one"),
])  # fmt: skip
def test_a_place_that_is_none_is_told_before_the_tests_run(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        report.require_place(f"{tmp_path}/{name}")
    assert str(error.value) == f"--junit {tmp_path}/{name}: {message}"
