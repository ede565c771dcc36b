"""Interrupts: `kill -9` at any moment, and Ctrl-C. Store, lock and out/ are whole, and the next run goes on."""

import contextlib
import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tomli

from integration.world import World, running

KILLS = 100  # in each part
MOST = 400  # builds that are started for them
PARTS = 2  # side by side


def graph(world: World) -> None:
    """Ten small packages in four layers; what they sleep makes a build long enough to be hit anywhere."""
    for i in range(10):
        needs = [f"n{j}" for j in range(10) if j // 3 == i // 3 - 1]
        reads = "".join(f" /share/{each}" for each in needs)
        run = f'mkdir "$OUT/share"\nsleep 0.00{i}\n{{ echo n{i}; cat /dev/null{reads}; }} > "$OUT/share/n{i}"'
        world.recipe(f"n{i}", run, requires=needs)
    world.image("n9", "n6", "n7", "n8")


def killed_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Kill the builder alone, as the kernel does when memory is short; whether it had not ended before."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def vary(world: World, number: int) -> None:
    """Change what is built, so that every round has something to do."""
    for name in ("n0", "n4"):
        path = world.root / "recipes" / f"{name}.toml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("echo round")]
        lines.insert(lines.index("run = '''") + 1, f"echo round {number} > \"$OUT/round-{name}\"")
        path.write_text("\n".join(lines) + "\n")


def rounds(world: World, seed: int) -> int:
    """Build, kill, look, until it was enough; how many builds were killed before their end."""
    graph(world)
    rng = random.Random(seed)
    world.ok("build", "--jobs", "2")
    vary(world, MOST)
    started = time.monotonic()
    world.ok("build", "--jobs", "2")
    whole = time.monotonic() - started
    kills = 0
    for number in range(MOST):
        if kills == KILLS:
            break
        vary(world, number)
        kills += killed_after(world.start("build", "--jobs", "2"), rng.uniform(0.1, 1.0) * whole)
        assert world.damage() == [], number
        tomli.loads(world.lock.read_text())
        assert {each.name for each in (world.root / "out").iterdir() if not each.name.startswith(".")} == {"all"}, number
        assert (world.root / "out" / "all" / "layer.tar.gz").is_file()
    return kills


def test_kill_9_at_random_moments(here: World) -> None:
    worlds = [here, *(here.twin(f"twin-{i}") for i in range(1, PARTS))]
    with ThreadPoolExecutor(PARTS) as pool:
        kills = sum(pool.map(rounds, worlds, range(PARTS)))
    assert kills == PARTS * KILLS
    for world in worlds:
        last = world.ok("build")
        assert world.half_made() == []
        assert world.damage() == []
        assert os.listdir(world.root / "out") == ["all"]
        assert sorted(os.listdir(world.root)) == ["lock.toml", "out", "recipes"]
        assert world.ok("build").out == last.out


def waiting(world: World, seconds: str) -> None:
    """Two packages: one is built at once, the other sleeps."""
    world.recipe("quick", 'echo quick > "$OUT/quick"')
    world.recipe("slow", f'echo slow > "$OUT/slow"\nsleep {seconds}', requires=["quick"])
    world.image("slow")


def until_asleep(seconds: str) -> None:
    deadline = time.monotonic() + 30
    while not running(f"sleep {seconds}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_gone(seconds: str) -> None:
    deadline = time.monotonic() + 5
    while running(f"sleep {seconds}"):
        assert time.monotonic() < deadline, "a process of a sandbox outlived its builder"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_process_of_a_sandbox_outlives_its_builder(here: World, number: signal.Signals) -> None:
    seconds = f"600.{int(number)}{os.getpid()}"
    waiting(here, seconds)
    process = here.start("build")
    until_asleep(seconds)
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    until_gone(seconds)
    assert here.half_made() == []
    assert here.damage() == []


@pytest.mark.parametrize("whole_group", [False, True], ids=["builder", "group"])
def test_ctrl_c_says_that_nothing_is_lost(here: World, *, whole_group: bool) -> None:
    seconds = f"601.{int(whole_group)}{os.getpid()}"
    waiting(here, seconds)
    here.ok("resolve")
    lock = here.lock.read_text()
    process = here.start("build")
    until_asleep(seconds)
    if whole_group:  # what a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert out == ""
    assert err.endswith("builder: interrupted; nothing is lost, the same command goes on where it was\n")
    assert "Traceback" not in err
    until_gone(seconds)
    assert here.lock.read_text() == lock
    assert not (here.root / "out").exists()
    assert os.listdir(here.store_path / "tmp") == [], "nothing half-made is left"
    assert here.damage() == []
    waiting(here, "0.01")
    again = here.ok("build")
    assert again.built() == ["slow 1"], "what was finished before was kept"


def test_ctrl_c_in_a_download_or_resolve_leaves_the_old_lock(here: World) -> None:
    graph(here)
    here.ok("build")
    lock = here.lock.read_text()
    for number in range(5):
        vary(here, number)
        process = here.start("resolve")
        time.sleep(0.03 * number)
        process.send_signal(signal.SIGINT)
        process.communicate()
        text = here.lock.read_text()
        assert text == lock or tomli.loads(text)["lock-version"] == 1
        assert [each for each in os.listdir(here.root) if each.endswith(".tmp")] == []
        lock = text
