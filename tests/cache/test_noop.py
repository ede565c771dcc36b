"""The stamp: it answers only when nothing has changed."""

import os
import sys
import time
from pathlib import Path

import pytest

import builder
from builder.cache import noop

ARGV = ["build"]
OLD = 10**18  # nanoseconds: long ago


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files and a folder inside; the clock's tick is short, so that a test need not wait for it."""
    monkeypatch.setattr(noop, "_TICK", 3_000_000)
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "deep/b").write_text("b")
    monkeypatch.chdir(tmp_path)
    return folder


def write(*paths: Path, text: str = "made\n", argv: list[str] = ARGV) -> None:
    watch = watching(*paths)
    watch.leave(argv, text)


def watching(*paths: Path) -> noop.Watch:
    time.sleep(0.015)  # the kernel's clock may stand still for 10 ms
    watch = noop.Watch()
    watch.look(*map(str, paths))
    return watch


def test_nothing_is_known_at_first() -> None:
    assert noop.answer(ARGV) is None


@pytest.mark.parametrize("text", ["", "made\n", "a\n\nb\n\n\n", "\u00fc \udcff\n"])
def test_the_answer_is_what_was_printed(inputs: Path, text: str) -> None:
    write(inputs, text=text)
    assert noop.answer(ARGV) == text


