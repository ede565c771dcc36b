"""A lock that was edited by hand: a finding or our own error, never a traceback, and never "no findings"."""

from collections.abc import Callable

import pytest
from integration.world import World

EDITS: dict[str, Callable[[str], str]] = {
    "an edge is gone": lambda text: text.replace('requires = ["base 1"]\n', "").replace('    "base 1",\n', ""),
    "an edge to itself": lambda text: text.replace('"base 1"', '"middle 1"'),
    "a feature": lambda text: text.replace('name = "middle"\n', 'name = "middle"\nfeatures = ["tls"]\n'),
    "the weaker sandbox": lambda text: text.replace('\n[[package]]\nname = "top"', '\nsandbox = "chroot"\n[[package]]\nname = "top"'),
    "a profile that no image is in": lambda text: text.replace('profiles = ["only"]', 'profiles = ["odd"]', 1),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_lock(here: World, name: str) -> None:
    here.chain()
    here.ok("build", "--offline")
    assert here.run("audit").code == 0
    before = here.lock.read_text()
    here.lock.write_text(EDITS[name](before))
    assert here.lock.read_text() != before
    for verb in (["audit"], ["audit", "--all"], ["list"], ["graph"], ["log", "middle"], ["build", "--locked"]):
        answer = here.run(*verb)
        assert "Traceback" not in answer.err, (verb, answer.err)
        if verb[0] == "audit":
            assert answer.code in (1, 2), answer.out
            assert "no findings" not in answer.out


def test_the_only_required_profile_becomes_optional(here: World) -> None:
    here.chain()
    here.ok("build", "--offline")
    here.write("recipes/profiles/only.toml", 'name = "only"\nbase = []\noutputs = "optional"\n')
    here.ok("resolve")
    answer = here.run("audit")
    assert answer.code == 1 and "nothing was looked at" in answer.out


def test_since_nothing(here: World) -> None:
    here.chain()
    here.ok("resolve")
    assert here.run("audit", "--since", "").code == 2
