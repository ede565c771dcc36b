"""Outputs and sources nested deeper than Python's stack, and than paths may be long."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.world import World

from builder.store.remove import remove_tree

DEEP = 'cd "$OUT"\ni=0\nwhile [ $i -lt {count} ]; do mkdir {name}; cd {name}; i=$((i+1)); done'


@contextmanager
def nested(folder: Path) -> Iterator[None]:
    """Folders in a folder, deeper than Python's stack, until the block ends: pytest could not remove them."""
    folder.mkdir()
    here_now = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here_now)
        yield
    finally:
        os.chdir(here_now)
        remove_tree(str(folder))


@pytest.mark.parametrize(("count", "name", "said"), [(1500, "d", "nested more than"), (40, "d" * 100, "path that is too long")])
def test_an_output_nested_too_deep_fails_and_leaves_nothing(here: World, count: int, name: str, said: str) -> None:
    here.recipe("deep", DEEP.format(count=count, name=name))
    here.image("deep")
    for more in ((), ("--sandbox", "chroot")):
        if more and os.geteuid() != 0:
            continue
        answer = here.run("build", *more)
        assert answer.code == 4, answer.err
        assert "Traceback" not in answer.err
        assert "deep 1: " in answer.err and said in answer.err
        assert here.half_made() == []


def test_a_failed_build_with_a_deep_tree_is_kept_and_goes(here: World) -> None:
    here.recipe("deep", DEEP.format(count=1500, name="d").replace('cd "$OUT"', "cd /build/src") + "\nfalse")
    here.image("deep")
    answer = here.run("build", "--keep-failed")
    assert answer.code == 4 and "Traceback" not in answer.err, answer.err
    assert here.half_made() == []
    remove_tree(str(here.root / "out" / "failed"))


@pytest.mark.parametrize("name", ["all", ".all.new", ".all.old"])
def test_empty_directories_in_the_place_of_an_image(here: World, name: str) -> None:
    here.recipe("one", "true")
    here.image("one")
    (here.root / "out").mkdir()
    with nested(here.root / "out" / name):
        answer = here.run("build")
        assert (answer.code, "Traceback" in answer.err, "it is not replaced" in answer.err) == (1, False, True), answer.err
    here.ok("build")


def test_tests_nested_deep(here: World) -> None:
    here.recipe("one", "true")
    here.image("one")
    with nested(here.root / "t"):
        answer = here.run("test", "--image", "all")
        assert (answer.code, "there is no test file" in answer.err) == (2, True), answer.err


def test_a_source_folder_nested_too_deep(here: World) -> None:
    here.recipe("deep", "true")
    recipe = here.root / "recipes" / "deep.toml"
    recipe.write_text(recipe.read_text() + '\n[[version.source]]\nfolder = "lib"\n')
    here.image("deep")
    with nested(here.root / "lib"):
        answer = here.run("build")
        assert answer.code in (2, 5) and "Traceback" not in answer.err, answer.err
        assert "nested more than" in answer.err
