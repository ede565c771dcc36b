"""Unpacked images: layers over one another, once for many commands, whole after any interrupt."""

import fcntl
import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from builder.base.errors import ArchiveError, MachineError
from builder.image.oci import image as oci
from builder.image.oci.config import About
from builder.recipe.image import Config
from builder.run import rootfs
from builder.run.rootfs import Account, Rootfs, lay_over
from builder.store.remove import remove_tree
from builder.tree import nar

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:102:nginx:/run/openresty:/sbin/nologin\n"
Member = tuple[str, str | None]  # path, text of the file; None for a folder, "-> target" for a link


def unpacked(target: str, above: str) -> AbstractContextManager[Rootfs]:
    return rootfs.unpacked(target, above, f"{above}-known")


def layer(path: Path, members: Iterable[Member]) -> oci.Tarball:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, text in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if text is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif text.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, text.removeprefix("-> ")
                archive.addfile(info)
            else:
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    path.write_bytes(gzip.compress(raw.getvalue(), mtime=0))
    return oci.Tarball(path=str(path), title=path.name)


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., str]:
    """Writes an image of layers into a folder "gateway"; its path."""

    def make(*layers: list[Member], config: Config | None = None) -> str:
        made = [layer(tmp_path / f"{number}.tar.gz", members) for number, members in enumerate(layers)]
        about = About(name="gateway", version="1", platform="x86_64-linux-musl", config=config or Config())
        oci.write(str(tmp_path / "gateway"), made, about)
        return str(tmp_path / "gateway")

    return make


def shown(root: str) -> dict[str, str | None]:
    """What is in a folder: path -> text, None for a folder, "-> target" for a link."""
    found: dict[str, str | None] = {}
    for path in sorted(Path(root).rglob("*")):
        name = str(path.relative_to(root))
        found[name] = f"-> {os.readlink(path)}" if path.is_symlink() else None if path.is_dir() else path.read_text()
    return found


def test_layers_lie_over_one_another(image: Callable[..., str], tmp_path: Path) -> None:
    target = image(
        [("etc", None), ("etc/a", "1"), ("etc/b", "1"), ("var/x/y", "1"), ("opt", "-> etc"), ("keep/z", "1"), ("f", "1"), ("d/e", "1")],
        [("etc/a", "2"), ("etc/.wh.b", ""), ("var/x/.wh..wh..opq", ""), ("var/x/n", "2"), ("opt", None), ("opt/c", "2"), ("f/g", "2"),
         (".wh.d", ""), ("new/.wh.nothing", "")],
    )  # fmt: skip
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert shown(found.root) == {
            "etc": None, "etc/a": "2", "var": None, "var/x": None, "var/x/n": "2", "opt": None, "opt/c": "2",
            "keep": None, "keep/z": "1", "f": None, "f/g": "2", "new": None,
        }  # fmt: skip


def test_what_the_config_says(image: Callable[..., str], tmp_path: Path) -> None:
    config = Config(user="nginx", command=("/bin/x", "-g"), env={"PATH": "/opt/bin:/bin", "A": "b=c"})
    target = image([("etc/passwd", PASSWD), ("bin/x", "#!"), ("opt/bin", "-> /bin"), ("bin/plain", "")], config=config)
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert (found.user, found.command, dict(found.env)) == ("nginx", ("/bin/x", "-g"), {"PATH": "/opt/bin:/bin", "A": "b=c"})
        assert found.account() == Account(101, 102, "/run/openresty")
        assert (found.program("x"), found.program("y")) == ("/opt/bin/x", "")
        assert (found.has("/opt/bin/x"), found.has("/opt/bin/y")) == (True, False)


