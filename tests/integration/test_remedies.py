"""Remedies that need a sandbox: a build that fails, one that is not reproduced, and what another process builds."""

import time

from integration.world import World


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
