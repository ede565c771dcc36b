"""Building: what is built, what is not built again, what failures say, and what commands that look can tell."""

import subprocess
from pathlib import Path

import pytest

from builder.store import Store
from integration.world import PLATFORM, World

SEEN = "ls -A / /share /build /build/src /output; pwd; id -un; cat /proc/sys/kernel/hostname"
FAILING = """mkdir "$OUT/share"
i=0
while [ $i -lt 40 ]; do i=$((i + 1)); echo "line $i"; done
exit 3"""


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log_of(world: World, said: str) -> str:
    """The log that an error message names."""
    words = (word.strip("();") for word in said.split() if ".log" in word)
    (path,) = (word for word in words if word.startswith(str(world.store_path)))
    return path


def test_a_chain_is_built_in_order_and_the_image_holds_its_end(here: World) -> None:
    here.chain()
    answer = here.ok("build")
    assert answer.built() == ["base 1", "middle 1", "top 1"]
    assert (here.output("top") / "share" / "top").read_text() == "base\n"
    assert answer.out.startswith("layer     sha256:")
    assert (here.root / "out" / "all" / "layer.tar.gz").is_file()
    assert here.damage() == []


def test_the_second_build_does_nothing_and_says_the_same(here: World) -> None:
    here.chain()
    first = here.ok("build")
    inode = (here.root / "out" / "all" / "layer.tar.gz").stat().st_ino
    lock = here.lock.read_text()
    again = here.ok("build")
    assert again.out == first.out
    assert again.err == ""
    assert here.lock.read_text() == lock
    assert (here.root / "out" / "all" / "layer.tar.gz").stat().st_ino == inode


def test_the_same_is_found_without_the_stamp(here: World) -> None:
    here.chain()
    first = here.ok("build")
    for stamp in (here.home / ".cache" / "builder" / "stamps").iterdir():
        stamp.unlink()
    again = here.ok("build")
    assert (again.out, again.err) == (first.out, "")


@pytest.mark.parametrize("part", ["", "layer.tar.gz", "oci/index.json", "oci/blobs/sha256"])
def test_an_image_is_made_again_when_a_part_of_it_was_removed(here: World, part: str) -> None:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    first = here.ok("build")
    made = here.root / "out" / "all"
    good = everything(made)
    subprocess.run(["rm", "-r", made / part], check=True)
    again = here.ok("build")
    assert (again.out, again.built(), everything(made)) == (first.out, [], good)


def test_an_archive_alone_could_be_of_anybody_and_is_moved_away_by_hand(here: World) -> None:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    first = here.ok("build")
    made = here.root / "out" / "all"
    good = everything(made)
    subprocess.run(["rm", "-r", made / "oci"], check=True)
    answer = here.run("build")
    assert answer.code != 0
    assert answer.err.endswith("it holds what another program made, so it is not replaced\n"
                               "  next: move it to another place, then run the command again\n")
    made.rename(here.root / "elsewhere")
    again = here.ok("build")
    assert (again.out, again.built(), everything(made)) == (first.out, [], good)


def test_a_changed_recipe_is_built_again_with_all_that_sees_its_output(here: World) -> None:
    here.chain()
    first = here.ok("build")
    here.recipe("base", 'mkdir "$OUT/share"\necho other > "$OUT/share/base"')
    answer = here.ok("build")
    assert answer.err.splitlines()[0] == "lock: base 1: the recipe changed"
    assert answer.built() == ["base 1", "middle 1", "top 1"]
    assert (here.output("top") / "share" / "top").read_text() == "other\n"
    assert answer.out != first.out


def test_a_root_with_the_same_output_is_all_that_is_built(here: World) -> None:
    here.chain()
    first = here.ok("build")
    here.recipe("base", ': a change\nmkdir "$OUT/share"\necho base > "$OUT/share/base"')
    answer = here.ok("build")
    assert answer.built() == ["base 1"]
    assert answer.out.splitlines()[0] == first.out.splitlines()[0], "the layer"


def test_a_change_taken_back_needs_no_build(here: World) -> None:
    here.chain()
    first = here.ok("build")
    recipe = (here.root / "recipes" / "base.toml").read_text()
    here.recipe("base", 'mkdir "$OUT/share"\necho other > "$OUT/share/base"')
    here.ok("build")
    here.write("recipes/base.toml", recipe)
    answer = here.ok("build")
    assert answer.built() == []
    assert answer.out.splitlines()[0] == first.out.splitlines()[0], "the layer"


