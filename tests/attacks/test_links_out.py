"""A checkout whose links lead out of it: nothing of the machine gets into a build, an image or a message."""

from pathlib import Path

import pytest
from integration.world import World

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "key").write_text(SECRET)
    return folder


@pytest.fixture
def world(here: World) -> World:
    here.write("files/own", "own")
    here.recipe("copy", 'cp -a /sources/main "$OUT/main"')
    here.image("copy")
    return here


def source(world: World, folder: str, more: str = "") -> None:
    with (world.root / "recipes/copy.toml").open("a") as recipe:
        recipe.write(f'[[version.source]]\nfolder = "{folder}"\n{more}')


@pytest.mark.parametrize("more", ["", 'include = ["key"]\n'])
@pytest.mark.parametrize("folder", ["link", "deep/link/sub"])
def test_a_source(world: World, outside: Path, folder: str, more: str) -> None:
    (outside / "sub").mkdir()
    (outside / "sub/key").write_text(SECRET)
    link = world.root / ("link" if folder == "link" else "deep/link")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    source(world, folder, more)
    answer = world.run("build")
    assert (answer.code, f"{world.root}/{folder}: it is a link out of the project, to {outside}" in answer.err) == (2, True), answer.err
    link.unlink()  # "put the directory itself in the project"
    (world.root / folder).mkdir(parents=True)
    (world.root / folder / "key").write_text("public")
    world.ok("build")


@pytest.mark.parametrize("more", ["", 'include = ["own", "link", "folder", "folder/*"]\n'])
def test_links_in_a_source_stay_links(world: World, outside: Path, more: str) -> None:
    (world.root / "files/link").symlink_to(outside / "key")
    (world.root / "files/folder").symlink_to(outside)
    source(world, "files", more)
    world.ok("build")
    main = world.output("copy") / "main"
    assert sorted(each.name for each in main.iterdir()) == ["folder", "link", "own"]
    assert (main / "link").is_symlink()
    assert (main / "folder").is_symlink()


@pytest.mark.parametrize("path", [
    "recipes/copy.toml", "recipes/images/all.toml", "recipes/profiles/only.toml",
    "recipes/images", "recipes/profiles", "recipes", "lock.toml",
])
@pytest.mark.parametrize("verb", ["build", "audit"])
def test_a_file_of_the_project(world: World, outside: Path, path: str, verb: str) -> None:
    source(world, "files")
    world.ok("build")
    place = world.root / path
    place.rename(outside / "moved")
    place.symlink_to(outside / "moved")
    answer = world.run(verb)
    said = answer.err + answer.out
    assert (answer.code in (1, 2), f"is a link out of the project, to {outside}/moved" in said) == (True, True), said
    place.unlink()
    (outside / "moved").rename(place)  # "put the file itself in its place"
    world.ok("build")


def test_no_word_of_what_lies_outside(world: World, outside: Path) -> None:
    source(world, "files")
    for path in ("recipes/secret.toml", "lock.toml"):
        (world.root / path).symlink_to(outside / "key")
        for verb in ("build", "resolve", "audit", "list"):
            answer = world.run(verb)
            assert (answer.code != 0, "PRIVATE" in answer.err + answer.out) == (True, False), answer.err
        (world.root / path).unlink()
    assert (outside / "key").read_text() == SECRET
