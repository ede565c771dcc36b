"""What a build can see and use: no network, nothing undeclared, and not more than its limits."""

import pytest

from integration.world import World, running


def test_a_build_finds_no_network(here: World) -> None:
    here.recipe("net", 'cat /proc/net/dev > "$OUT/dev"\ncat /proc/net/route > "$OUT/route"\nls /sys > "$OUT/sys" 2>&1 || :')
    here.image("net")
    here.ok("build")
    interfaces = [line.split(":")[0].strip() for line in (here.output("net") / "dev").read_text().splitlines()[2:]]
    assert interfaces in ([], ["lo"])
    assert len((here.output("net") / "route").read_text().splitlines()) <= 1, "no route"
    assert "No such file" in (here.output("net") / "sys").read_text()


def test_a_build_that_tries_the_network_fails(here: World) -> None:
    here.recipe("hosts", "cat /etc/resolv.conf")
    here.image("hosts")
    answer = here.run("build")
    assert answer.code == 4
    assert "  | cat: /etc/resolv.conf: No such file or directory\n" in answer.err


def test_an_input_that_is_not_declared_is_not_there(here: World) -> None:
    here.chain()
    here.recipe("thief", "cat /share/base", requires=["middle"])
    here.image("thief")
    answer = here.run("build")
    assert answer.code == 4
    assert "builder: thief 1: step 'make' ended with exit code 1\n" in answer.err
    assert "  | cat: /share/base: No such file or directory\n" in answer.err


def test_inputs_and_tools_cannot_be_changed(here: World) -> None:
    here.chain()
    here.recipe("vandal", "for each in /share/base /usr/bin/env /bin/sh; do echo x >> $each && exit 9; done; :", requires=["base"])
    here.image("vandal")
    answer = here.ok("build")
    log = here.ok("log", "vandal").out
    assert log.count("Read-only file system") + log.count("Permission denied") == 3, (log, answer.err)
    assert here.damage() == []


def test_nothing_of_the_machine_is_seen(here: World) -> None:
    marked = World(here.root, here.home, {"SECRET": "of the caller", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "CFLAGS": "-O9"})
    marked.recipe(
        "look",
        'env > env\ncat /proc/self/mountinfo > mounts\ncat /proc/*/cmdline | tr "\\0" " " > processes\ncp env mounts processes "$OUT"',
    )
    marked.image("look")
    marked.ok("build", "look")
    seen = marked.output("look")
    environment = (seen / "env").read_text()
    assert "SECRET" not in environment
    assert "CFLAGS" not in environment
    assert "LC_ALL=C\n" in environment
    assert "TZ=UTC\n" in environment
    assert "pytest" not in (seen / "processes").read_text()
    assert not any(line.split()[4].startswith(str(here.home)) for line in (seen / "mounts").read_text().splitlines())


def test_the_clock_and_the_host_name_are_fixed(here: World) -> None:
    here.recipe("fixed", 'echo "$SOURCE_DATE_EPOCH"\ncat /proc/sys/kernel/hostname\nid -u\nid -g\numask\nid -un\ndate +%Z')
    here.image("fixed")
    here.ok("build")
    assert here.ok("log", "fixed").out == "==> make\n1\nbuilder\n1000\n1000\n0022\nbuilder\nUTC\n"


def test_every_tree_of_the_store_is_read_only_and_without_time(here: World) -> None:
    here.recipe("odd", 'umask 0\nmkdir -m 777 "$OUT/bin"\necho a > "$OUT/bin/a"\nchmod 777 "$OUT/bin/a"\necho b > "$OUT/b"')
    here.image("odd")
    here.ok("build")
    tree = here.output("odd")
    found = {each.name: (oct(each.stat().st_mode & 0o7777), int(each.stat().st_mtime)) for each in [tree, *tree.rglob("*")]}
    assert found == {tree.name: ("0o555", 1), "bin": ("0o555", 1), "a": ("0o555", 1), "b": ("0o444", 1)}


LIMITS = {
    "seconds": ("sleep 60", "seconds = 1", "the build took longer than 1 seconds", "if it needs more, raise 'seconds'"),
    "processes": (
        "i=0; while [ $i -lt 12 ]; do sleep 60 & i=$((i + 1)); done; wait", "processes = 8",
        "the build ran more than 8 processes at a time", "if it needs more, raise 'processes'",
    ),
    "memory": (
        "head -c 400000000 /dev/zero | tail", "memory = 64",
        "the build used more than 64 MiB of memory", "give it fewer cores, or raise 'memory' (MiB)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS)
def test_a_build_over_its_limit_is_ended_and_the_limit_is_named(here: World, limit: str) -> None:
    script, line, what, hint = LIMITS[limit]
    here.recipe("big", f"echo begun\n{script}", more=f"[limits]\n{line}\n")
    here.image("big")
    answer = here.run("build")
    assert answer.code == 4
    head, _, rest = answer.err.partition("builder: ")
    log, _, end = rest.partition("the whole log (")[2].partition(")")
    assert rest == (
        f"big 1: in step 'make' {what}\n  | ==> make\n  | begun\n"
        f"  next: {hint} under [limits] in the recipe, or `builder log big` shows the whole log ({log}); "
        "`builder build --keep-failed big` keeps its tree; `builder shell big` opens its sandbox\n"
    ), head + end
    assert here.half_made() == []


def test_a_limit_does_not_change_what_is_built(here: World) -> None:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    here.ok("build")
    here.recipe("one", 'echo one > "$OUT/one"', more="[limits]\nseconds = 77\n")
    answer = here.ok("build")
    assert answer.built() == []


def test_processes_that_a_build_leaves_behind_end_with_it(here: World) -> None:
    here.recipe("daemon", '(trap "" HUP TERM INT; sleep 61.5) > /dev/null 2>&1 < /dev/null &\necho done > "$OUT/done"')
    here.image("daemon")
    here.ok("build")
    assert not running("sleep 61.5")
