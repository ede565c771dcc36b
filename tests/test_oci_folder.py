"""Folders that take another's place: the old one or the new one is there at any moment."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.errors import MachineError
from builder.oci import folder
from builder.oci.folder import replacing


def put(target: Path, text: str) -> None:
    with replacing(str(target)) as fresh:
        Path(fresh, "a").write_text(text)
        Path(fresh, "b").write_text(text)


def content(target: Path) -> set[str]:
    return {each.read_text() for each in target.iterdir()}


def test_first_and_second_time(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out" / "web"
    put(target, "one")
    assert content(target) == {"one"}
    put(target, "two")
    assert content(target) == {"two"}
    assert [each.name for each in target.parent.iterdir()] == ["web"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_without_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "exchange", lambda one, two: False)
    target = tmp_path / "web"
    put(target, "one")
    put(target, "two")
    assert content(target) == {"two"}
    assert [each.name for each in tmp_path.iterdir()] == ["web"]


def test_exchange_swaps_two_folders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one, "1")
    put(two, "2")
    if not folder.exchange(str(one), str(two)):
        pytest.skip("this file system cannot exchange")
    assert (content(one), content(two)) == ({"2"}, {"1"})
    assert not folder.exchange(str(one), str(tmp_path / "absent"))


def test_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "web"
    put(target, "one")
    with pytest.raises(RuntimeError, match="broken"), replacing(str(target)) as fresh:
        Path(fresh, "a").write_text("half")
        raise RuntimeError("broken")
    assert content(target) == {"one"}
    assert [each.name for each in tmp_path.iterdir()] == ["web"]


class KilledError(BaseException):
    """Stands for `kill -9`: nothing after it runs."""


def test_killed_between_the_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "web"
    put(target, "one")
    (tmp_path / ".web.new/left").mkdir(parents=True)
    target.rename(tmp_path / ".web.old")
    with pytest.raises(KilledError), replacing(str(target)):
        assert content(target) == {"one"}
        assert not (tmp_path / ".web.new/left").exists()
        raise KilledError
    assert content(target) == {"one"}


def test_killed_after_both_renames(tmp_path: Path) -> None:
    target = tmp_path / "web"
    put(target, "two")
    put(tmp_path / ".web.old", "one")
    put(target, "three")
    assert content(target) == {"three"}
    assert [each.name for each in tmp_path.iterdir()] == ["web"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError) as error:
        put(tmp_path / "file" / "web", "one")
    assert str(error.value) == (
        f"{tmp_path}/file/web: cannot write to {tmp_path}/file: File exists\n"
        "  next: free space or permissions there, or write elsewhere with --out"
    )


def test_a_full_disk_is_an_error_of_the_machine(tmp_path: Path) -> None:
    target = tmp_path / "web"
    put(target, "one")
    with pytest.raises(MachineError) as error, replacing(str(target)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert error.value.message == f"cannot write to {tmp_path}: No space left on device"
    assert content(target) == {"one"}


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(str(tmp_path / "web")) as fresh:
        Path(fresh, "absent").read_text()


LOOP = """
import sys
from pathlib import Path
from builder.oci.folder import replacing
for number in range(100000):
    with replacing(sys.argv[1]) as fresh:
        for name in "abcdefgh":
            Path(fresh, name).write_text(str(number))
"""


@pytest.mark.long
def test_kill_at_random_moments(tmp_path: Path) -> None:
    target = tmp_path / "web"
    put(target, "old")
    rng = random.Random(11)
    for _ in range(60):
        process = subprocess.Popen([sys.executable, "-c", LOOP, str(target)])
        time.sleep(0.08 + rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(content(target)) == 1
    put(target, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["web"]
