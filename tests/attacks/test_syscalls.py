"""A build that makes calls to the kernel by which others got out, or learned of the host."""

import os

import pytest
from integration import world
from integration.world import World
from system_calls import CALLS, EXPECTED, answers, probe

SECRETS = "keys key-users kcore kmsg kpagecount kpageflags slabinfo sysrq-trigger timer_list vmallocinfo pagetypeinfo"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the probe has the numbers of x86_64")
def test_a_build_is_refused_each_call_and_goes_on(here: World) -> None:
    world.copy_recipes(here.root / "recipes", ["perl"])
    here.recipe("calls", f"perl - > \"$OUT/answers\" <<'END'\n{probe(CALLS)}END", requires=["perl"])
    here.image("calls")
    here.ok("build")
    assert answers((here.output("calls") / "answers").read_text()) == EXPECTED


def test_a_build_cannot_read_the_hosts_keys_nor_its_kernels_memory(here: World) -> None:
    here.recipe("secrets", f'cd /proc\nfor name in {SECRETS}; do cat $name >> "$OUT/found" 2>&- || true; done')
    here.image("secrets")
    here.ok("build")
    assert (here.output("secrets") / "found").read_text() == ""
