"""A build that tries to change the host's device nodes, or to be root on the host."""

import os
import time
from pathlib import Path

import pytest
from integration.world import World, running

ROOT = os.geteuid() == 0
SANDBOXES = ["auto", pytest.param("chroot", marks=pytest.mark.skipif(not ROOT, reason="for root only"))]

# The mode that they have, and the time of a device that none looks at: an attack that succeeds does no harm.
CHANGE = r"""
for each in null zero full random urandom; do
    chmod 666 /dev/$each 2>/dev/null && { echo "chmod $each"; exit 9; }
    chown 1000 /dev/$each 2>/dev/null && { echo "chown $each"; exit 9; }
done
touch -d @86400 /dev/full 2>/dev/null && exit 9
rm -f /dev/full 2>/dev/null && exit 9
if test -e /proc/self/fd/0; then
    chmod 666 /proc/self/fd/0 2>/dev/null && exit 9
fi
echo x > /dev/null
head -c 1 /dev/zero > /dev/null
"""


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_the_hosts_devices_are_not_the_builds(here: World, sandbox: str) -> None:
    here.recipe("nodes", CHANGE)
    here.image("nodes")
    before = [os.stat(f"/dev/{name}").st_ctime_ns for name in ("full", "zero")]
    here.ok("build", "--sandbox", sandbox)
    assert [os.stat(f"/dev/{name}").st_ctime_ns for name in ("full", "zero")] == before


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_no_process_of_a_build_is_roots(here: World, sandbox: str) -> None:
    here.recipe("sleeper", "sleep 4.375")
    here.image("sleeper")
    found: list[str] = []
    with here.start("build", "--sandbox", sandbox) as build:
        while not found and build.poll() is None:
            time.sleep(0.05)
            found = running("sleep 4.375")
        users = {os.stat(f"/proc/{each}").st_uid for each in found}
        build.communicate()
    assert build.returncode == 0
    assert users == {(65530 if sandbox == "auto" else 1000) if ROOT else os.geteuid()}


def test_a_build_can_open_its_own_outputs_again(here: World) -> None:
    here.recipe("again", 'echo one > /dev/stdout\necho two > /dev/stderr\necho three > /proc/self/fd/1')
    here.image("again")
    here.ok("build")
    assert here.ok("log", "again").out == "==> make\none\ntwo\nthree\n"


def test_what_root_builds_belongs_to_root_in_the_store(here: World) -> None:
    here.recipe("owned", 'mkdir "$OUT/d"\n: > "$OUT/d/f"\nln -s f "$OUT/d/l"')
    here.image("owned")
    here.ok("build")
    tree: Path = here.output("owned")
    assert {each.lstat().st_uid for each in (tree, *tree.rglob("*"))} == {os.geteuid()}
