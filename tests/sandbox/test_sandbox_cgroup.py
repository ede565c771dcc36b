"""Control groups: where one is taken, what is written to it, and that none is left. Groups are real where the kernel has some.

What the kernel does at `memory.max` is tried by the tests of limits, where the controller is delegated to their caller.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.recipe.recipe import Limits
from builder.sandbox import cgroup

LEFT = """
import subprocess, sys
from builder.sandbox import cgroup
group = cgroup.Group(sys.argv[1])
sleep = subprocess.Popen(["sleep", "60"])
group.enter(sleep.pid)
print(sleep.pid, flush=True)
sys.stdin.read()
"""


TAKE = """
import os, sys
from builder.sandbox import cgroup
def write(path, value):
    with open(path, "a") as file:
        file.write(value + " ")
cgroup._write = write
cgroup.take(cgroup.Place(sys.argv[1], ready=False))
down = f"builder-{os.getpid()}-0"
for path in (f"{down}/cgroup.procs", "cgroup.subtree_control"):
    print(f"{path} {open(f'{sys.argv[1]}/{path}').read()}".replace(str(os.getpid()), "PID"))
"""


def mounted() -> str:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return next((line.split()[4] for line in file if " - cgroup2 " in line), "")


@pytest.fixture
def place() -> Iterator[str]:
    """A group of the test's own in the hierarchy of version 2."""
    path = f"{mounted()}/test-{os.getpid()}"
    try:
        os.mkdir(path)
        Path(path, "cgroup.procs").open("a").close()
    except OSError:
        pytest.skip("no group of version 2 can be made here")
    yield path
    os.rmdir(path)


def test_a_run_ends_with_its_group(place: str) -> None:
    group = cgroup.Group(place)
    with subprocess.Popen(["sh", "-c", "read x; sleep 60 & sleep 60"], stdin=subprocess.PIPE) as process:
        group.enter(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        group.remove()
        assert process.wait() == -signal.SIGKILL
    assert os.listdir(place).count(os.path.basename(group.path)) == 0


def test_what_a_killed_builder_left_is_removed_by_the_next(place: str) -> None:
    with subprocess.Popen([sys.executable, "-c", LEFT, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        sleep = int(builder.stdout.readline())
        cgroup.take(cgroup.Place(place))  # while it lives, its group is its own
        assert os.path.isdir(f"{place}/builder-{builder.pid}-1")
        builder.kill()
    pidfd = os.pidfd_open(sleep)
    cgroup.take(cgroup.Place(place))
    assert [name for name in os.listdir(place) if name.startswith("builder-")] == []
    os.close(pidfd)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A hierarchy as systemd makes it for a user's session, as plain files."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    for path, given in (("user.slice", "memory pids"), ("user.slice/app", "memory pids"), ("user.slice/app/shell", "")):
        folder = tmp_path / path
        folder.mkdir()
        (folder / "cgroup.subtree_control").write_text(given)
        (folder / "cgroup.procs").touch()
    (tmp_path / "mounts").write_text(f"29 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/user.slice/app/shell\n")
    return tmp_path


def find(tree: Path) -> cgroup.Place:
    return cgroup.find(str(tree / "mounts"), str(tree / "own"))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may write to it")
def test_root_takes_only_what_is_marked_as_delegated(tree: Path) -> None:
    assert find(tree) == cgroup.Place("", "no group with a memory controller is delegated to this user")
    os.setxattr(tree / "user.slice", "trusted.delegate", b"1")
    assert find(tree).path == f"{tree}/user.slice"
    os.chown(tree / "user.slice", 1000, 1000)  # to another user
    assert find(tree).path == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_user_takes_the_nearest_that_it_may_write_to(tree: Path) -> None:
    assert find(tree).path == f"{tree}/user.slice/app"
    (tree / "user.slice/app/cgroup.procs").chmod(0o444)
    assert find(tree).path == f"{tree}/user.slice"


@pytest.fixture
def delegated(tree: Path) -> Path:
    """A service with Delegate=, as systemd starts it: builder is in it, and it hands nothing on."""
    service = tree / "user.slice/app/shell"
    (service / "cgroup.controllers").write_text("memory pids\n")
    (service / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        os.setxattr(service, "user.delegate", b"1")
    except OSError:
        pytest.skip("no marks on this file system")
    return service


def test_a_delegated_service_is_divided_and_builder_moves_down(tree: Path, delegated: Path) -> None:
    place = find(tree)
    assert place == cgroup.Place(str(delegated), ready=False)
    written = subprocess.check_output([sys.executable, "-c", TAKE, str(delegated)], text=True).splitlines()
    moved = f"builder-PID-0/cgroup.procs PID {os.getpid()} "
    assert written == [moved, "cgroup.subtree_control +memory +pids "]


def test_children_of_ours_move_with_us_and_others_do_not(tree: Path, delegated: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        (delegated / "cgroup.procs").write_text(f"{os.getpid()}\n{child.pid}\n")
        assert find(tree).path == str(delegated)
        (delegated / "cgroup.procs").write_text(f"{os.getpid()}\n{os.getppid()}\n")
        found = find(tree)
        child.kill()
    if os.geteuid() == 0:
        reason = f"{delegated} is delegated but cannot be divided, because process {os.getppid()} is in it, too"
        assert found == cgroup.Place("", reason)
    else:
        assert found == cgroup.Place(str(delegated.parent))


def test_a_kernel_without_the_controller_is_told(tree: Path) -> None:
    (tree / "cgroup.controllers").write_text("hugetlb\n")
    assert "no memory controller" in find(tree).reason
    (tree / "mounts").write_text("")
    assert find(tree).reason == "control groups of version 2 are not mounted"


def test_limits_are_written_and_memory_is_read(tmp_path: Path) -> None:
    group = cgroup.Group(str(tmp_path))
    group.limit(Limits(memory=64, processes=8))
    written = {each.name: each.read_text() for each in Path(group.path).iterdir()}
    assert written == {
        "memory.max": str(64 << 20), "memory.oom.group": "1", "memory.swap.max": "0", "pids.max": str(4 * 8 + 1024),
    }  # fmt: skip
    Path(group.path, "memory.current").write_text("1000\n")
    Path(group.path, "memory.stat").write_text("anon 300\nfile 600\nshmem 200\nslab_reclaimable 50\n")
    assert group.memory() == 1000 - 600 - 50 + 200
    assert not group.is_full()
    Path(group.path, "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.is_full()
