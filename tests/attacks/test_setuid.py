"""A build that tries to leave files on the host that run as another user, or that others may write or wait for."""

import os
import stat
import time
from pathlib import Path

import pytest
from integration.world import World

ROOT = os.geteuid() == 0
SANDBOXES = ["auto", pytest.param("chroot", marks=pytest.mark.skipif(not ROOT, reason="for root only"))]
SET_ID = r"""
: > "$OUT/file"
mkdir "$OUT/folder"
for mode in 4755 2755 6755; do
    for each in "$OUT/file" "$OUT/folder" /build/.builder.sh /proc/self/fd/1 /proc/self/fd/2; do
        ! chmod $mode $each 2>/dev/null || { echo "chmod $mode $each"; exit 9; }
    done
    ! install -m $mode "$OUT/file" "$OUT/other" 2>/dev/null || exit 9
    mkfifo -m $mode "$OUT/pipe" 2>/dev/null && exit 9
    mkdir -m $mode "$OUT/more" 2>/dev/null && exit 9
    rm -rf "$OUT/pipe" "$OUT/more" "$OUT/other"
done
"""


def set_id(folder: Path) -> list[str]:
    """What is setuid or setgid below a folder."""
    return [str(each) for each in folder.rglob("*") if not each.is_symlink() and each.lstat().st_mode & 0o6000]


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_no_way_to_a_setuid_file(here: World, sandbox: str) -> None:
    here.recipe("bits", SET_ID)
    here.image("bits")
    here.ok("build", "--sandbox", sandbox)
    assert set_id(here.home) == []
    logs = list((here.store_path / "logs").iterdir())
    assert {stat.S_IMODE(each.stat().st_mode) for each in logs} == {0o600}


def test_the_store_and_what_is_being_built_are_closed_to_others(here: World, tmp_path: Path) -> None:
    here.recipe("slow", 'umask 0; : > "$OUT/file"; : > /build/file; chmod 777 /build /output; sleep 5.25')
    here.image("slow")
    stages: list[Path] = []
    with here.start("build") as running:
        while not stages and running.poll() is None:
            time.sleep(0.1)
            stages = [each.parents[2] for each in (here.store_path / "tmp").glob("*/run/output/file")]
        assert stages
        assert {stat.S_IMODE(each.stat().st_mode) for each in stages} == {0o700}
        running.communicate()


@pytest.mark.parametrize("verb", [("list",), ("fetch",), ("log", "simple"), ("build", "--dry-run"), ("resolve",)])
def test_the_verb_that_comes_first_makes_a_closed_store(tmp_path: Path, verb: tuple[str, ...]) -> None:
    new = World(tmp_path / "project", tmp_path / "home")
    new.recipe("simple", ":")
    new.image("simple")
    new.run(*verb)
    stores = [each for each in (new.store_path, new.root / "store") if each.exists()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in stores} <= {0o700}


LITTER = r"""
cd /build/src
echo data > file
chmod 666 file
: > program
chmod 777 program
mkdir -m 1777 folder
mkfifo -m 666 pipe folder/pipe
ln -s file in
ln -s /build/src/file inner
ln -s /build/../build/../etc/passwd climbing
ln -s /etc/passwd absolute
ln -s ../../../../../../../../etc/passwd relative
ln -s . here
mkdir -p a/b
ln -s ../../here/../../../x a/b/chain
long=$(printf %0200d 0)
cd folder
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do mkdir $long; cd $long; done
exit 1
"""


def test_a_kept_tree_is_harmless(here: World) -> None:
    here.recipe("litter", LITTER)
    here.image("litter")
    answer = here.run("build", "--keep-failed")
    assert answer.code == 4, answer.err
    (kept,) = (here.root / "out" / "failed").iterdir()
    assert stat.S_IMODE(kept.parent.stat().st_mode) == stat.S_IMODE(kept.stat().st_mode) == 0o700
    found = {str(each.relative_to(kept)): each.lstat() for each in kept.rglob("*")}
    links = {name: os.readlink(kept / name) for name, status in found.items() if stat.S_ISLNK(status.st_mode)}
    assert links == {"src/in": "file", "src/inner": "file", "src/here": "."}
    assert (kept / "src/inner").read_text() == "data\n"
    rest = {name: status for name, status in found.items() if name not in links}
    assert {stat.S_IFMT(each.st_mode) for each in rest.values()} == {stat.S_IFREG, stat.S_IFDIR}
    assert {stat.S_IMODE(each.st_mode) for each in rest.values()} == {0o600, 0o700}
    assert {each.st_uid for each in found.values()} == {os.geteuid()}
    assert stat.S_IMODE(found["src/program"].st_mode) == 0o700
    left_out = (kept / ".builder-left-out").read_text()
    assert "src/absolute: a link to /etc/passwd\n" in left_out
    assert "src/folder/pipe: " in left_out


def test_a_kept_tree_is_harmless_after_a_shell_in_it(here: World) -> None:
    here.recipe("litter", "exit 1")
    here.image("litter")
    assert here.run("build", "--keep-failed").code == 4
    litter = ": > file; chmod 666 file; mkfifo -m 666 pipe; ln -s /etc/passwd link; mkdir -m 777 folder; exit 3"
    assert here.run("shell", "--failed", "litter", "sh", "-c", litter).code == 3
    (kept,) = (here.root / "out" / "failed").iterdir()
    found = {each.name: each.lstat() for each in (kept / "src").iterdir()}
    assert {name: stat.S_IMODE(each.st_mode) for name, each in found.items()} == {"file": 0o600, "folder": 0o700}
    assert {each.st_uid for each in (*found.values(), kept.stat())} == {os.geteuid()}
