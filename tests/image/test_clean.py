"""`builder clean` and `builder gc --dry-run`: only what is the builder's, and the same answer as the real one."""

import fcntl
import os
from pathlib import Path

import pytest
import small
from small import Small

from builder.base.errors import RefusedError
from builder.image import clean
from builder.run.serving.instance import claim
from builder.store import Record, Store
from builder.store.remove import freed_by, remove_tree
from builder.store.usage import usage


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    return made


def files(top: Path) -> list[str]:
    return sorted(str(each.relative_to(top)) for each in top.rglob("*"))


def test_clean_removes_what_is_the_builders_and_nothing_else(project: Small, tmp_path: Path) -> None:
    project.run("build")
    out = project.root / "out"
    outside = tmp_path / "outside"
    for path in ("failed/zlib-1-1/src/a", "tests/a.t/output.tap", "rootfs/x-1/root/bin/sh", "run/conf/a", ".openresty.new/oci/oci-layout"):
        project.write(f"out/{path}", "x")
    for path in ("notes.txt", ".gitkeep", "mine/oci/oci-layout", "mine/important", "run/lock", ".mine.new/important"):
        project.write(f"out/{path}", "x")
    (outside / "oci").mkdir(parents=True)
    (outside / "oci/oci-layout").write_text("{}")
    (out / "link").symlink_to(outside)
    (out / "failed/link").symlink_to(outside)
    before = files(out)
    dry = project.run("clean", "--dry-run", "--json").json
    assert files(out) == before
    said = project.run("clean", "--dry-run").out
    assert "would remove out/openresty\n" in said.replace(os.path.relpath(out), "out")
    done = project.run("clean", "--json").json
    assert done == dry
    assert done["size"] > 0
    assert [os.path.relpath(path, out) for path in done["removed"]] == [
        ".openresty.new", "failed", "openresty", "rootfs", "run/conf", "tests",
    ]
    assert files(out) == [
        ".gitkeep", ".mine.new", ".mine.new/important", "link", "mine", "mine/important", "mine/oci", "mine/oci/oci-layout", "notes.txt",
        "run", "run/lock",
    ]
    assert files(outside) == ["oci", "oci/oci-layout"]
    assert project.run("clean").out == "there is nothing to remove\n"
    assert project.run("build").code == 0


@pytest.mark.parametrize("own", ["oci/notes", "oci/blobs/sha256/thesis", "config.json"])
def test_clean_leaves_an_image_with_a_file_of_the_user(project: Small, own: str) -> None:
    project.run("build")
    project.write(f"out/openresty/{own}", "years")
    assert project.run("clean").out == "there is nothing to remove\n"
    assert (project.root / "out/openresty" / own).read_text() == "years"


def test_clean_leaves_an_image_of_another_program(project: Small) -> None:
    project.run("build")
    image = project.root / "out/openresty"
    (image / "layer.tar.gz").unlink()
    (config,) = (each for each in (image / "oci/blobs/sha256").iterdir() if b"builder.layer-sizes" in each.read_bytes())
    config.write_text("{}")
    before = files(image)
    assert project.run("clean").out == "there is nothing to remove\n"
    assert files(image) == before


def test_clean_refuses_an_out_that_is_a_link(project: Small, tmp_path: Path) -> None:
    project.run("build", "--out", str(tmp_path / "elsewhere"))
    (project.root / "out").symlink_to(tmp_path / "elsewhere")
    before = files(tmp_path / "elsewhere")
    answer = project.run("clean")
    assert (answer.code, answer.out) == (1, "")
    assert "it is not a directory of this project\n  next: remove it by hand" in answer.err
    assert files(tmp_path / "elsewhere") == before


def test_clean_without_out(project: Small) -> None:
    assert project.run("clean").out == "there is nothing to remove\n"


