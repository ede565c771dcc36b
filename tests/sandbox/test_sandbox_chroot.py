"""Root folders of the chroot sandbox: what is linked, what is copied, what goes back to whom."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.base.errors import SandboxError
from builder.sandbox import Mount, SandboxSpec, chroot_farm
from builder.sandbox.chroot import Chroot
from builder.sandbox.chroot_roots import Roots, things
from builder.store.remove import remove_tree
from builder.tree.nar import UnfitError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    found = tmp_path / "tree"
    (found / "bin").mkdir(parents=True)
    (found / "bin/run").write_text("run")
    (found / "bin/run").chmod(0o555)
    (found / "shared").write_text("shared")
    (found / "shared").chmod(0o664)
    (found / "link").symlink_to("bin/run")
    return found


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_tree_is_linked_but_what_others_may_write_is_copied(tree: Path, tmp_path: Path, strict_umask: None) -> None:
    chroot_farm.place(str(tree), str(tmp_path / "root"))
    root = tmp_path / "root"
    assert (root / "bin/run").samefile(tree / "bin/run")
    assert not (root / "shared").samefile(tree / "shared")
    assert (root / "shared").read_text() == "shared"
    assert (root / "shared").stat().st_mode & 0o777 == 0o644
    assert os.readlink(root / "link") == "bin/run"
    assert (root / "bin").stat().st_mode & 0o777 == 0o755
    remove_tree(str(root))
    assert (tree / "bin/run").read_text() == "run"


def test_a_tree_nested_deeper_than_the_interpreters_stack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "deep")
        for _ in range(sys.getrecursionlimit()):
            os.mkdir("d")
            os.chdir("d")
    with pytest.raises(UnfitError, match="nested more than 256 deep"):
        chroot_farm.place(str(tmp_path / "deep"), str(tmp_path / "root"))
    remove_tree(str(tmp_path / "deep"))
    remove_tree(str(tmp_path / "root"))


@needs_root
def test_what_the_builds_user_owns_is_copied(tree: Path, tmp_path: Path) -> None:
    os.chown(tree / "bin/run", 1000, 1000)
    chroot_farm.place(str(tree), str(tmp_path / "root"))
    assert (tmp_path / "root/bin/run").stat().st_uid == 0
    assert not (tmp_path / "root/bin/run").samefile(tree / "bin/run")


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_what_cannot_be_linked_is_copied(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(refusal, "no")

    monkeypatch.setattr(os, "link", refuse)
    chroot_farm.place(str(tree / "bin/run"), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "run"
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o555


@needs_root
def test_a_file_with_two_names_is_made_its_own_before_it_is_given_away(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    os.link(tree / "bin/run", tmp_path / "work/run")
    (tmp_path / "work/link").symlink_to("/etc/passwd")
    chroot_farm.hand_over(str(tmp_path / "work"), 1000, 1000)
    assert (tmp_path / "work/run").stat().st_uid == 1000
    assert (tmp_path / "work/run").read_text() == "run"
    assert (tmp_path / "work/run").stat().st_mode & 0o777 == 0o555
    assert os.lstat(tmp_path / "work/link").st_uid == 1000
    assert (tree / "bin/run").stat().st_uid == 0
    assert Path("/etc/passwd").stat().st_uid == 0
    assert sorted(os.listdir(tmp_path / "work")) == ["link", "run"]


def spec(tmp_path: Path, **trees: Path) -> SandboxSpec:
    (tmp_path / "work").mkdir(exist_ok=True)
    return SandboxSpec(
        mounts=(Mount(str(tmp_path / "work"), "/build", True), *(Mount(str(each), f"/opt/{name}") for name, each in trees.items())),
        links={"/lib": "usr/lib"}, files={"/etc/hosts": "hosts"}, folders=("/empty",), argv=("x",), env={},
    )  # fmt: skip


def test_what_a_root_must_show(tmp_path: Path, tree: Path) -> None:
    assert things(spec(tmp_path, a=tree)) == {
        "/empty": ("folder", ""), "/etc/hosts": ("file", "hosts"), "/lib": ("link", "usr/lib"), "/opt/a": ("tree", str(tree)),
    }  # fmt: skip


@needs_root
def test_a_root_is_used_again_and_shows_nothing_of_the_last_run(tmp_path: Path, tree: Path) -> None:
    roots = Roots(str(tmp_path))
    with roots.lease(spec(tmp_path, a=tree, b=tree)) as first:
        assert sorted(os.listdir(first)) == ["build", "dev", "empty", "etc", "lib", "opt", "tmp"]
        assert sorted(os.listdir(first + "/opt")) == ["a", "b"]
        assert not (tmp_path / "work").exists()
        Path(first, "tmp/left").touch()
        Path(first, "build/made").touch()
        inode = os.lstat(first + "/opt/a").st_ino
    assert (tmp_path / "work/made").exists()
    with roots.lease(spec(tmp_path, a=tree)) as second, roots.lease(SandboxSpec(mounts=(), argv=("x",), env={})) as other:
        assert second == first
        assert other != first
        assert os.listdir(second + "/opt") == ["a"]
        assert os.lstat(second + "/opt/a").st_ino == inode, "what stays is not linked again"
        assert os.listdir(second + "/tmp") == []
        assert sorted(os.listdir(other)) == ["dev", "etc", "tmp"]
    with roots.lease(SandboxSpec(mounts=(), files={}, argv=("x",), env={})) as third:
        assert sorted(os.listdir(third)) == ["dev", "tmp"], "folders that were made on the way are gone"
    roots.close()
    assert sorted(os.listdir(tmp_path)) == ["tree", "work"]


@needs_root
def test_folders_come_back_to_their_places_whatever_happens(tmp_path: Path) -> None:
    roots = Roots(str(tmp_path))
    wanted = spec(tmp_path)
    with pytest.raises(KeyboardInterrupt), roots.lease(wanted) as root:
        assert os.stat(root + "/build").st_uid == 1000
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["work"]


@needs_root
def test_a_scratch_folder_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    wanted = spec(tmp_path)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SandboxError) as caught, Roots(str(tmp_path)).lease(wanted):
        pass
    assert str(caught.value) == (
        f"{tmp_path}/work: the build's directory cannot be moved into the sandbox: Invalid cross-device link\n"
        "  next: the scratch directory of --sandbox chroot must lie on the file system of the store"
    )
    assert (tmp_path / "work").stat().st_uid == 0


def test_a_machine_that_makes_no_devices_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refuse)
    with pytest.raises(SandboxError) as caught, Roots(str(tmp_path)).lease(spec(tmp_path)):
        pass
    assert caught.value.message == "this machine refuses to make or open a device: Operation not permitted"
    assert caught.value.where.endswith("/root/dev/null")
    assert caught.value.hint == (
        "--sandbox chroot needs the capability MKNOD and a scratch directory not mounted with 'nodev'"
    )
    assert os.listdir(tmp_path) == ["work"]


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv takes a capability away")
def test_a_missing_capability_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from builder.base.errors import SandboxError; from builder.sandbox import find\n"
        "try: find('chroot', scratch=sys.argv[1]).probe()\n"
        "except SandboxError as error: print(error)"
    )
    argv = ["setpriv", "--bounding-set=-sys_chroot", sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == (
        "chroot: this machine refuses to change the root directory: Operation not permitted\n"
        "  next: --sandbox chroot needs the capabilities SYS_CHROOT, SETUID, SETGID, CHOWN and MKNOD\n"
    )


@needs_root
def test_a_machine_whose_system_calls_we_do_not_know_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine="riscv64"))
    with pytest.raises(SandboxError) as caught:
        Chroot(str(tmp_path))
    assert str(caught.value) == (
        "chroot: --sandbox chroot cannot deny the network on this kind of machine\n"
        "  next: build on x86_64 or aarch64, or where the kernel allows user namespaces"
    )
