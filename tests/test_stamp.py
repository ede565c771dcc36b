"""The stamp: it answers only when nothing has changed."""

import os
import time
from pathlib import Path

import pytest

from builder import stamp

ARGV = ["build"]
OLD = 10**18  # nanoseconds: long ago


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files and a folder inside; the clock's tick is short, so that a test need not wait for it."""
    monkeypatch.setattr(stamp, "_TICK", 3_000_000)
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "deep/b").write_text("b")
    monkeypatch.chdir(tmp_path)
    return folder


def write(*paths: Path, text: str = "made\n", argv: list[str] = ARGV) -> None:
    time.sleep(0.015)  # the kernel's clock may stand still for 10 ms
    stamp.write(argv, list(map(str, paths)), text)


def test_nothing_is_known_at_first() -> None:
    assert stamp.answer(ARGV) is None


@pytest.mark.parametrize("text", ["", "made\n", "a\n\nb\n\n\n", "\u00fc \udcff\n"])
def test_the_answer_is_what_was_printed(inputs: Path, text: str) -> None:
    write(inputs, text=text)
    assert stamp.answer(ARGV) == text


def test_paths_that_are_not_there_count_as_such(inputs: Path) -> None:
    write(inputs, inputs / "later")
    assert stamp.answer(ARGV) == "made\n"
    (inputs.parent / "unrelated").touch()
    assert stamp.answer(ARGV) == "made\n"
    (inputs / "later").touch()
    assert stamp.answer(ARGV) is None


def change_bytes(folder: Path) -> None:
    (folder / "a").write_text("b")


def change_secretly(folder: Path) -> None:
    """Other bytes of the same length, and the time of before."""
    before = (folder / "a").stat()
    (folder / "a").write_text("b")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_file(folder: Path) -> None:
    before = (folder / "a").stat()
    (folder / "new").write_text("b")
    os.utime(folder / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new").rename(folder / "a")


def change_mode(folder: Path) -> None:
    (folder / "a").chmod(0o755)


def add_file(folder: Path) -> None:
    (folder / "deep/c").touch()


def add_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


def remove_file(folder: Path) -> None:
    (folder / "deep/b").unlink()


def rename_folder(folder: Path) -> None:
    (folder / "deep").rename(folder / "deeper")


def add_dangling_link(folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")


CHANGES = [
    change_bytes, change_secretly, replace_file, change_mode, add_file, add_folder, remove_file, rename_folder, add_dangling_link,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: str(each.__name__))
def test_any_change_makes_it_silent(inputs: Path, change: object) -> None:
    write(inputs)
    assert stamp.answer(ARGV) == "made\n"
    time.sleep(0.015)
    assert callable(change)
    change(inputs)
    assert stamp.answer(ARGV) is None


def test_a_file_named_by_itself(inputs: Path) -> None:
    write(inputs / "a")
    (inputs / "deep/b").write_text("other")
    assert stamp.answer(ARGV) == "made\n"
    time.sleep(0.015)
    (inputs / "a").write_text("other")
    assert stamp.answer(ARGV) is None


def test_compiled_python_does_not_count(inputs: Path) -> None:
    write(inputs)
    (inputs / "__pycache__").mkdir()
    (inputs / "__pycache__/a.pyc").touch()
    assert stamp.answer(ARGV) == "made\n"


def test_another_command_line_or_folder_has_its_own(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(inputs)
    assert stamp.answer(["build", "--json"]) is None
    assert stamp.answer([]) is None
    monkeypatch.chdir(inputs)
    assert stamp.answer(ARGV) is None


@pytest.mark.parametrize("name", ["BUILDER_STORE", "BUILDER_SETTINGS", "BUILDER_MIRROR_DEBIAN", "XDG_CONFIG_HOME", "HOME"])
def test_the_environment_counts(inputs: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(inputs)
    monkeypatch.setenv(name, "/other")
    assert stamp.answer(ARGV) is None


def test_a_file_that_may_still_change_unseen_gives_no_stamp(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "_TICK", 3_600 * 10**9)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    stamp.write(ARGV, [str(inputs)], "made\n")
    assert stamp.answer(ARGV) is None


def test_a_file_that_changes_while_it_waits_gives_no_stamp(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "_TICK", 3_600 * 10**9)
    monkeypatch.setattr(time, "sleep", lambda _: add_file(inputs))
    stamp.write(ARGV, [str(inputs)], "made\n")
    assert stamp.answer(ARGV) is None


def test_it_waits_for_a_young_file(inputs: Path) -> None:
    (inputs / "a").write_text("just now")
    stamp.write(ARGV, [str(inputs)], "made\n")
    assert stamp.answer(ARGV) in ("made\n", None)  # None when the machine was too slow
    write(inputs)
    assert stamp.answer(ARGV) == "made\n"


@pytest.mark.parametrize("damage", [b"", b"x", b"\n\n\n", b"\xff\xfe"])
def test_a_damaged_stamp_is_silent(inputs: Path, home: Path, damage: bytes) -> None:
    write(inputs)
    (found,) = (home / ".cache/builder/stamps").iterdir()
    found.write_bytes(damage)
    assert stamp.answer(ARGV) is None


def test_a_cache_that_cannot_be_written_does_not_matter(inputs: Path, home: Path) -> None:
    (home / ".cache").write_text("a file")
    write(inputs)
    assert stamp.answer(ARGV) is None


def test_a_file_that_vanishes_while_it_looks(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another builder writes to out/ meanwhile."""
    write(inputs)

    def name(entry: "os.DirEntry[str]") -> str:
        if entry.name == "b":
            (inputs / "deep/b").unlink()
        return entry.name

    monkeypatch.setattr(stamp, "_name", name)
    assert stamp.answer(ARGV) is None
    (inputs / "deep/b").touch()
    write(inputs)
    assert stamp.answer(ARGV) is None


def test_the_fingerprint_tells_paths_apart(inputs: Path) -> None:
    a, b = str(inputs / "a"), str(inputs / "deep/b")
    digests = [stamp.fingerprint(paths)[0] for paths in ([], [a], [b], [a, b], [b, a], [str(inputs)])]
    assert len(set(digests)) == len(digests)


def test_own_code_is_the_package() -> None:
    assert (Path(stamp.own_code()) / "stamp.py").samefile(stamp.__file__)


def test_old_stamps_are_forgotten(inputs: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "_MOST", 3)
    for number in range(6):
        stamp.write([*ARGV, str(number)], [str(inputs)], f"{number}\n")
    assert len(list((home / ".cache/builder/stamps").iterdir())) == 3
    assert stamp.answer([*ARGV, "5"]) == "5\n"
    assert stamp.answer([*ARGV, "0"]) is None
