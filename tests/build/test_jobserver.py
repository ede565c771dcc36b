"""The jobserver: tokens in a pipe, as make takes and gives them."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builder.build.jobserver import Jobserver


@pytest.fixture
def two() -> Iterator[Jobserver]:
    with closing(Jobserver(2)) as jobserver:
        yield jobserver


def tokens(jobserver: Jobserver) -> int:
    """How many tokens lie in the pipe; they are put back."""
    try:
        found = os.read(jobserver.read, 4096)
    except BlockingIOError:
        return 0
    os.write(jobserver.write, found)
    return len(found)


def test_as_many_tokens_as_cores(two: Jobserver) -> None:
    assert tokens(two) == 2
    assert two.fds == (two.read, two.write)
    assert two.makeflags == f" -j2 --jobserver-auth={two.read},{two.write}"


@pytest.mark.parametrize("cores", [0, -1])
def test_at_least_one_token(cores: int) -> None:
    with closing(Jobserver(cores)) as jobserver:
        assert (jobserver.cores, tokens(jobserver)) == (1, 1)


def test_a_build_takes_one_and_gives_it_back(two: Jobserver) -> None:
    never = threading.Event()
    assert two.acquire(never)
    assert tokens(two) == 1
    assert two.acquire(never)
    assert tokens(two) == 0
    two.release()
    assert tokens(two) == 1
    two.release()
    assert tokens(two) == 2


def test_the_descriptors_are_closed() -> None:
    with closing(Jobserver(1)) as jobserver:
        pass
    for each in jobserver.fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)


def test_waiting_ends_with_a_token(two: Jobserver) -> None:
    never = threading.Event()
    assert two.acquire(never)
    assert two.acquire(never)
    got: list[bool] = []
    third = threading.Thread(target=lambda: got.append(two.acquire(never)))
    third.start()
    time.sleep(0.05)
    assert got == []
    two.release()
    third.join(5)
    assert got == [True]
    two.release()
    two.release()
    assert tokens(two) == 2


def test_waiting_ends_when_cancelled(two: Jobserver) -> None:
    cancel = threading.Event()
    assert two.acquire(cancel)
    assert two.acquire(cancel)
    got: list[bool] = []
    third = threading.Thread(target=lambda: got.append(two.acquire(cancel)))
    third.start()
    cancel.set()
    third.join(5)
    assert got == [False]
    two.release()
    two.release()
    assert tokens(two) == 2  # who was cancelled holds none


def test_cancelled_before() -> None:
    cancel = threading.Event()
    cancel.set()
    with closing(Jobserver(1)) as jobserver:
        assert not jobserver.acquire(cancel)
        assert tokens(jobserver) == 1


def test_tokens_of_a_killed_build_come_back(two: Jobserver) -> None:
    assert two.acquire(threading.Event())
    os.read(two.read, 1)  # its make takes one, and is killed
    two.release()
    assert tokens(two) == 2


def test_tokens_that_a_build_makes_up_are_not_kept(two: Jobserver) -> None:
    assert two.acquire(threading.Event())
    os.write(two.write, b"+++++")
    two.release()
    assert tokens(two) == 2


def test_a_build_cannot_make_the_builder_wait(two: Jobserver) -> None:
    """It fills the pipe, and takes away the flag by which its descriptors do not wait."""
    assert two.acquire(threading.Event())
    assert two.acquire(threading.Event())
    os.set_blocking(two.write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(two.write, b"x" * 65536)
    for each in two.fds:
        os.set_blocking(each, True)
    ended = threading.Thread(target=lambda: [each() for each in (two.release, two.release)], daemon=True)
    ended.start()
    ended.join(5)
    assert not ended.is_alive()
    os.set_blocking(two.read, False)
    assert tokens(two) == 2


def test_no_more_users_than_tokens() -> None:
    """Eight threads on three tokens: never more than three at a time, and all tokens are there at the end."""
    never = threading.Event()
    with closing(Jobserver(3)) as jobserver:
        lock = threading.Lock()
        inside = most = 0

        def use() -> None:
            nonlocal inside, most
            for _ in range(5):
                assert jobserver.acquire(never)
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.001)
                with lock:
                    inside -= 1
                jobserver.release()

        threads = [threading.Thread(target=use) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(20)
        assert not any(each.is_alive() for each in threads)
        assert 1 < most <= 3
        assert tokens(jobserver) == 3


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
def test_make_understands_it(tmp_path: Path) -> None:
    """GNU make runs as many jobs as there are tokens beside its own, and gives all back."""
    (tmp_path / "Makefile").write_text("all: a b c d\na b c d:\n\t@echo + >> log; sleep 0.1; echo - >> log\n")
    with closing(Jobserver(3)) as jobserver:
        assert jobserver.acquire(threading.Event())
        env = {"PATH": os.environ["PATH"], "MAKEFLAGS": jobserver.makeflags}
        done = subprocess.run(["make"], cwd=tmp_path, env=env, pass_fds=jobserver.fds, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert tokens(jobserver) == 2
        jobserver.release()
    running = most = 0
    for line in (tmp_path / "log").read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert 1 < most <= 3
