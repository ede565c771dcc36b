"""Up to date, but not true: changes that a build has not read, and that the next one must not overlook."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from integration.world import PLATFORM, World


@pytest.fixture
def world(here: World) -> World:
    """Its package copies a file of the project, whose text one reads in the output."""
    here.write("files/text", "one")
    here.recipe("copy", 'cp /sources/main/text "$OUT/text"')
    with (here.root / "recipes/copy.toml").open("a") as recipe:
        recipe.write('[[version.source]]\nfolder = "files"\n')
    here.image("copy")
    return here


def text(world: World) -> str:
    """What a new image has, after a build that may find nothing to do."""
    world.ok("build")
    return (world.output("copy") / "text").read_text()


def is_a_no_op(world: World, *more: str) -> bool:
    """Whether the stamp answers: then the store is not even opened."""
    hidden = world.store_path.with_name("hidden")
    world.store_path.rename(hidden)
    try:
        return world.run("build", "--offline", *more).code == 0
    finally:
        subprocess.run(["rm", "-rf", str(world.store_path)], check=True)
        hidden.rename(world.store_path)


@pytest.mark.parametrize("path", ["files/text", "recipes/copy.toml", "files/__pycache__/new.pyc"])
def test_an_edit_while_the_build_runs_is_built_by_the_next(world: World, path: str) -> None:
    """The build is slow: the edit falls into it, after the files were read."""
    recipe = world.root / "recipes/copy.toml"
    recipe.write_text(recipe.read_text().replace("cp /sources", "sleep 2; cp /sources"))
    process = world.start("build", "--json")
    wait_for_the_build(process)
    if path == "files/text":
        (world.root / path).write_text("two")
    elif path == "recipes/copy.toml":
        recipe.write_text(recipe.read_text().replace("sleep 2; cp", "echo two > $OUT/text; true"))
    else:
        world.write(path, "two")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (world.output("copy") / "text").read_text() == "one"
    key = world.package("copy")["output"][PLATFORM]["key"]
    world.ok("build", "--json")
    assert world.package("copy")["output"][PLATFORM]["key"] != key
    assert (world.output("copy") / "text").read_text().strip() == ("one" if "pycache" in path else "two")


def wait_for_the_build(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("building copy"):
            time.sleep(0.5)
            return


def test_a_recipe_that_is_a_link_whose_target_is_edited(world: World) -> None:
    recipe = world.root / "recipes/copy.toml"
    target = world.write("shared/copy.toml", recipe.read_text())
    recipe.unlink()
    recipe.symlink_to("../shared/copy.toml")
    assert text(world) == "one"
    target.write_text(target.read_text().replace("cp /sources/main/text", "echo two >"))
    assert text(world).strip() == "two"


def test_a_folder_of_recipes_that_is_a_link(world: World) -> None:
    (world.root / "shared").mkdir()
    (world.root / "recipes/images").rename(world.root / "shared/images")
    (world.root / "recipes/images").symlink_to("../shared/images")
    world.recipe("other", 'echo other > "$OUT/other"')
    world.ok("build")
    world.write("shared/images/all.toml", 'name = "all"\nprofiles = ["only"]\npackages = ["copy", "other"]\n')
    world.ok("build")
    assert (world.output("other") / "other").read_text() == "other\n"


def test_a_source_that_is_a_link_whose_target_is_edited(world: World) -> None:
    (world.root / "files").rename(world.root / "data")
    (world.root / "files").symlink_to("data")
    assert text(world) == "one"
    (world.root / "data/text").write_text("two")
    assert text(world) == "two"


def test_a_nearer_project_that_appears(world: World) -> None:
    inner = world.root / "inner"
    inner.mkdir()
    world.ok("build", cwd=inner)
    (inner / "recipes").mkdir()
    answer = world.run("build", cwd=inner)
    assert (answer.code, "all" in answer.out) == (2, False)


def test_a_settings_file_that_appears(world: World) -> None:
    world.ok("build")
    settings = world.home / ".config/builder/settings.toml"
    if "BUILDER_SETTINGS" in world.environ:
        pytest.skip("the settings are named by a variable here")
    settings.parent.mkdir(parents=True)
    settings.write_text('store = "relative"\n')
    assert world.run("build").code == 2


def test_a_variable_that_is_wrong(world: World) -> None:
    world.ok("build")
    wrong = World(world.root, world.home, {**world.environ, "BUILDER_STORE": "relative"})
    assert wrong.run("build").code == 2


def test_a_no_op_realises_nothing(world: World) -> None:
    assert "copy 1" in world.ok("build", "--offline", "--json").json[0]["realised"]
    assert is_a_no_op(world) is False  # another command line
    assert is_a_no_op(world, "--json")
    assert world.ok("build", "--offline", "--json").json[0]["realised"] == []


def test_the_same_size_and_time_again(world: World) -> None:
    assert text(world) == "one"
    found = (world.root / "files/text").stat()
    (world.root / "files/text").write_text("two")
    os.utime(world.root / "files/text", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert text(world) == "two"


def test_a_link_in_the_image_whose_target_is_edited(world: World, tmp_path: Path) -> None:
    """A link below out/all is no part of what was written: the image is written anew, and the link's target stays."""
    world.ok("build")
    layout = world.root / "out/all/oci/oci-layout"
    before, elsewhere = layout.read_bytes(), tmp_path / "elsewhere"
    layout.rename(elsewhere)
    layout.symlink_to(elsewhere)
    answer = world.run("build")
    assert (answer.code, "it holds oci/oci-layout, which the builder did not write" in answer.err) == (1, True)
    (world.root / "out/all").rename(tmp_path / "moved")  # what the message says
    world.ok("build")
    assert (layout.is_symlink(), layout.read_bytes(), elsewhere.read_bytes()) == (False, before, before)