def test_what_the_answer_took_is_not_taken_again_but_compared_at_the_end(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(inputs)
    change_bytes(inputs)
    time.sleep(0.015)
    taken: dict[str, noop.Fingerprint] = {}
    assert noop.answer(ARGV, taken) is None
    with monkeypatch.context() as patch:
        patch.setattr(noop, "fingerprint", pytest.fail)
        watch = noop.Watch(taken)
        watch.look(str(inputs))
    watch.leave(ARGV, "again\n")
    assert noop.answer(ARGV) == "again\n"
    add_file(inputs)
    time.sleep(0.015)
    taken.clear()
    assert noop.answer(ARGV, taken) is None
    add_folder(inputs)  # after it was looked at, and before the end
    watch = noop.Watch(taken)
    watch.look(str(inputs))
    watch.leave(ARGV, "never\n")
    assert noop.answer(ARGV) is None


def test_paths_that_are_not_there_count_as_such(inputs: Path) -> None:
    write(inputs, inputs / "later")
    assert noop.answer(ARGV) == "made\n"
    (inputs.parent / "unrelated").touch()
    assert noop.answer(ARGV) == "made\n"
    (inputs / "later").touch()
    assert noop.answer(ARGV) is None


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
    assert noop.answer(ARGV) == "made\n"
    time.sleep(0.015)
    assert callable(change)
    change(inputs)
    assert noop.answer(ARGV) is None


def test_a_file_named_by_itself(inputs: Path) -> None:
    write(inputs / "a")
    (inputs / "deep/b").write_text("other")
    assert noop.answer(ARGV) == "made\n"
    time.sleep(0.015)
    (inputs / "a").write_text("other")
    assert noop.answer(ARGV) is None


def test_compiled_python_counts_but_for_that_of_the_builder(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(inputs)
    (inputs / "__pycache__").mkdir()
    (inputs / "__pycache__/a.pyc").touch()
    assert noop.answer(ARGV) is None
    monkeypatch.setattr(noop, "own_code", lambda: str(inputs))
    write(inputs)
    (inputs / "__pycache__/b.pyc").touch()
    assert noop.answer(ARGV) == "made\n"


# ---- what was read, not what is there when it ends


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: str(each.__name__))
def test_a_change_between_reading_and_the_end_leaves_no_stamp(inputs: Path, change: object) -> None:
    watch = watching(inputs)
    assert callable(change)
    change(inputs)
    watch.leave(ARGV, "made\n")
    assert noop.answer(ARGV) is None


def test_what_the_command_made_itself_is_looked_at_anew(inputs: Path) -> None:
    watch = watching(inputs)
    change_bytes(inputs)
    watch.made(str(inputs))
    watch.leave(ARGV, "made\n")
    assert noop.answer(ARGV) == "made\n"


def test_a_look_waits_until_what_it_sees_is_old_enough(inputs: Path) -> None:
    """Else an edit in the same tick of the clock, after the look and before the reading, would not show."""
    (inputs / "a").write_text("just now")
    watch = noop.Watch()
    watch.look(str(inputs))
    assert time.time_ns() > noop.sure_from((inputs / "a").stat().st_ctime_ns)


@pytest.mark.parametrize(("changed", "ticks"), [
    (1_700_000_000_123_456_789, 0), (1_700_000_000_120_000_000, 10_000_000), (1_700_000_000_000_000_000, 2_000_000_000),
])
def test_a_file_system_with_a_coarse_clock_is_waited_for(changed: int, ticks: int) -> None:
    assert noop.sure_from(changed) == changed + noop._TICK + ticks


def test_times_of_whole_seconds_give_no_stamp_at_once(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel keeps nothing finer: the size and the second of a file would stay as they are."""
    real = noop._add

    def coarse(path: str, found: os.stat_result, rows: list[str], changed: set[int]) -> None:
        real(path, found, rows, set())
        changed.add(found.st_ctime_ns // 10**9 * 10**9)

    monkeypatch.setattr(noop, "_add", coarse)
    write(inputs)
    assert noop.answer(ARGV) is None
    monkeypatch.setattr(time, "time_ns", lambda real=time.time_ns: real() + 2_100_000_000)
    write(inputs)
    assert noop.answer(ARGV) == "made\n"


# ---- links


def test_the_file_that_a_link_leads_to_counts(inputs: Path) -> None:
    (inputs.parent / "shared").write_text("a")
    (inputs / "deep/link").symlink_to("../../shared")
    write(inputs)
    assert noop.answer(ARGV) == "made\n"
    time.sleep(0.015)
    (inputs.parent / "shared").write_text("b")
    assert noop.answer(ARGV) is None


def test_a_directory_that_is_a_link_is_followed_where_it_is_named(inputs: Path) -> None:
    (inputs.parent / "link").symlink_to("inputs")
    write(inputs.parent / "link")
    assert noop.answer(ARGV) == "made\n"
    add_file(inputs)
    assert noop.answer(ARGV) is None


def test_a_directory_that_becomes_a_link_to_itself_counts(inputs: Path) -> None:
    write(inputs / "deep")
    (inputs / "deep").rename(inputs / "moved")
    (inputs / "deep").symlink_to("moved")
    assert noop.answer(ARGV) is None


def test_a_link_that_leads_in_a_circle_ends(inputs: Path) -> None:
    (inputs / "deep/up").symlink_to("..")
    (inputs / "self").symlink_to("self")
    write(inputs)
    assert noop.answer(ARGV) == "made\n"


def test_a_slash_at_the_end_means_the_directory_alone(inputs: Path) -> None:
    watch = noop.Watch()
    watch.look(f"{inputs}/")
    watch.leave(ARGV, "made\n")
    (inputs / "deep/c").touch()
    assert noop.answer(ARGV) == "made\n"
    (inputs / "b").touch()
    assert noop.answer(ARGV) is None


def test_another_command_line_or_folder_has_its_own(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(inputs)
    assert noop.answer(["build", "--json"]) is None
    assert noop.answer([]) is None
    monkeypatch.chdir(inputs)
    assert noop.answer(ARGV) is None


@pytest.mark.parametrize("name", ["BUILDER_STORE", "BUILDER_SETTINGS", "BUILDER_SOMETHING", "XDG_CONFIG_HOME", "HOME"])
def test_the_environment_counts(inputs: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(inputs)
    monkeypatch.setenv(name, "/other")
    assert noop.answer(ARGV) is None


def test_a_file_that_may_still_change_unseen_gives_no_stamp(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noop, "_TICK", 3_600 * 10**9)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    write(inputs)
    assert noop.answer(ARGV) is None


def test_a_file_that_changes_while_it_waits_gives_no_stamp(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watching(inputs)
    (inputs / "a").write_text("just now")
    watch.made(str(inputs))
    monkeypatch.setattr(noop, "_wait", lambda _: add_file(inputs))
    watch.leave(ARGV, "made\n")
    assert noop.answer(ARGV) is None


def test_it_waits_for_a_young_file(inputs: Path) -> None:
    (inputs / "a").write_text("just now")
    watch = noop.Watch()
    watch.look(str(inputs))
    watch.leave(ARGV, "made\n")
    assert noop.answer(ARGV) == "made\n"


@pytest.mark.parametrize("damage", [b"", b"x", b"\n\n\n", b"\xff\xfe"])
def test_a_damaged_stamp_is_silent(inputs: Path, home: Path, damage: bytes) -> None:
    write(inputs)
    (found,) = (home / ".cache/builder/stamps").iterdir()
    found.write_bytes(damage)
    assert noop.answer(ARGV) is None


def test_a_cache_that_cannot_be_written_does_not_matter(inputs: Path, home: Path) -> None:
    (home / ".cache").write_text("a file")
    write(inputs)
    assert noop.answer(ARGV) is None


def test_a_file_that_vanishes_while_it_looks(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another builder writes to out/ meanwhile."""
    write(inputs)

    def name(entry: "os.DirEntry[str]") -> str:
        if entry.name == "b":
            (inputs / "deep/b").unlink()
        return entry.name

    monkeypatch.setattr(noop, "_name", name)
    assert noop.answer(ARGV) is None
    (inputs / "deep/b").touch()
    write(inputs)
    assert noop.answer(ARGV) is None


def test_the_fingerprint_tells_paths_apart(inputs: Path) -> None:
    a, b = str(inputs / "a"), str(inputs / "deep/b")
    digests = [noop.fingerprint(path)[0] for path in (a, b, str(inputs), f"{inputs}/", str(inputs / "deep"))]
    assert len(set(digests)) == len(digests)


def test_own_code_is_the_package() -> None:
    assert Path(noop.own_code()).samefile(Path(builder.__file__).parent)


def test_old_stamps_are_forgotten(inputs: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noop, "_MOST", 3)
    for number in range(6):
        write(inputs, text=f"{number}\n", argv=[*ARGV, str(number)])
    assert len(list((home / ".cache/builder/stamps").iterdir())) == 3
    assert noop.answer([*ARGV, "5"]) == "5\n"
    assert noop.answer([*ARGV, "0"]) is None


@pytest.mark.parametrize("change", [b"made", b"MADE"])
def test_the_text_of_a_stamp_is_covered_too(inputs: Path, home: Path, change: bytes) -> None:
    write(inputs)
    (found,) = (home / ".cache/builder/stamps").iterdir()
    found.write_bytes(found.read_bytes().replace(b"made\n", change))
    assert noop.answer(ARGV) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_stamp_of_another_user_is_not_believed(inputs: Path, home: Path) -> None:
    write(inputs)
    (found,) = (home / ".cache/builder/stamps").iterdir()
    os.chown(found, 65534, 65534)
    assert noop.answer(ARGV) is None


def test_another_builder_another_python_and_other_packages_have_their_own(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = inputs.parent / "site-packages"
    packages.mkdir()
    monkeypatch.setattr(sys, "path", [str(packages)])
    write(inputs)
    assert noop.answer(ARGV) == "made\n"
    with monkeypatch.context() as patch:
        patch.setattr(noop, "own_code", lambda: "/another/builder")
        assert noop.answer(ARGV) is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version", "3.99.0")
        assert noop.answer(ARGV) is None
    time.sleep(0.015)
    (packages / "zstandard-0.99.dist-info").mkdir()
    assert noop.answer(ARGV) is None


def test_a_cache_folder_that_is_relative_is_ignored(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the Base Directory Specification has it: stamps do not lie about in the working directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    write(inputs)
    assert noop.answer(ARGV) == "made\n"
    assert not Path("here").exists()
