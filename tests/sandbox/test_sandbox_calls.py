# ruff: noqa: F401, F811 - fixtures are imported, and named again by the tests that use them
"""Real runs: system calls and files of /proc that are denied to a build (docs/decisions/15-system-calls.md)."""

import errno
import os
import subprocess
from collections.abc import Mapping

import pytest
from sandboxes import MARKS, ROOT, Runner, bubblewrap, chroot, pinned, plain, run, scratch, tools
from system_calls import ALLOWED, CALLS, EXPECTED, KERNELS, answers, probe

pytestmark = [*MARKS, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the probe has the numbers of x86_64")]


def tried(run: Runner, calls: Mapping[str, str]) -> dict[str, int]:
    run.lines(f"exec perl - <<'END'\n{probe(calls)}END")
    return answers(run.log)


def test_each_call_is_refused_and_ends_nothing(run: Runner) -> None:
    network = {name: errno.EACCES for name in CALLS if name.startswith("netlink: ")} if run.name == "chroot" else {}
    assert tried(run, CALLS) == {**EXPECTED, **network}


def test_what_needs_privileges_is_refused_by_the_kernel(run: Runner) -> None:
    found = tried(run, KERNELS)
    assert set(found) == set(KERNELS)
    assert {name: error for name, error in found.items() if error not in (errno.EPERM, errno.ENOSYS)} == {}


def test_what_builds_need_is_allowed(run: Runner) -> None:
    refused = {"netlink: routes": errno.EACCES} if run.name == "chroot" else {}
    assert tried(run, ALLOWED) == {**dict.fromkeys(ALLOWED, 0), **refused}


def test_keys_and_the_kernels_memory_cannot_be_read(bubblewrap: Runner, plain: Runner) -> None:
    secret = "keys key-users kcore kmsg kpagecount kpageflags slabinfo sysrq-trigger timer_list vmallocinfo pagetypeinfo"
    script = f"cd /proc; for name in {secret}; do (: < $name) 2>&- && echo $name; (: >> $name) 2>&- && echo $name; done; true"
    assert [each.lines(script) for each in (bubblewrap, plain)] == [[], []]


@pytest.mark.skipif(not ROOT, reason="only what root has is open to a build that root started")
def test_the_host_has_what_is_hidden() -> None:
    assert subprocess.run(["cat", "/proc/keys", "/proc/timer_list"], capture_output=True, check=True).stdout
