"""The workspace: finding it, and how its lock is read and replaced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from msgspec.structs import replace
from small import Small

from builder.base import digest
from builder.base.errors import LockError, MachineError, RecipeError, RefusedError, UsageError
from builder.base.platform import DEFAULT as PLATFORM
from builder.lock import text as lock_text
from builder.lock.lock import Lock, LockedOutput
from builder.resolve.workspace import Workspace, find_root


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Small:
    return small.make(tmp_path / "project", capsys)


def opened(project: Small) -> Workspace:
    return Workspace.open(str(project.root), str(project.root.parent / "cache"))


def resolved(project: Small) -> Workspace:
    workspace = opened(project)
    workspace.save(workspace.fresh_lock(locked=False))
    return workspace


def test_the_root_is_here_or_above(project: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_root(str(project.root)) == str(project.root)
    assert find_root(str(project.root / "files/base/etc")) == str(project.root)
    monkeypatch.chdir(project.root / "files")
    assert find_root(".") == str(project.root)


def test_no_recipes_anywhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        find_root(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: there is no directory recipes/ here or above\n  next: change into the project, or name it with --root DIR"
    )


def test_before_the_first_resolve(project: Small) -> None:
    workspace = opened(project)
    assert (workspace.lock, workspace.lock_text, workspace.notes) == (None, "", [])


def test_a_lock_is_made_and_told(project: Small) -> None:
    workspace = opened(project)
    lock = workspace.fresh_lock(locked=False)
    assert workspace.save(lock)
    assert [each.id for each in lock.packages] == ["base 1", "hello 1", "world 2"]
    assert workspace.notes[:2] == ["base 1 added (small)", "hello 1 added (other, small)"]
    assert Path(workspace.lock_path).read_text() == lock_text.format(lock) == workspace.lock_text


def test_a_fresh_lock_stays(project: Small) -> None:
    before = Path(resolved(project).lock_path).stat()
    workspace = resolved(project)
    after = Path(workspace.lock_path).stat()
    assert (after.st_ino, after.st_mtime_ns, workspace.notes) == (before.st_ino, before.st_mtime_ns, [])
    assert opened(project).fresh_lock(locked=True) == workspace.lock


def test_a_stale_lock_is_brought_up_to_date(project: Small) -> None:
    before = resolved(project).lock_text
    project.replace("recipes/hello.toml", 'version = "1"', 'version = "1.1"')
    workspace = resolved(project)
    assert workspace.notes[0] == "hello 1 -> 1.1 (other, small)"
    assert 'name = "hello"\nversion = "1.1"\n' in workspace.lock_text
    assert workspace.lock_text != before


def test_a_fresh_lock_is_written_only_by_saving(project: Small) -> None:
    workspace = opened(project)
    assert workspace.fresh_lock(locked=False).packages
    assert not (project.root / "lock.toml").exists()
    assert workspace.save(workspace.fresh_lock(locked=False))  # who then writes all the same, writes it


@pytest.mark.parametrize(("images", "expected"), [(["openresty"], "openresty"), (["web"], "web"), (["web", "gateway"], "gateway")])
def test_the_default_image(project: Small, images: list[str], expected: str) -> None:
    (project.root / "recipes/images/openresty.toml").unlink()
    for name in images:
        project.write(f"recipes/images/{name}.toml", f'name = "{name}"\npackages = ["world"]\n')
    assert opened(project).default_image == expected


def test_locked_refuses_a_stale_lock(project: Small) -> None:
    before = resolved(project).lock_text
    project.replace("recipes/hello.toml", 'summary = "A greeting"', 'summary = "Hello"')
    workspace = opened(project)
    with pytest.raises(RefusedError) as error:
        workspace.fresh_lock(locked=True)
    assert str(error.value) == (
        "lock.toml: the lock is stale: hello 1: the recipe changed\n"
        "  next: run `builder resolve`, look at the difference, commit it"
    )
    assert Path(workspace.lock_path).read_text() == before


def test_locked_refuses_when_there_is_no_lock(project: Small) -> None:
    with pytest.raises(RefusedError) as error:
        opened(project).fresh_lock(locked=True)
    assert str(error.value) == (
        "lock.toml: the lock is stale: there is no lock\n  next: run `builder resolve`, look at the difference, commit it"
    )
    assert not (project.root / "lock.toml").exists()


def test_saving_the_same_writes_nothing(project: Small) -> None:
    workspace = resolved(project)
    assert workspace.lock is not None
    assert not workspace.save(workspace.lock)
    assert workspace.save(Lock())
    assert lock_text.parse(Path(workspace.lock_path).read_text()) == Lock()
    assert not list(project.root.glob("*.tmp"))


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_an_interrupt_while_saving_leaves_the_old_lock(project: Small, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    workspace = resolved(project)
    before = workspace.lock_text

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, broken, interrupted)
    with pytest.raises(KeyboardInterrupt):
        workspace.save(Lock())
    assert Path(workspace.lock_path).read_text() == before
    assert sorted(each.name for each in project.root.iterdir()) == ["files", "lock.toml", "recipes"]


def test_a_full_disk_while_saving(project: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = resolved(project)
    before = workspace.lock_text

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError) as error:
        workspace.save(Lock())
    assert str(error.value) == (
        f"{workspace.lock_path}: the lock cannot be written: No space left on device\n"
        "  next: make room and let the directory be writable; the old lock is whole"
    )
    assert Path(workspace.lock_path).read_text() == before
    assert sorted(each.name for each in project.root.iterdir()) == ["files", "lock.toml", "recipes"]


@pytest.mark.parametrize(("data", "text"), [
    (b"lock-version = 1\n# \xff\n", "is not UTF-8 text at byte 19"),
    (None, "cannot be read: Is a directory"),
])
def test_a_lock_that_cannot_be_read(project: Small, data: bytes | None, text: str) -> None:
    path = project.root / "lock.toml"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    with pytest.raises(LockError) as error:
        opened(project)
    assert str(error.value) == f"lock.toml: {text}\n  next: {lock_text.UNREADABLE.format(path='lock.toml')}"


def test_what_killed_builders_left_beside_the_lock_goes(project: Small) -> None:
    left, own = project.root / "lock.toml.999999999.tmp", project.root / f"lock.toml.{os.getpid()}.tmp"
    for each in (left, own):
        each.write_text("half a lo")
    opened(project)
    assert (left.exists(), own.exists()) == (False, True)


# ---- a lock that changes meanwhile


def with_output(lock: Lock, name: str, tree: str) -> Lock:
    """The lock with a made-up output of one package."""
    output = LockedOutput(key=digest.of_bytes(b"key"), trees={"out": digest.of_bytes(tree.encode())})
    return replace(lock, packages=tuple(
        replace(each, outputs={**each.outputs, PLATFORM: output}) if each.name == name else each for each in lock.packages
    ))


def outputs(lock: Lock | None) -> dict[str, str]:
    assert lock is not None
    return {each.name: each.outputs[PLATFORM].trees["out"] for each in lock.packages if each.outputs}


def trees(**names: str) -> dict[str, str]:
    return {name: digest.of_bytes(tree.encode()) for name, tree in names.items()}


def test_outputs_that_another_command_added_are_kept(project: Small) -> None:
    resolved(project)
    one, two = opened(project), opened(project)
    assert one.save(with_output(one.fresh_lock(locked=False), "hello", "1"))
    assert two.save(with_output(two.fresh_lock(locked=False), "world", "2"))
    assert outputs(two.lock) == outputs(opened(project).lock) == trees(hello="1", world="2")
    assert two.lock_text == (project.root / "lock.toml").read_text()
    assert two.is_as_saved()
    assert not one.is_as_saved()
    assert one.save(with_output(one.fresh_lock(locked=False), "base", "3"))
    assert outputs(opened(project).lock) == trees(base="3", hello="1", world="2")


def test_two_first_locks(project: Small) -> None:
    one, two = opened(project), opened(project)
    assert one.save(with_output(one.fresh_lock(locked=False), "hello", "1"))
    assert two.save(with_output(two.fresh_lock(locked=False), "world", "2"))
    assert outputs(opened(project).lock) == trees(hello="1", world="2")


def test_the_same_lock_twice_is_written_once(project: Small) -> None:
    one, two = opened(project), opened(project)
    assert one.save(one.fresh_lock(locked=False))
    assert not two.save(two.fresh_lock(locked=False))


def other_output(project: Small) -> None:
    workspace = opened(project)
    workspace.save(with_output(workspace.fresh_lock(locked=False), "hello", "other"))


def other_choice(project: Small) -> None:
    project.replace("recipes/hello.toml", 'version = "1"', 'version = "1.1"')
    workspace = opened(project)
    workspace.save(workspace.fresh_lock(locked=False))


def no_lock(project: Small) -> None:
    (project.root / "lock.toml").unlink()


def half_a_lock(project: Small) -> None:
    project.write("lock.toml", "lock-ver")


@pytest.mark.parametrize("change", [other_output, other_choice, no_lock, half_a_lock])
def test_a_lock_that_changed_in_more_is_left_alone(project: Small, change: Callable[[Small], None]) -> None:
    resolved(project)
    workspace = opened(project)
    mine = with_output(workspace.fresh_lock(locked=False), "hello", "1")
    change(project)
    path = project.root / "lock.toml"
    before = path.read_text() if path.exists() else None
    with pytest.raises(RefusedError) as error:
        workspace.save(mine)
    assert str(error.value) == (
        f"{path}: it was changed by another program since this command read it\n"
        "  next: look at the change there, then run the same command again: finished builds stay in the store"
    )
    assert (path.read_text() if path.exists() else None) == before


def test_many_builders_at_once(project: Small) -> None:
    """Each adds one output; the lock has them all."""
    names = ["base", "hello", "world"]
    resolved(project)
    children = []
    for name in names:
        if (child := os.fork()) == 0:
            try:
                workspace = opened(project)
                workspace.save(with_output(workspace.fresh_lock(locked=False), name, name))
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(each, 0)[1] for each in children] == [0, 0, 0]
    assert outputs(opened(project).lock) == trees(base="base", hello="hello", world="world")


# ---- links


def test_a_lock_that_is_a_link_in_the_project_is_written_where_it_lies(project: Small) -> None:
    (project.root / "deep").mkdir()
    (project.root / "lock.toml").symlink_to("deep/lock.toml")
    workspace = resolved(project)
    assert (project.root / "lock.toml").is_symlink()
    assert (project.root / "deep/lock.toml").read_text() == workspace.lock_text


@pytest.mark.parametrize("there", [True, False])
def test_a_lock_that_is_a_link_out_of_the_project(project: Small, tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "key").write_text("secret")
    (project.root / "lock.toml").symlink_to(tmp_path / "key")
    with pytest.raises(LockError) as error:
        opened(project)
    assert str(error.value) == f"lock.toml: is a link out of the project, to {tmp_path}/key\n  next: put the file itself in its place"


@pytest.mark.parametrize("path", ["recipes/hello.toml", "recipes/images", "recipes"])
def test_recipes_that_are_links_out_of_the_project(project: Small, tmp_path: Path, path: str) -> None:
    (project.root / path).rename(tmp_path / "moved")
    (project.root / path).symlink_to(tmp_path / "moved")
    with pytest.raises(RecipeError) as error:
        opened(project)
    assert f"{path}: is a link out of the project, to {tmp_path}/moved (put the file itself in its place)" in str(error.value)
    (project.root / path).unlink()
    (tmp_path / "moved").rename(project.root / "moved")
    (project.root / path).symlink_to(project.root / "moved")
    assert sorted(opened(project).project.recipes) == ["base", "hello", "world"]
