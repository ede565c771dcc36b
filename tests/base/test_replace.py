"""Folders that take another's place: the old one or the new one is there at any moment."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.base import replace
from builder.base.errors import MachineError, RefusedError
from builder.base.replace import replacing
from builder.store.remove import remove_tree

OURS = re.compile("[a-h]|left")


def put(target: Path, text: str) -> None:
    with replacing(str(target), OURS) as fresh:
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
    monkeypatch.setattr(replace, "exchange", lambda one, two: False)
    target = tmp_path / "web"
    put(target, "one")
    put(target, "two")
    assert content(target) == {"two"}
    assert [each.name for each in tmp_path.iterdir()] == ["web"]


def test_exchange_swaps_two_folders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one, "1")
    put(two, "2")
    if not replace.exchange(str(one), str(two)):
        pytest.skip("this file system cannot exchange")
    assert (content(one), content(two)) == ({"2"}, {"1"})
    assert not replace.exchange(str(one), str(tmp_path / "absent"))


def test_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "web"
    put(target, "one")
    with pytest.raises(RuntimeError, match="broken"), replacing(str(target), OURS) as fresh:
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
    with pytest.raises(KilledError), replacing(str(target), OURS):
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
    with pytest.raises(MachineError) as error, replacing(str(target), OURS):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert error.value.message == f"cannot write to {tmp_path}: No space left on device"
    assert content(target) == {"one"}


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(str(tmp_path / "web"), OURS) as fresh:
        Path(fresh, "absent").read_text()


def folder_of_a_user(place: Path) -> Path:
    (place / "deep").mkdir(parents=True)
    (place / "a").write_text("a")
    (place / "deep/notes").write_text("mine")
    return place / "deep/notes"


@pytest.mark.parametrize("name", ["web", ".web.new", ".web.old"])
def test_empty_directories_nested_deeper_than_the_interpreters_stack_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / name)
        for _ in range(sys.getrecursionlimit()):
            os.mkdir("d")
            os.chdir("d")
    with pytest.raises(RefusedError, match=f"{name}: it holds d/d/d/d/d/d/d/d/d, which the builder did not write"):
        put(tmp_path / "web", "one")
    remove_tree(str(tmp_path / name))
    put(tmp_path / "web", "one")
    assert content(tmp_path / "web") == {"one"}


@pytest.mark.parametrize("name", ["web", ".web.new", ".web.old"])
def test_a_folder_with_a_file_of_another_name_is_not_replaced(tmp_path: Path, name: str) -> None:
    notes = folder_of_a_user(tmp_path / name)
    with pytest.raises(RefusedError) as error:
        put(tmp_path / "web", "one")
    assert str(error.value) == (
        f"{tmp_path}/{name}: it holds deep/notes, which the builder did not write, so it is not replaced\n"
        "  next: move it to another place, then run the command again"
    )
    assert notes.read_text() == "mine"
    (tmp_path / name).rename(tmp_path / "elsewhere")
    put(tmp_path / "web", "one")
    assert content(tmp_path / "web") == {"one"}


@pytest.mark.parametrize("name", ["web", ".web.new", ".web.old"])
@pytest.mark.parametrize("target", ["mine", "nowhere", "file"])
def test_a_link_or_a_file_is_not_replaced(tmp_path: Path, name: str, target: str) -> None:
    notes = folder_of_a_user(tmp_path / "mine")
    if target == "file":
        (tmp_path / name).write_text("mine")
    else:
        (tmp_path / name).symlink_to(target)
    with pytest.raises(RefusedError, match="the builder did not write it, so it is not replaced"):
        put(tmp_path / "web", "one")
    assert notes.read_text() == "mine"
    assert os.path.lexists(tmp_path / name)


def test_a_link_in_an_old_folder_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a").symlink_to("b")
    with pytest.raises(RefusedError, match="it holds a, which"):
        put(tmp_path / "web", "one")


def test_a_file_that_comes_while_the_new_one_is_made_stays(tmp_path: Path) -> None:
    put(tmp_path / "web", "one")
    with pytest.raises(RefusedError), replacing(str(tmp_path / "web"), OURS):
        (tmp_path / "web/notes").write_text("mine")
    assert (tmp_path / "web/notes").read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["web"]


def test_an_empty_folder_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "web/empty").mkdir(parents=True)
    put(tmp_path / "web", "one")
    assert content(tmp_path / "web") == {"one"}


LOOP = """
import re
import sys
from pathlib import Path
from builder.base.replace import replacing
from builder.store.remove import remove_tree
for number in range(100000):
    with replacing(sys.argv[1], re.compile("[a-h]")) as fresh:
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
