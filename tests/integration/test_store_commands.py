"""`builder gc` and `builder store`: what is kept, what is freed, and damage that is found and mended."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from integration.world import PLATFORM, World, free


def trees(world: World) -> set[str]:
    return set(os.listdir(world.store_path / "trees"))


def rewrite(path: Path, data: bytes) -> None:
    """Change a file's bytes as a bad disk does; the tools of other worlds, hard links, stay as they are."""
    found = path.stat()
    parent = path.parent.stat()
    path.parent.chmod(0o755)
    path.unlink()
    path.write_bytes(data)
    path.chmod(found.st_mode & 0o7777)
    os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))
    path.parent.chmod(parent.st_mode & 0o7777)
    os.utime(path.parent, ns=(parent.st_mtime_ns, parent.st_mtime_ns))


@pytest.fixture
def alone(here: World) -> World:
    """A world whose tools are no hard links to another store: names outside of the store are damage."""
    assert here.origin is not None
    free(here.store_path / "trees")
    subprocess.run(["cp", "-a", str(here.origin / "trees"), str(here.store_path)], check=True)
    return here


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_gc_keeps_what_an_image_is_made_from(here: World) -> None:
    here.chain()
    answer = here.ok("build")
    kept = {here.output(name) for name in ("base", "middle", "top", "toolset", "launcher", "glibc")}
    here.ok("gc")
    assert all(path.is_dir() for path in kept)
    shutil.rmtree(here.root / "out")
    again = here.ok("build")
    assert (again.out, again.built()) == (answer.out, [])
    assert here.damage() == []


def test_gc_frees_what_no_image_needs_any_more(here: World) -> None:
    here.chain()
    here.ok("build")
    old = here.output("base")
    here.recipe("base", 'mkdir "$OUT/share"\necho other > "$OUT/share/base"')
    here.ok("build")
    assert old.is_dir()
    freed = here.ok("gc", "--json").json
    assert not old.exists()
    assert freed["trees"] == 3
    assert freed["records"] == 3
    assert freed["size"] > 0
    assert here.ok("gc").out == "removed 0 trees, 0 records, 0 archives, 0 logs, 0 roots: 0 B\n"
    assert here.ok("build", "--locked").built() == []


def test_gc_frees_what_a_removed_project_needed(here: World) -> None:
    here.chain()
    here.ok("build")
    other = here.copy("other")
    other.recipe("base", 'mkdir "$OUT/share"\necho theirs > "$OUT/share/base"')
    other.ok("build")
    theirs = other.output("base")
    here.ok("gc")
    assert theirs.is_dir()
    shutil.rmtree(other.root)
    assert here.ok("gc", "--json").json["roots"] == 1
    assert not theirs.exists()
    assert here.output("base").is_dir()


def test_gc_takes_archives_that_no_project_needs_and_only_when_told(tools: World, here: World) -> None:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    here.ok("build")
    archives = here.store_path / "files"
    shutil.copytree(tools.store_path / "files", archives, dirs_exist_ok=True)
    count = len(os.listdir(archives))
    assert count == 10
    assert here.ok("gc", "--archives", "--json").json["archives"] == 0, "the image is built from them"
    shutil.rmtree(here.root)
    assert here.ok("gc", "--json", cwd=here.home).json["archives"] == 0
    assert here.ok("gc", "--archives", "--json", cwd=here.home).json["archives"] == count
    assert here.ok("store", "verify", cwd=here.home).out == "everything is as it was written\n"


def test_verify_finds_a_flipped_bit_anywhere(alone: World) -> None:
    alone.chain()
    alone.ok("build")
    assert alone.ok("store", "verify").out == "everything is as it was written\n"
    victims = [
        alone.output("top") / "share" / "top",
        alone.output("glibc") / "lib" / "x86_64-linux-gnu" / "libc.so.6",
        next(alone.store_path.glob("records/*/*.json")),
        next(alone.store_path.glob("roots/*.json")),
    ]
    for path in victims:
        good = path.read_bytes()
        for at in (0, len(good) // 2, len(good) - 1):
            rewrite(path, flipped(good, at))
            answer = alone.run("store", "verify")
            assert answer.code == 1, (path, at)
            lines = answer.out.splitlines()
            assert lines[-1] == "1 damaged", answer.out
            place = lines[0].partition(": ")[0]
            assert str(path).startswith(place), answer.out
        rewrite(path, good)
    assert alone.ok("store", "verify").out == "everything is as it was written\n"


@pytest.mark.parametrize("change", ["mode", "more", "less", "name"])
def test_verify_finds_other_changes_of_a_tree(alone: World, change: str) -> None:
    alone.chain()
    alone.ok("build")
    tree = alone.output("top")
    file = tree / "share" / "top"
    for folder in (tree, tree / "share"):
        folder.chmod(0o755)
    if change == "mode":
        file.chmod(0o755)
    elif change == "more":
        (tree / "share" / "more").write_text("x")
    elif change == "less":
        file.unlink()
    else:
        file.rename(file.with_name("other"))
    (row,) = alone.run("store", "verify", "--json").json
    assert (row["kind"], row["path"]) == ("tree", str(tree))


def test_a_missing_tree_is_built_again(here: World) -> None:
    here.chain()
    first = here.ok("build")
    shutil.rmtree(here.root / "out")
    here.forget("top")
    answer = here.ok("build")
    assert answer.built() == ["top 1"]
    assert answer.out == first.out
    assert here.package("top")["output"][PLATFORM]["out"] in here.lock.read_text()


def test_store_path_says_where(here: World, tmp_path: Path) -> None:
    here.image("toolset")
    assert here.ok("store", "path").out == f"{here.store_path}\n"
    assert here.ok("store", "path", "--store", str(tmp_path / "x")).out == f"{tmp_path / 'x'}\n"
