"""A checkout that brings what the builder itself writes: links at the places of its temporary files, an image, an unpacked one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from integration.world import World

from builder.tree import nar

ROOM = 1 << 30  # bytes of address space that a command may take


@pytest.fixture
def world(here: World) -> World:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    return here


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_text("years")
    return path


def test_links_at_the_temporary_file_of_the_lock(world: World, precious: Path) -> None:
    """The process id in its name can be foreseen, and a checkout can hold a link for each."""
    plant = 'ln -s "$1" "lock.toml.$$.tmp"; shift; exec "$@"'
    answer = world.run("resolve", before=["sh", "-c", plant, "sh", str(precious)])
    assert (answer.code, precious.read_text(), world.lock.is_file()) == (0, "years", True), answer.err


@pytest.mark.parametrize("path", ["oci/index.json", "oci/oci-layout"])
def test_a_device_in_an_image(world: World, path: str) -> None:
    world.ok("build")
    place = world.root / "out/all" / path
    place.unlink()
    place.symlink_to("/dev/zero")
    limit = ["sh", "-c", f'ulimit -v {ROOM >> 10}; exec timeout 60 "$@"', "sh"]
    answer = world.run("build", before=limit)
    assert (answer.code, "the builder did not write it" in answer.err or "which the builder did not write" in answer.err) == (
        1, True,
    ), (answer.code, answer.err)


def test_a_device_among_the_tests(world: World) -> None:
    world.image("one")
    (world.root / "t").mkdir()
    (world.root / "t/a.t").symlink_to("/dev/zero")
    limit = ["sh", "-c", f'ulimit -v {ROOM >> 10}; exec timeout 60 "$@"', "sh"]
    answer = world.run("test", "--image", "all", before=limit)
    assert (answer.code, "it is no regular file" in answer.err) == (2, True), (answer.code, answer.err)


def _bytes(series: Path) -> None:
    series.write_bytes(b"\xff\n")


@pytest.mark.parametrize(("plant", "said"), [
    (_bytes, "is in the series, but neither applied nor skipped"), (Path.mkdir, "'series' cannot be read: Is a directory"),
    (lambda series: series.symlink_to("series"), "'series' cannot be read: Too many levels of symbolic links"),
    (lambda series: None, "'series' cannot be read: No such file or directory"),
], ids=["bytes", "folder", "loop", "absent"])  # fmt: skip
def test_a_series_that_is_none_is_the_recipes_fault(world: World, plant: Callable[[Path], object], said: str) -> None:
    world.write("src/a.patch", "")
    plant(world.root / "src/series")
    world.recipe("one", "true")
    with (world.root / "recipes/one.toml").open("a") as recipe:
        recipe.write(
            '[[version.source]]\nfolder = "src"\n[[version.patches]]\nsource = "main"\nseries = "series"\n'
            '[[version.patches.patch]]\npath = "a.patch"\nstring = "abc"\n'
        )
    answer = world.run("build")
    assert (answer.code, "one 1: patches[0]: " in answer.err, said in answer.err) == (2, True, True), answer.err


def test_an_unpacked_image(world: World) -> None:
    """A checkout can bring out/rootfs with a program of its own, whole and with a digest beside it."""
    programs = "for name in nginx perl; do echo good > $name; chmod +x $name; done"
    world.recipe("one", f'mkdir -p "$OUT/usr/bin"; cd "$OUT/usr/bin"; {programs}')
    world.image("one")
    path = world.root / "recipes/images/all.toml"
    path.write_text(path.read_text() + '[config]\nenv = { PATH = "/usr/bin" }\n')
    world.write("t/a.t", "")
    assert world.run("test", "--image", "all").code == 4  # these programs do not start
    (root,) = (world.root / "out/rootfs").glob("all-*/root")
    for unpacked_here in (True, False):
        (root / "usr/bin/perl").write_text("evil")
        (root.parent / "tree").write_text(nar.hash_tree(str(root)))
        if not unpacked_here:
            for each in (world.home / ".cache/builder").glob("rootfs-*"):
                each.unlink()
        world.run("test", "--image", "all")
        assert (root / "usr/bin/perl").read_text() == "good\n"