def test_a_comment_in_a_recipe_changes_nothing(here: World) -> None:
    here.chain()
    first = here.ok("build")
    path = here.root / "recipes" / "base.toml"
    path.write_text("# a remark\n" + path.read_text())
    lock = here.lock.read_text()
    answer = here.ok("build")
    assert (answer.out, answer.err, here.lock.read_text()) == (first.out, "", lock)


def test_a_failed_step_is_told_with_its_last_lines_its_log_and_a_way_in(here: World) -> None:
    here.recipe("bad", FAILING)
    here.image("bad")
    here.ok("resolve")
    answer = here.run("build")
    log = log_of(here, answer.err)
    lines = "".join(f"  | line {number}\n" for number in range(11, 41))
    assert answer.code == 4
    assert answer.out == ""
    head, _, tail = answer.err.partition("builder: ")
    assert head.splitlines()[0] == "building bad 1"
    assert head.splitlines()[1].startswith("building bad 1: failed, ")
    assert tail == (
        f"bad 1: step 'make' ended with exit code 3\n{lines}"
        f"  next: `builder log bad` shows the whole log ({log}); `builder build --keep-failed bad` keeps its tree; "
        "`builder shell bad` opens its sandbox\n"
    )
    with open(log) as file:
        assert file.read() == "==> make\n" + "".join(f"line {number}\n" for number in range(1, 41))


def test_a_failure_stops_what_has_not_begun_and_what_was_built_stays(here: World) -> None:
    here.recipe("bad", "exit 1")
    here.recipe("good", 'echo good > "$OUT/good"')
    here.recipe("after-bad", "echo never", requires=["bad"])
    here.recipe("after-good", 'cp /good "$OUT/copy"', requires=["good"])
    here.image("after-bad", "after-good")
    answer = here.run("build", "--jobs", "1", "--keep-going")
    assert answer.code == 4
    assert answer.built() == ["good 1", "after-good 1"]
    assert "builder: bad 1: step 'make' ended with exit code 1\n  | ==> make\nnot built because of that: after-bad 1\n" in answer.err
    here.recipe("bad", 'echo mended > "$OUT/bad"')
    again = here.ok("build")
    assert sorted(again.built()) == ["after-bad 1", "bad 1"]


def test_without_keep_going_nothing_more_is_begun(here: World) -> None:
    here.recipe("a-bad", "exit 1")
    here.recipe("good", 'echo good > "$OUT/good"')
    here.image("a-bad", "good")
    answer = here.run("build", "--jobs", "1")
    assert answer.code == 4
    assert "building good 1" not in answer.err
    assert "not built because of that: good 1\n" in answer.err


def test_all_failures_are_told_with_keep_going(here: World) -> None:
    here.recipe("a-bad", "exit 1")
    here.recipe("b-bad", "exit 2")
    here.image("a-bad", "b-bad")
    answer = here.run("build", "--jobs", "1", "--keep-going")
    assert answer.code == 4
    assert (
        "builder: a-bad 1: step 'make' ended with exit code 1\n  | ==> make\n"
        "also failed: b-bad 1: step 'make' ended with exit code 2\n  | ==> make\n  next: `builder log b-bad` shows the whole log"
    ) in answer.err


def test_the_tree_of_a_failed_build_is_kept_when_asked_for(here: World) -> None:
    here.recipe("bad", "echo half > half-made\nexit 1")
    here.image("bad")
    assert here.run("build").code == 4
    assert not (here.root / "out" / "failed").exists()
    answer = here.run("build", "--keep-failed")
    kept = here.root / "out" / "failed" / "bad-1-1"
    enter = f"its tree is kept in {kept}, `builder shell --failed bad` enters it; `builder shell bad` opens its sandbox\n"
    assert enter in answer.err
    assert (kept / "src" / "half-made").read_text() == "half\n"
    assert (kept / ".builder.sh").is_file()
    assert f"its tree is kept in {kept.with_name('bad-1-2')}" in here.run("build", "--keep-failed").err


