# ruff: noqa: F401, F811 - fixtures are imported, and named again by the tests that use them
"""The process that starts builds as a user of their own: it ends with the builder, and what it started ends with it."""

import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandboxes import MARKS, Runner, bubblewrap, pinned, run, scratch, tools

from builder.base.errors import SandboxError
from builder.sandbox import hostuser, processes
from builder.sandbox.bwrap import Bubblewrap

pytestmark = [*MARKS, pytest.mark.skipif(not hostuser.exists(), reason="only root has one")]


def descendants(pid: int) -> list[int]:
    return [int(folder.rpartition("/")[2]) for folder in processes.below(pid, processes.read_parents)]


def all_end(handles: list[int]) -> bool:
    return all(select.select([each], [], [], 10)[0] for each in handles)


def test_nothing_is_left_of_a_builder_that_is_killed(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    spec = bubblewrap.spec("echo started; exec sleep 1000")
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        Bubblewrap(pinned).run(spec, tell)
        os._exit(0)
    os.close(tell)
    assert os.read(told, 8) == b"started\n"
    handles = [os.pidfd_open(each) for each in descendants(child)]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(handles) == 4, "the user's process, bubblewrap, its first process, the command"
    assert all_end(handles)
    assert os.read(told, 1) == b""


def test_a_run_ends_with_the_process_that_started_it(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    with Bubblewrap(pinned) as box, open(os.memfd_create("log"), "wb") as log:
        others = set(descendants(os.getpid()))
        box.run(bubblewrap.spec("true"), log.fileno())
        (user,) = set(descendants(os.getpid())) - others
        threading.Timer(0.5, os.kill, (user, signal.SIGKILL)).start()
        assert box.run(bubblewrap.spec("exec sleep 1000"), log.fileno()).code == 137
        with pytest.raises(SandboxError, match="cannot be started"):
            box.run(bubblewrap.spec("true"), log.fileno())


def test_many_threads_start_builds_and_each_has_its_own_code(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    others = set(descendants(os.getpid()))
    with Bubblewrap(pinned) as box, open(os.memfd_create("log"), "wb") as log, ThreadPoolExecutor(8) as pool:
        specs = [bubblewrap.spec(f"exit {number}") for number in range(40)]
        assert [each.code for each in pool.map(lambda spec: box.run(spec, log.fileno()), specs)] == list(range(40))
    assert set(descendants(os.getpid())) == others


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("own", [False, hostuser.exists()])
def test_a_command_that_ends_before_its_first_build_leaves_no_trace(own: bool, seconds: float) -> None:
    code = "import time; from builder.sandbox.hostuser import User; user = User(own={}); time.sleep({}); user.close()"
    for _ in range(3):
        argv = [sys.executable, "-c", code.format(own, seconds)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")
