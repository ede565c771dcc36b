"""The lock pins outputs: `--locked`, another machine, and `build --check`."""

import re

import pytest

from builder.store import Store
from integration.world import PLATFORM, World

RANDOM = 'mkdir "$OUT/share"\necho fixed > "$OUT/share/fixed"\nhead -c 6 /dev/urandom | od -An -tx1 > "$OUT/share/random"'


def one(world: World, run: str = 'echo one > "$OUT/one"') -> None:
    world.recipe("one", run)
    world.image("one")


def pin(world: World, name: str) -> str:
    return str(world.package(name)["output"][PLATFORM]["out"])


def test_the_first_build_fills_the_lock_and_locked_takes_it(here: World) -> None:
    one(here)
    here.ok("resolve")
    assert "output" not in here.package("one")
    answer = here.ok("build")
    assert "lock.toml: outputs pinned" in answer.err.splitlines()
    assert here.package("one")["output"][PLATFORM]["out"].startswith("sha256-")
    lock = here.lock.read_text()
    again = here.ok("build", "--locked")
    assert (again.out, again.err, here.lock.read_text()) == (answer.out, "", lock)


def test_locked_fills_nothing_in(here: World) -> None:
    one(here)
    here.ok("resolve")
    lock = here.lock.read_text()
    answer = here.run("build", "--locked")
    names = here.ok("list", "--json").json
    expected = ", ".join(sorted(f"{each['package']} {each['version']}" for each in names))
    assert answer.code == 1
    assert answer.err == (
        f"builder: lock.toml, platform {PLATFORM}: the lock pins no output for these inputs: {expected}\n"
        "  next: build once without --locked, look at the difference of lock.toml, commit it\n"
    )
    assert here.lock.read_text() == lock
    assert not (here.root / "out").exists()


def test_locked_refuses_a_lock_that_is_missing(here: World) -> None:
    one(here)
    answer = here.run("build", "--locked")
    assert (answer.code, answer.err) == (
        1,
        "builder: lock.toml: the lock is stale: there is no lock\n  next: run `builder resolve`, look at the difference, commit it\n",
    )
    assert not here.lock.exists()


def test_locked_refuses_a_stale_lock(here: World) -> None:
    one(here)
    here.ok("build")
    lock = here.lock.read_text()
    one(here, 'echo two > "$OUT/one"')
    answer = here.run("build", "--locked")
    assert (answer.code, answer.err) == (
        1,
        "builder: lock.toml: the lock is stale: one 1: the recipe changed\n"
        "  next: run `builder resolve`, look at the difference, commit it\n",
    )
    assert here.lock.read_text() == lock
    assert here.run("resolve", "--check").code == 1


def test_an_output_that_the_lock_does_not_name_any_more_is_an_error(here: World) -> None:
    """A pin that nothing meets: the tree is not in the store, so it is built, and is another."""
    one(here)
    here.ok("build")
    good = pin(here, "one")
    here.recipe("other", 'echo other > "$OUT/one"')
    here.image("one", "other")
    here.ok("build", "other")
    wrong = "sha256-" + "A" * 42 + "E="
    here.lock.write_text(here.lock.read_text().replace(good, wrong))
    answer = here.run("build")
    assert answer.code == 4
    assert answer.err.partition("builder: ")[2] == (
        "one 1: not reproduced: the same inputs gave other bytes than lock.toml pins\n"
        f"out: the lock has {wrong}, built was {good}\n"
        "  next: `builder build --check one` shows whether the build is deterministic here; if the pin itself is "
        "wrong, remove the package's [package.output] from lock.toml and build again\n"
    )
    for more in ([], ["--locked"]):
        checked = here.run("build", "--check", "one", *more)  # it was built from these inputs, whatever the lock says of them
        assert (checked.code, re.sub(r" \(.*? s\)", "", checked.out)) == (1, "one 1: reproduced, but lock.toml pins other outputs\n")
    (row,) = here.run("build", "--check", "one", "--json").json
    assert (row["reproduced"], row["pinned"]) == (True, False)
    here.lock.write_text(here.lock.read_text().replace(wrong, good))
    assert here.ok("build", "--check", "one", "--json").json[0]["pinned"] is True


def test_another_machine_makes_the_same_bytes(here: World) -> None:
    here.chain()
    first = here.ok("build")
    layer = (here.root / "out" / "all" / "layer.tar.gz").read_bytes()
    other = here.another("other", tools=True)
    answer = other.ok("build", "--locked", "--out", str(here.root / "elsewhere"))
    assert answer.built() == ["base 1", "middle 1", "top 1"]
    assert answer.out.splitlines()[0] == first.out.splitlines()[0]
    assert (here.root / "elsewhere" / "all" / "layer.tar.gz").read_bytes() == layer


def test_another_machine_refuses_what_is_not_reproduced(here: World) -> None:
    one(here, RANDOM)
    here.ok("build")
    other = here.another("other", tools=True)
    answer = other.run("build")
    assert answer.code == 4
    assert answer.err.partition("builder: ")[2].startswith(
        "one 1: not reproduced: the same inputs gave other bytes than lock.toml pins\n"
        f"out: the lock has {pin(here, 'one')}, built was sha256-"
    )
    assert other.run("build", "--locked").code == 4
    assert pin(here, "one") in here.lock.read_text()


