"""A lock.toml that changes while a command runs: nothing of the other's work is lost, and nothing that was built."""

import subprocess
import time

import pytest
import tomli
from integration.world import PLATFORM, World


@pytest.fixture
def world(here: World) -> World:
    """Two packages that build slowly, and a lock without their outputs."""
    for name in ("one", "two"):
        here.recipe(name, f'sleep 2\necho {name} > "$OUT/{name}"')
    here.recipe("late", 'echo late > "$OUT/late"')
    here.image("one", "two", "late")
    here.ok("resolve")
    return here


def wait_for(process: "subprocess.Popen[str]", name: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"building {name}"):
            time.sleep(0.3)
            return


def pinned(world: World) -> set[str]:
    packages = tomli.loads(world.lock.read_text())["package"]
    return {each["name"] for each in packages if PLATFORM in each.get("output", {})} & {"one", "two", "late"}


def test_two_builders_pin_different_outputs(world: World) -> None:
    slow = world.start("build", "one")
    wait_for(slow, "one")
    world.ok("build", "late")
    slow.communicate(timeout=60)
    assert slow.returncode == 0
    assert pinned(world) == {"one", "late"}


def test_two_builders_at_once(world: World) -> None:
    both = [world.start("build", name) for name in ("one", "two")]
    for each in both:
        _, err = each.communicate(timeout=60)
        assert each.returncode == 0, err
    assert pinned(world) == {"one", "two"}


def test_another_lock_meanwhile_is_not_overwritten(world: World) -> None:
    slow = world.start("build", "one")
    wait_for(slow, "one")
    world.recipe("late", 'echo later > "$OUT/late"', more='[[version]]\nversion = "2"\n')
    world.ok("resolve")
    theirs = world.lock.read_text()
    _, err = slow.communicate(timeout=60)
    assert (slow.returncode, err.endswith(
        f"builder: {world.lock}: it was changed by another program since this command read it\n"
        "  next: look at the change there, then run the same command again: finished builds stay in the store\n"
    )) == (1, True), err
    assert world.lock.read_text() == theirs
    again = world.ok("build", "one")
    assert (again.built(), pinned(world)) == ([], {"one"})


@pytest.mark.parametrize("text", ["", "# an editor is at it", "\0"])
def test_an_editor_meanwhile(world: World, text: str) -> None:
    before = world.lock.read_text()
    slow = world.start("build", "one")
    wait_for(slow, "one")
    world.lock.write_text(text)
    _, err = slow.communicate(timeout=60)
    assert (slow.returncode, "it was changed by another program" in err) == (1, True), err
    assert world.lock.read_text() == text
    world.lock.write_text(before)
    assert world.ok("build", "one").built() == []


def test_nothing_lies_about(world: World) -> None:
    world.ok("build", "late")
    assert sorted(each.name for each in world.root.iterdir()) == ["lock.toml", "recipes"]
