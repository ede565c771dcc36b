"""A build that would delete what is not its own: folders of the image's name, and links where out/ is to be."""

from pathlib import Path

import pytest
from integration.world import World

LINKS = {"out": "", "out/all": "", "out/.all.new": "", "out/.all.old": ""}


@pytest.fixture
def world(here: World) -> World:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    return here


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A user's folder, which has one of the image's name."""
    folder = tmp_path / "precious"
    (folder / "all").mkdir(parents=True)
    (folder / "all/thesis").write_text("years")
    return folder


def test_a_folder_given_by_hand(world: World, precious: Path) -> None:
    answer = world.run("build", "--out", str(precious))
    assert (answer.code, answer.err.endswith(
        f"builder: {precious}/all: it holds thesis, which the builder did not write, so it is not replaced\n"
        "  next: move it to another place, then run the command again\n"
    )) == (1, True), answer.err
    assert (precious / "all/thesis").read_text() == "years"
    (precious / "all").rename(precious / "mine")
    world.ok("build", "--out", str(precious))
    world.ok("build", "--out", str(precious))
    assert (precious / "all/layer.tar.gz").exists()


def test_an_archive_of_the_user_that_is_called_as_ours(world: World, precious: Path) -> None:
    (precious / "all/thesis").rename(precious / "all/layer.tar.gz")
    answer = world.run("build", "--out", str(precious))
    assert (answer.code, f"{precious}/all: " in answer.err, "next:" in answer.err) == (1, True, True), answer.err
    assert (precious / "all/layer.tar.gz").read_text() == "years"


@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_the_checkout(world: World, precious: Path, name: str) -> None:
    path = world.root / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(precious if name == "out" else precious / "all")
    answer = world.run("build")
    assert (answer.code in (1, 2), "next:" in answer.err) == (True, True), answer.err
    assert (precious / "all/thesis").read_text() == "years"
    path.unlink()  # "remove the link", or "move it to another place"
    world.ok("build")


def test_a_link_that_was_given_by_hand(world: World, precious: Path) -> None:
    (precious / "all").rename(precious / "mine")
    (world.root / "elsewhere").symlink_to(precious)
    world.ok("build", "--out", "elsewhere")
    assert (precious / "all/layer.tar.gz").exists()


@pytest.mark.parametrize("name", ["out", "out/failed"])
def test_kept_failures_do_not_go_through_a_link(world: World, precious: Path, name: str) -> None:
    world.recipe("one", "exit 1")
    (world.root / name).parent.mkdir(exist_ok=True)
    (world.root / name).symlink_to(precious)
    before = sorted(precious.iterdir())
    assert world.run("build", "--keep-failed").code == 2
    assert sorted(precious.iterdir()) == before


def test_images_do_not_go_among_the_recipes(world: World) -> None:
    answer = world.run("build", "--out", "recipes")
    assert (answer.code, "images do not go among the recipes" in answer.err) == (2, True)
