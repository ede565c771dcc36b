"""Remedies that need a sandbox: a build that fails, one that is not reproduced, and what another process builds."""

import os
import re
import subprocess
import time

import pytest
from msgspec.structs import replace

from integration.world import TOOLSET, World, copy_recipes


def test_a_failed_build_of_what_no_image_needs_is_looked_into_as_its_message_says(here: World) -> None:
    here.recipe("good", 'echo good > "$OUT/good"')
    here.image("good")
    here.recipe("lonely", "echo before; exit 3")
    failed = here.run("build", "lonely")
    assert failed.code == 4
    assert "`builder shell lonely` opens its sandbox" in failed.err
    assert here.ok("log", "lonely").out.splitlines()[-1] == "before"
    assert here.ok("shell", "lonely", "/bin/sh", "-c", "cat /build/.builder.sh").out.count("exit 3") == 1
    here.recipe("lonely", 'echo now > "$OUT/lonely"')
    here.ok("build", "lonely")
    assert here.ok("build", "--check", "lonely").out.startswith("lonely 1: reproduced")
    assert "lonely" not in (here.lock.read_text() if here.lock.exists() else "")
    assert here.run("build", "--locked", "lonely").code == 1


def test_what_another_process_builds_is_listed_as_being_built(here: World) -> None:
    here.recipe("slow", 'sleep 8; echo slow > "$OUT/slow"')
    here.image("slow")
    build = here.start("build")
    deadline = time.monotonic() + 60
    seen = ""
    while seen != "building" and time.monotonic() < deadline and build.poll() is None:
        seen = next(row["state"] for row in here.ok("list", "--json").json if row["package"] == "slow")
    assert seen == "building"
    build.communicate(timeout=60)
    assert build.returncode == 0
    assert {row["state"] for row in here.ok("list", "--json").json} == {"built"}
    assert here.ok("build", "--dry-run", "--json").json["build"] == []
    here.recipe("slow", 'echo fast > "$OUT/slow"')
    assert next(row["state"] for row in here.ok("list", "--json").json if row["package"] == "slow") == "stale"
    (planned,) = here.ok("build", "--dry-run", "--json").json["build"]
    assert planned == {"package": "slow 1", "why": "its recipe changed", "sure": True}
    here.ok("resolve")  # the lock has the new recipe now; the record of the old outputs tells what changed
    (planned,) = here.ok("build", "--dry-run", "--json").json["build"]
    assert planned == {"package": "slow 1", "why": "its steps changed", "sure": True}


def test_a_locked_build_of_a_lock_without_outputs(here: World) -> None:
    here.chain()
    here.ok("resolve")
    assert here.run("build", "--locked").code == 1
    here.ok("build")  # "build once without --locked"
    here.ok("build", "--locked")
    here.ok("audit")


def patched(here: World, witness: str) -> None:
    here.write("src/file", "one\n")
    here.write("src/fix.patch", "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-one\n+two\n")
    more = '[[version.source]]\nfolder = "src"\n[[version.patches]]\nsource = "main"\n[[version.patches.patch]]\npath = "fix.patch"\n'
    copy_recipes(here.root / "recipes", ["patch"])
    here.recipe("one", 'cp file "$OUT/file"', requires=["patch"])
    path = here.root / "recipes/one.toml"
    path.write_text(path.read_text() + more + witness)


def test_findings_about_patches(here: World) -> None:
    patched(here, 'string = "two"\n')
    here.image("one")
    here.ok("build")
    git = ("git", "-C", str(here.root), "-c", "user.name=n", "-c", "user.email=n@example.org")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "sound"]):
        subprocess.run([*git, *words], check=True)
    patched(here, 'string = "three"\n')
    here.ok("resolve")
    answer = here.run("audit")
    assert answer.code == 1
    (command,) = re.findall(r"next: find out why it was not: `builder (log [^`]+)`; or correct the witness", answer.out)
    assert "==> patch" in here.ok(*command.split()).out
    patched(here, 'none = "it only changes a comment"\n')
    here.ok("resolve")
    here.ok("audit")
    assert "next: put the witness back, or say in the commit why none can exist" in here.run("audit", "--since", "HEAD").out
    subprocess.run([*git, "commit", "-q", "-a", "-m", "the patch changes a comment only"], check=True)
    here.ok("audit", "--since", "HEAD")