def test_what_is_not_reproduced_is_shown_where_the_pinned_tree_is_there(here: World) -> None:
    here.recipe("one", RANDOM + '\nmkdir "$OUT/include"\necho fixed > "$OUT/include/one.h"')
    here.recipe("two", "cp /include/one.h $OUT", requires=["one"])
    here.image("two")
    here.ok("build")
    outputs = here.package("one")["output"][PLATFORM]
    with Store(str(here.store_path)) as store:
        store.discard_tree(outputs["dev"])
    assert here.ok("build", "one").built() == [], "nothing is built on it"
    here.recipe("two", "cp /include/one.h $OUT/x.h", requires=["one"])
    answer = here.run("build", "two")
    assert answer.code == 4
    said = answer.err.partition("builder: ")[2].splitlines()
    said = [line for line in said if not line.startswith("not built")]
    assert said[0] == "one 1: not reproduced: the same inputs gave other bytes than lock.toml pins"
    assert said[1].startswith(f"out: the lock has {outputs['out']}, built was sha256-")
    assert said[2].startswith("  content: share/random differs from byte ")
    assert len(said) == 4, "dev is as it was"


def test_check_shows_file_and_bytes_that_differ(here: World) -> None:
    one(here, RANDOM)
    here.ok("build")
    answer = here.run("build", "--check", "one")
    lines = answer.out.splitlines()
    assert answer.code == 1
    assert lines[0].startswith("one 1: NOT REPRODUCED (")
    assert lines[1].startswith(f"  output out: {pin(here, 'one')}, then sha256-")
    assert lines[2].startswith("    content: share/random differs from byte ")
    assert lines[3].startswith("    share/random: 19 and 19 bytes, first difference at byte ")
    first, second = (line.split()[1:] for line in lines[4:6])
    assert (lines[4][:16], lines[5][:16]) == ("      first   " + first[0], "      second  " + second[0])
    assert first != second
    (row,) = here.run("build", "--check", "--json", "one").json
    assert (row["package"], row["reproduced"]) == ("one 1", False)


LEAKS = {
    "cores": 'echo "$CORES" > "$OUT/leak"',
    "jobs": 'echo "$MAKEFLAGS" > "$OUT/leak"',
    "clock": 'date +%s%N > "$OUT/leak"',
    "nanoseconds": 'echo x > x\nstat -c %y x > "$OUT/leak"',
    "random": 'cat /proc/sys/kernel/random/uuid > "$OUT/leak"',
    "inode": 'echo x > x\nstat -c %i x /build > "$OUT/leak"',
    "place": 'cat /proc/self/mountinfo > "$OUT/leak"',
    "links": 'stat -c %h /usr/bin/env > "$OUT/leak"',
    "address": 'cat /proc/self/maps | tail -n 5 > "$OUT/leak"',
}


@pytest.mark.parametrize("leak", LEAKS)
def test_check_catches_a_leak(here: World, leak: str) -> None:
    one(here, LEAKS[leak])
    here.ok("build", "one")
    answer = here.run("build", "--check", "one")
    assert answer.code == 1
    assert "    content: leak differs from byte " in answer.out


SAME = {
    "umask": 'umask > "$OUT/same"\necho x > "$OUT/x"\nstat -c %a "$OUT/x" >> "$OUT/same"',
    "locale": 'env | grep -v -e CORES -e MAKEFLAGS > "$OUT/same" 2>/dev/null || env -u CORES -u MAKEFLAGS > "$OUT/same"',
    "user": 'id > "$OUT/same"\ncat /etc/passwd /etc/hosts >> "$OUT/same"',
    "zone": 'date -d @0 > "$OUT/same"\nstat -c "%y %s %U %A" /usr/bin/env >> "$OUT/same"',
    "place": 'pwd > "$OUT/same"\necho "$OUT $HOME $TMPDIR" >> "$OUT/same"',
    "host": 'cat /proc/sys/kernel/hostname > "$OUT/same"',
    "process": 'echo $$ > "$OUT/same"',
}


@pytest.mark.parametrize("thing", SAME)
def test_check_finds_nothing_where_the_sandbox_hides_it(here: World, thing: str) -> None:
    one(here, SAME[thing])
    here.ok("build", "one")
    answer = here.ok("build", "--check", "one")
    assert answer.out.startswith("one 1: reproduced (")


def test_check_of_everything_that_is_built_in_a_sandbox(here: World) -> None:
    here.chain()
    here.recipe("leak", 'date +%N > "$OUT/leak"')
    here.image("top", "leak")
    here.ok("build")
    answer = here.run("build", "--check", "--json")
    assert answer.code == 1
    verdicts = {each["package"]: each["reproduced"] for each in answer.json}
    assert verdicts == {"base 1": True, "middle 1": True, "top 1": True, "leak 1": False}
    assert here.damage() == []
    assert here.half_made() == []
    assert not [each for each in here.store_path.iterdir() if each.name.startswith("other-place-")]


def test_a_check_changes_neither_lock_nor_store(here: World) -> None:
    one(here, RANDOM)
    here.ok("build")
    lock, trees = here.lock.read_text(), sorted((here.store_path / "trees").iterdir())
    here.run("build", "--check", "one")
    assert (here.lock.read_text(), sorted((here.store_path / "trees").iterdir())) == (lock, trees)
    assert here.ok("build").built() == []


def test_the_layer_is_pinned_too(here: World) -> None:
    one(here)
    here.ok("build")
    text = here.lock.read_text()
    (line,) = (each for each in text.splitlines() if each.startswith("layer = "))
    here.lock.write_text(text.replace(line, 'layer = "' + "0" * 64 + '"'))
    answer = here.run("build")
    assert answer.code == 4
    assert "builder: image all, profile only: not reproduced: the same outputs gave layer " in answer.err
    assert f"the lock pins {'0' * 64} on " in answer.err