def test_clean_waits_for_no_command_and_takes_nothing_from_one(tmp_path: Path) -> None:
    (tmp_path / "rootfs/x-1").mkdir(parents=True)
    (tmp_path / "rootfs/x-1/used").write_text("")
    with claim(str(tmp_path / "run")), pytest.raises(RefusedError, match="`builder run` is using it") as error:
        clean.clean(str(tmp_path))
    assert error.value.hint == "end the gateway with Ctrl-C, then run the command again"
    used = "rootfs/x-1/used"
    for path, message in ((".", "a build is writing to it"), ("rootfs", "being unpacked"), (used, "`builder test` is using it")):
        file = os.open(tmp_path / path, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(RefusedError, match=message):
            clean.clean(str(tmp_path), dry_run=True)
        os.close(file)
    assert clean.clean(str(tmp_path))[0] == [str(tmp_path / "rootfs")]


def test_gc_dry_run_gives_the_answer_of_the_real_one_and_removes_nothing(project: Small, home: Path, tmp_path: Path) -> None:
    project.run("build")
    other = small.make(tmp_path / "other", project.capture)
    other.replace("files/hello/greeting", "hello", "HELLO")
    other.run("build", "--root", str(other.root))
    remove_tree(str(other.root))
    top = home / ".cache/builder/store"
    with Store(str(top)) as store:
        key = "sha256-" + "A" * 43 + "="
        Path(store.log_path(key)).write_text("log")
        Path(store.log_path(key).replace(".log", ".failed")).write_text("")
        os.mkdir(Path(store.root) / "quarantine/left")
    before = files(top)
    dry = project.run("gc", "--dry-run", "--json").json
    assert project.run("gc", "--dry-run").out.startswith("would remove ")
    assert files(top) == before
    assert project.run("gc", "--json").json == dry
    assert (dry["roots"], dry["logs"]) == (1, 2)
    assert dry["trees"] > 1
    assert project.run("gc", "--dry-run", "--json").json == {"archives": 0, "logs": 0, "records": 0, "roots": 0, "size": 0, "trees": 0}


def test_a_file_of_two_names_is_freed_with_its_last_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "a/one", tmp_path / "two")
    paths = [str(tmp_path / "a"), str(tmp_path / "two")]
    apart, together = freed_by(paths[:1]), freed_by(paths)
    assert together >= apart + 100_000
    assert sum(map(remove_tree, paths)) == together
    assert freed_by(paths) == 0


def test_roots_say_whose_they_are(project: Small, tmp_path: Path) -> None:
    (project.root.parent / "empty").mkdir()
    assert project.run("store", "roots", "--store", str(project.root.parent / "empty")).out == "no project keeps anything\n"
    project.run("build")
    other = small.make(tmp_path / "other", project.capture)
    other.run("build", "hello", "--root", str(other.root))
    remove_tree(str(other.root))
    rows = {row["owner"]: row for row in project.run("store", "roots", "--json").json}
    assert set(rows) == {str(project.root), str(other.root)}
    assert [rows[str(each.root)]["exists"] for each in (project, other)] == [True, False]
    assert rows[str(project.root)]["trees"] == 3
    assert rows[str(project.root)]["size"] > rows[str(other.root)]["size"] > 0
    (gone,) = (line for line in project.run("store", "roots").out.splitlines() if str(other.root) in line)
    assert gone.endswith("(gone: `builder gc` drops the root)")
    assert project.run("gc", "--json").json["roots"] == 1
    assert str(other.root) not in project.run("store", "roots").out


def test_a_record_of_a_root_counts(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        with store.stage() as stage:
            (Path(stage) / "t").mkdir()
            tree = store.add_tree(f"{stage}/t")
        key = "sha256-" + "A" * 43 + "="
        store.put_record(key, Record(trees={"out": tree}))
        store.set_root("r", keys=[key])
        (found,) = usage(store, lambda _done, _all: None)
        assert (found.trees, found.exists, found.owner) == (1, True, "")