def test_without_namespaces_only_builds_are_told_of_the_weaker_sandbox(here: World) -> None:
    """The setting is that of a user namespace around the command, and what is advised for it is done there."""
    refused = "echo 0 > /proc/sys/user/max_user_namespaces"
    private = ["unshare", "-rm", "sh", "-ec"]
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine refuses user namespaces")
    here.recipe("fake", 'mkdir -p "$OUT/usr/bin"; cd "$OUT/usr/bin"; echo "#!/bin/sh" > nginx; chmod +x nginx; cp nginx perl')
    here.image("fake")
    here.write("t/a.t", "")
    first = here.run("build", before=[*private, f'{refused}; exec "$@"', "sh"])
    advice = "  next: sysctl -w user.max_user_namespaces=15000"
    assert (first.code, first.err.splitlines()[-1]) == (5, f"{advice}; or, as root, use the weaker --sandbox chroot"), first.err
    here.ok("build", before=[*private, f'{refused}; sysctl -qw user.max_user_namespaces=15000; exec "$@"', "sh"])
    path = here.root / "recipes/images/all.toml"
    path.write_text(path.read_text() + '[config]\nenv = { PATH = "/usr/bin" }\n')
    here.ok("build")
    answer = here.run("test", "--image", "all", before=[*private, f'{refused}; exec "$@"', "sh"])
    assert (answer.code, answer.err.splitlines()[-1]) == (5, advice), answer.err


def test_a_tree_that_cannot_be_kept_hides_no_failure(here: World) -> None:
    here.recipe("bad", "echo words of bad; head -c 100000 /dev/zero > file; exit 3")
    here.image("bad")
    for trouble in ("-o ro", "-o size=4k"):
        mount = f'mkdir -p out/failed; mount -t tmpfs {trouble} none out/failed; exec "$@"'
        answer = here.run("build", "--keep-failed", before=["unshare", "-rm", "sh", "-ec", mount, "sh"])
        if answer.code == 1 and "unshare" in answer.err:
            pytest.skip("this machine refuses user namespaces")
        assert (answer.code, "  | words of bad\n" in answer.err) == (4, True), answer.err
        assert "warning: the tree of the failed build could not be kept in " in answer.err
        assert "`builder build --keep-failed bad` keeps its tree" in answer.err
    answer = here.run("build", "--keep-failed", "bad")
    assert "`builder shell --failed bad` enters it" in answer.err
    assert here.ok("shell", "--failed", "bad", "ls").out == "file\n"


def test_a_tool_set_without_bubblewrap(here: World) -> None:
    here.recipe("one", 'echo x > "$OUT/x"')
    here.image("one")
    here.write("recipes/tools/toolset.toml", TOOLSET.replace('"launcher", ', ""))
    without = replace(here, environ={"PATH": "/nonexistent"})
    answer = without.run("build")
    assert (answer.code, answer.err.splitlines()[-1]) == (
        5, "  next: install bubblewrap, or name the package `launcher` in the tool set: it holds a pinned one",
    )
    here.write("recipes/tools/toolset.toml", TOOLSET)
    without.ok("build")


@pytest.mark.skipif(os.geteuid() != 0, reason="--sandbox chroot is root's")
def test_the_weaker_sandbox(here: World) -> None:
    here.recipe("one", 'echo x > "$OUT/x"')
    here.image("one")
    weaker = ("build", "--sandbox", "chroot")
    for before, said in (
        (["unshare", "-r"], "--sandbox chroot needs the capability MKNOD"),
        (["setpriv", "--bounding-set", "-sys_chroot"], "--sandbox chroot needs the capabilities SYS_CHROOT"),
    ):
        answer = here.run(*weaker, before=before)
        assert (answer.code, f"  next: {said}" in answer.err) == (5, True), answer.err
    here.ok(*weaker)
    answer = here.run("build", "--locked")
    assert (answer.code, answer.err.splitlines()[-1]) == (
        1, "  next: build where the kernel allows namespaces, or say --allow-weak-sandbox",
    )
    here.ok("build", "--locked", "--allow-weak-sandbox")