@pytest.mark.parametrize(("user", "account"), [
    ("nginx", (101, 102)), ("101", (101, 102)), ("nginx:7", (101, 7)), ("12:13", (12, 13)), ("12", (12, 12)),
    ("", (65534, 65534)), ("root", (65534, 65534)), ("0:0", (65534, 65534)), ("nobody", (65534, 65534)),
])  # fmt: skip
def test_the_user_is_a_plain_one(user: str, account: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    found = Rootfs(root=str(tmp_path), env={}, command=(), user=user).account()
    assert (found.uid, found.gid) == account


def test_an_image_is_unpacked_once(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    with unpacked(target, str(tmp_path / "rootfs")) as first:
        inode = Path(first.root, "a").stat().st_ino
        with unpacked(target, str(tmp_path / "rootfs")) as second:
            assert Path(second.root, "a").stat().st_ino == inode


def test_what_was_changed_is_unpacked_anew(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        root = Path(found.root)
    (root / "a").write_text("2")
    (root / "more").write_text("x")
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert shown(found.root) == {"a": "1"}


def test_what_was_changed_while_it_is_used_is_refused(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        (Path(found.root) / "a").write_text("2")
        told = "was changed, or not unpacked here, and another command uses it"
        with pytest.raises(MachineError, match=told), unpacked(target, str(tmp_path / "rootfs")):
            pass
        assert shown(found.root) == {"a": "2"}


def test_an_older_state_goes_when_nobody_uses_it(image: Callable[..., str], tmp_path: Path) -> None:
    above = tmp_path / "rootfs"
    with unpacked(image([("a", "1")]), str(above)) as old:
        with unpacked(image([("a", "2")]), str(above)) as new:
            assert (Path(old.root, "a").read_text(), Path(new.root, "a").read_text()) == ("1", "2")
        assert len(os.listdir(above)) == 2
    with unpacked(image([("a", "2")]), str(above)) as new:
        assert os.listdir(above) == [Path(new.root).parent.name]


def test_other_images_stay(image: Callable[..., str], tmp_path: Path) -> None:
    above = tmp_path / "rootfs"
    (above / "gateway-test-0123456789abcdef").mkdir(parents=True)
    with unpacked(image([("a", "1")]), str(above)):
        assert (above / "gateway-test-0123456789abcdef").is_dir()


def test_what_a_killed_command_left_is_removed(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    above = tmp_path / "rootfs"
    with unpacked(target, str(above)) as found:
        name = Path(found.root).parent.name
    (above / f".{name}" / "root").mkdir(parents=True)
    with unpacked(target, str(above)):
        assert os.listdir(above) == [name]


def test_an_interrupt_leaves_nothing(image: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = image([("a", "1")], [("b", "1")])

    def interrupted(upper: str, lower: str) -> None:
        if upper.endswith("1"):
            raise KeyboardInterrupt
        lay_over(upper, lower)

    monkeypatch.setattr(rootfs, "lay_over", interrupted)
    with pytest.raises(KeyboardInterrupt), unpacked(target, str(tmp_path / "rootfs")):
        pass
    assert os.listdir(tmp_path / "rootfs") == []
    monkeypatch.undo()
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert shown(found.root) == {"a": "1", "b": "1"}


def test_no_command_waits_for_one_that_uses_it(image: Callable[..., str], tmp_path: Path) -> None:
    with unpacked(image([("a", "1")]), str(tmp_path / "rootfs")):
        lock = os.open(tmp_path / "rootfs", os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)


# ---- hostile and damaged layers


def test_a_layer_of_other_bytes_is_refused(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    blob = max(Path(target, "oci/blobs/sha256").iterdir(), key=lambda path: path.read_bytes().startswith(b"\x1f\x8b"))
    blob.write_bytes(gzip.compress(b""))
    with pytest.raises(ArchiveError, match="the layer is not what its name says"), unpacked(target, str(tmp_path / "rootfs")):
        pass
    assert os.listdir(tmp_path / "rootfs") == []


@pytest.mark.parametrize("members", [
    [("../evil", "x")], [("/evil", "x")], [("a", "-> ../.."), ("a/evil", "x")], [("a", "-> ../../outside")],
])  # fmt: skip
def test_a_layer_that_leads_out_is_refused(members: list[Member], image: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError), unpacked(image(members), str(tmp_path / "rootfs")):
        pass
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "rootfs/evil").exists()


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", ".wh..wh.plnk"])
def test_a_whiteout_that_names_no_file_is_refused(name: str, image: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("here")
    target = image([("d/a", "1")], [(f"d/{name}", "")])
    with pytest.raises(ArchiveError, match="which names no file"), unpacked(target, str(tmp_path / "rootfs")):
        pass
    assert (tmp_path / "victim").exists()


def test_nothing_is_written_through_a_link_of_a_layer_below(image: Callable[..., str], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = image([("a", "-> /b"), ("b/kept", "1")], [("a/evil", "x"), ("c", "-> b")], [("c/.wh.kept", "")])
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert shown(found.root) == {"a": None, "a/evil": "x", "b": None, "b/kept": "1", "c": None}


def test_deep_folders_are_no_trouble(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 900)
    for name in ("upper", "lower"):
        os.makedirs(tmp_path / name / deep)
        (tmp_path / name / deep / "f").write_text(name)
    try:
        lay_over(str(tmp_path / "upper"), str(tmp_path / "lower"))
        assert (tmp_path / "lower" / deep / "f").read_text() == "upper"
    finally:  # pytest's own removal needs a deep stack
        for name in ("upper", "lower"):
            remove_tree(str(tmp_path / name))


# ---- what a checkout brings in out/rootfs


def test_a_pipe_in_an_unpacked_image_is_a_change(image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        os.mkfifo(Path(found.root, "pipe"))
    with unpacked(target, str(tmp_path / "rootfs")) as found:
        assert shown(found.root) == {"a": "1"}


@pytest.mark.parametrize("planted", ["root", "", "used"])
def test_a_link_in_place_of_an_unpacked_image_is_not_followed(planted: str, image: Callable[..., str], tmp_path: Path) -> None:
    target = image([("a", "1")])
    outside = tmp_path / "outside"
    above = tmp_path / "rootfs"
    with unpacked(target, str(above)) as found:
        place = Path(found.root).parent
    if planted == "":
        place.rename(outside)
        place.symlink_to(outside)
    elif planted == "root":
        remove_tree(str(place / "root"))
        outside.mkdir()
        (outside / "secret").write_text("x")
        (place / "root").symlink_to(outside)
    else:
        (place / "used").unlink()
        (place / "used").symlink_to(outside)
    before = shown(str(outside))
    with unpacked(target, str(above)) as found:
        assert (shown(found.root), Path(found.root).resolve()) == ({"a": "1"}, above / place.name / "root")
    assert shown(str(outside)) == before


def test_a_link_in_place_of_an_older_state_goes_alone(image: Callable[..., str], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/gateway-0123456789abcdef").symlink_to(outside)
    with unpacked(image([("a", "1")]), str(tmp_path / "rootfs")):
        assert os.listdir(outside) == []
        assert len(os.listdir(tmp_path / "rootfs")) == 1


def test_an_unpacked_image_that_a_checkout_brings_is_not_believed(image: Callable[..., str], tmp_path: Path) -> None:
    """It is whole, and its digest is noted beside it; but nothing on this machine unpacked it."""
    target = image([("bin/x", "good")])
    above = tmp_path / "rootfs"
    with unpacked(target, str(above)) as found:
        place = Path(found.root).parent
    (place / "root/bin/x").write_text("evil")
    (place / "tree").write_text(nar.hash_tree(str(place / "root")))
    with unpacked(target, str(above)) as found:
        assert shown(found.root) == {"bin": None, "bin/x": "good"}
    remove_tree(f"{above}-known")  # another machine, which has unpacked nothing yet
    (place / "root/bin/x").write_text("evil")
    with unpacked(target, str(above)) as found:
        assert shown(found.root) == {"bin": None, "bin/x": "good"}


@pytest.mark.parametrize("fields", ["one:102", "101:two", ":", "²:2", f"{2**32}:1", f"{'1' * 5000}:1"])
def test_a_line_of_passwd_that_is_none_is_passed_over(fields: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"nginx:x:{fields}::/:\n{PASSWD}")
    assert Rootfs(root=str(tmp_path), env={}, command=(), user="nginx").account() == Account(101, 102, "/run/openresty")


@pytest.mark.parametrize("user", ["²", "nginx:²", f"{2**32}", f"nginx:{2**32}"])
def test_a_user_who_is_no_number(user: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    found = Rootfs(root=str(tmp_path), env={}, command=(), user=user).account()
    assert (found.uid, found.gid) in ((101, 102), (65534, 65534))
