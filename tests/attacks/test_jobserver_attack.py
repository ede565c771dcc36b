"""A build that misuses the pipe of tokens that all builds share."""

import subprocess

import pytest
from integration.world import World

PIPE = 'auth=${MAKEFLAGS##*=}\nin=/proc/self/fd/${auth%,*}\nout=/proc/self/fd/${auth#*,}\n'
ATTACKS = {
    "fill": "timeout 1 dd if=/dev/zero of=$out bs=4096 count=100000 2>/dev/null || :",
    "drain": "timeout 1 cat $in > /dev/null || :",
    "fill and drain": "timeout 2 cat $in > /dev/null & timeout 1 dd if=/dev/zero of=$out bs=4096 2>/dev/null || :",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_builder_goes_on(here: World, attack: str) -> None:
    here.recipe("attacker", PIPE + ATTACKS[attack])
    here.recipe("other", "sleep 1.5")
    here.recipe("last", ":", requires=["attacker", "other"])
    here.image("last")
    build = here.start("build", "--jobs", "2", "--cores", "2")
    try:
        _, err = build.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        build.kill()
        raise
    assert build.returncode == 0, err
