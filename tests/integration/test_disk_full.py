"""A full disk: nothing half-made is visible, the error says what to do, and after making room the next run goes on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import world
from integration.world import World

MIB = 1 << 20


@pytest.fixture
def small(here: World) -> Iterator[Path]:
    """A small file system at the place of the store, with the tool set on it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system for everyone to see")
    place = here.store_path
    world.free(place)
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "small", place], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a file system: {done.stderr.strip()}")
    try:
        assert here.origin is not None
        subprocess.run(["cp", "-a", *(here.origin / name for name in ("trees", "records")), place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def room(place: Path, free: int) -> None:
    """Leave this many bytes free."""
    found = os.statvfs(place)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used + free}", place], check=True)


def graph(here: World) -> None:
    here.recipe("small", 'echo small > "$OUT/small"')
    here.recipe("big", 'head -c 8000000 /dev/zero > "$OUT/big"', requires=["small"])
    here.image("big")


def test_a_build_that_fills_the_disk_fails_and_goes_on_later(here: World, small: Path) -> None:
    graph(here)
    room(small, 4 * MIB)
    answer = here.run("build")
    assert answer.code == 5, "the build's own tool met the full disk"
    assert "builder: big 1: step 'make' ended with exit code 1\n  | ==> make\n  | head: " in answer.err
    assert "No space left on device\n" in answer.err
    hint = "the disk is full: free some space there or run `builder gc`, then run the command again; or `builder log big`"
    assert f"  next: {hint}" in answer.err
    assert here.damage() == []
    assert here.half_made() == []
    goes_on(here, small)


@pytest.mark.parametrize("free", [8192, 65536])
def test_a_step_that_the_full_disk_failed_is_told_as_the_machine_s_fault(here: World, small: Path, free: int) -> None:
    graph(here)
    room(small, free)
    answer = here.run("build")
    assert answer.code == 5
    assert "free some space there or run `builder gc`, then run the command again" in answer.err
    goes_on(here, small)


def test_a_disk_without_room_for_the_store_itself(here: World, small: Path) -> None:
    graph(here)
    here.ok("resolve")
    lock = here.lock.read_text()
    room(small, MIB)
    with contextlib.suppress(OSError), open(small / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    answer = here.run("build")
    assert answer.code == 5
    assert answer.err.partition("builder: ")[2] == (
        f"{small}: could not build small 1: No space left on device\nnot built because of that: big 1\n"
        "  next: free some space there or run `builder gc`, then run the command again: what was finished is kept\n"
    )
    assert here.lock.read_text() == lock
    assert not (here.root / "out").exists()
    (small / "filler").unlink()
    goes_on(here, small)


def goes_on(here: World, small: Path) -> None:
    room(small, 32 * MIB)
    assert here.damage() == []
    assert set(here.ok("build").built()) <= {"small 1", "big 1"}
    assert here.half_made() == []
    assert here.damage() == []