def test_a_failed_build_is_tried_again(here: World) -> None:
    here.recipe("bad", "exit 1")
    here.image("bad")
    assert [here.run("build").code for _ in range(2)] == [4, 4]
    assert here.half_made() == []
    assert here.damage() == []


def test_log_prints_what_the_build_wrote_also_of_a_failed_one(here: World) -> None:
    here.recipe("good", 'echo hello\necho "$OUT"\ntouch "$OUT/x"')
    here.recipe("bad", "echo almost\nexit 1", requires=["good"])
    here.image("bad")
    here.run("build")
    assert here.ok("log", "good").out == "==> make\nhello\n/output\n"
    assert here.ok("log", "bad").out == "==> make\nalmost\n"
    answer = here.run("log", "toolset")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no log of toolset 1\n  next: it was never built here in this form, or is made without a sandbox\n" in answer.err


def test_shell_sees_what_the_build_sees_and_nothing_else(here: World) -> None:
    here.chain()
    here.ok("build")
    seen = here.ok("shell", "middle", "sh", "-c", SEEN).out
    assert seen == (
        "/:\n.builder\nbin\nbuild\ndev\netc\nlib\nlib64\noutput\nproc\nshare\ntmp\nusr\n\n"
        "/build:\n.builder.sh\nsrc\ntmp\n\n/build/src:\n\n/output:\n\n/share:\nbase\n"
        "/build/src\nbuilder\nbuilder\n"
    )
    environment = here.ok("shell", "--cores", "3", "middle", "env").out.splitlines()
    assert sorted(line for line in environment if not line.startswith("MAKEFLAGS=")) == [
        "CORES=3", "HOME=/build", "LANG=C", "LC_ALL=C", "LOGNAME=builder", "OUT=/output", "PATH=/usr/bin:/bin:/.builder",
        "PWD=/build/src", "SHELL=/bin/sh", "SOURCE_DATE_EPOCH=1", "TMPDIR=/build/tmp", "TZ=UTC", "USER=builder",
    ]  # fmt: skip
    assert here.ok("shell", "middle", "sh", "/build/.builder.sh").out.splitlines()[-1] == "middle"
    assert here.run("shell", "middle", "sh", "-c", "exit 7").code == 7


def test_list_tells_state_and_role(here: World) -> None:
    here.chain()
    here.ok("resolve")
    rows = {each["package"]: (each["role"], each["state"]) for each in here.ok("list", "--json").json}
    assert rows["top"] == ("image", "absent")
    assert rows["base"] == ("build", "absent")
    here.ok("build")
    rows = {each["package"]: (each["role"], each["state"]) for each in here.ok("list", "--json").json}
    assert rows["top"] == ("image", "built")
    assert rows["base"] == ("build", "built")


def test_graph_and_why_as_data(here: World) -> None:
    here.chain()
    here.ok("resolve")
    graph = here.ok("graph", "--json").json
    assert graph["image"] == "all"
    assert {(each["from"], each["to"], each["kind"]) for each in graph["edges"]} >= {
        ("image:all", "top 1", "runtime"), ("top 1", "middle 1", "build"), ("middle 1", "base 1", "build"),
        ("base 1", "toolset 1", "build"),
    }  # fmt: skip
    assert here.ok("why", "top", "base", "--json").json == [
        [{"from": "top 1", "to": "middle 1", "kind": "build"}, {"from": "middle 1", "to": "base 1", "kind": "build"}]
    ]
    assert here.run("why", "base", "top").code == 1


def test_packages_are_built_by_name_without_an_image(here: World) -> None:
    here.chain()
    answer = here.ok("build", "middle", "--json")
    (row,) = answer.json
    assert row["realised"] == ["base 1", "middle 1"]
    assert here.output("middle") == here.tree_path(row["packages"]["middle 1"]["out"])
    assert not (here.root / "out").exists()


def test_a_launcher_that_is_gone_is_made_before_the_first_build(here: World) -> None:
    here.chain()
    here.ok("build")
    with Store(str(here.store_path)) as store:
        store.discard_tree(here.package("launcher")["output"][PLATFORM]["out"])
    here.recipe("top", 'mkdir "$OUT/share"\ncat /share/middle /share/middle > "$OUT/share/top"', requires=["middle"])
    assert here.ok("build").built() == ["launcher 1", "top 1"]
