"""What a person sees while a real build runs: never nothing for long, how far it is, and what failed before."""

import json
import os
import pty
import select
import time

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from builder.cli import kinds
from integration.world import BUILDER, World

LONGEST = 1.5  # seconds of silence: rows are drawn four times a second, the rest is a busy machine's


def on_terminal(here: World, *argv: str) -> tuple[int, str, float]:
    """Run `builder` on a terminal: exit code, all that it drew, the longest silence in seconds."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(here.root)
        os.execve(BUILDER, [BUILDER, *argv], {**here.environment(), "TERM": "xterm", "COLUMNS": "120"})
    drawn, silence, last = b"", 0.0, time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.05)
        now = time.monotonic()
        if ready:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            silence, last = max(silence, now - last), now
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), drawn.decode(), max(silence, time.monotonic() - last)


def test_a_terminal_is_never_blank_for_long(here: World) -> None:
    here.recipe("slow", 'sleep 4\nmkdir "$OUT/share"\necho slow > "$OUT/share/slow"')
    here.recipe("after", 'mkdir "$OUT/share"\nhead -c 900000000 /dev/zero > "$OUT/share/large"', requires=["slow"])
    here.image("after")
    code, drawn, silence = on_terminal(here, "build")
    assert code == 0, drawn
    assert "1 of 2 built" in drawn
    assert silence < LONGEST
    assert "hashing its output" in drawn


def test_a_build_that_failed_before_says_so_until_it_works(here: World) -> None:
    here.recipe("bad", "echo this is wrong\nfalse")
    here.image("bad")
    first = here.run("build")
    assert (first.code, "with the same inputs" in first.err) == (4, False)
    again = here.run("build")
    assert again.code == 4
    (line,) = (each for each in again.err.splitlines() if "with the same inputs" in each)
    assert line.startswith("bad 1: failed ")
    assert line.endswith(" ago with the same inputs; it is tried again")
    here.recipe("bad", 'mkdir "$OUT/share"\necho other > "$OUT/share/inputs"')
    assert "failed" not in here.ok("build").err
    assert len(list((here.store_path / "logs").glob("*.failed"))) == 1
    here.ok("gc")
    assert list((here.store_path / "logs").glob("*.failed")) == []


def test_quiet_and_verbose_builds(here: World) -> None:
    here.recipe("one", 'echo first line\necho second line\nmkdir "$OUT/share"\necho one > "$OUT/share/one"')
    here.image("one")
    said = here.ok("build", "-v").err.splitlines()
    assert {"one 1> first line", "one 1> second line"} <= set(said)
    here.recipe("one", 'echo another line\nmkdir "$OUT/share"\necho two > "$OUT/share/one"')
    quiet = here.ok("build", "--quiet")
    assert quiet.err == ""
    assert "layer " in quiet.out
    here.recipe("one", "echo broken\nfalse")
    assert here.run("build", "-q").err.startswith("builder: one 1: step 'make' ended with exit code 1\n")


def test_a_log_is_data_too(here: World) -> None:
    here.recipe("one", 'echo hello from the build\nmkdir "$OUT/share"\necho one > "$OUT/share/one"')
    here.image("one")
    here.ok("build")
    document = json.loads(here.ok("log", "one", "--json").out)
    Draft202012Validator(kinds.schema("log")).validate(document)
    found = document["data"]
    assert "hello from the build\n" in found["text"]
    assert here.ok("log", "one").out.rstrip("\n") == found["text"].rstrip("\n")


def test_the_time_left_comes_from_the_build_that_the_lock_pins(here: World) -> None:
    here.recipe("base", 'sleep 7\nmkdir "$OUT/share"\necho 1 > "$OUT/share/base"')
    here.recipe("top", 'mkdir "$OUT/share"\ncat /share/base > "$OUT/share/top"', requires=["base"])
    here.image("top")
    assert "left)" not in here.ok("build").err, "nothing is known yet"
    here.recipe("base", 'sleep 7\nmkdir "$OUT/share"\necho 2 > "$OUT/share/base"')
    (line,) = (each for each in here.ok("build").err.splitlines() if each.startswith("building base 1 ("))
    assert line.startswith("building base 1 (1 of 2, about ")
    assert line.endswith(" s left)")
