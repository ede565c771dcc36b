"""A project like this repository: its recipes, lock and Lua in a folder of their own, with the store of the tests' caller.

BUILDER_TEST_IMAGE says that this store holds what images are made of. Commands are started as a user starts them, and their
processes are followed, so that a test sees whether any of them outlives its command.
"""

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.run.serving.tree import Process, process
from builder.sandbox.processes import below
from integration.world import BUILDER, ENVIRON, IMAGE, REPOSITORY

MARKS = [
    pytest.mark.long,
    pytest.mark.skipif(not IMAGE, reason="BUILDER_TEST_IMAGE does not name the folder of a built image"),
]


def make(root: Path, image: str) -> Path:
    """Write the project and build an image in it."""
    for name in ("recipes", "lua"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "lock.toml", root)
    subprocess.run([BUILDER, "build", image], cwd=root, env=ENVIRON, check=True, capture_output=True)
    return root


def start(project: Path, *words: str, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """`builder`, running."""
    env = {**ENVIRON, **(environ or {})}
    return subprocess.Popen([BUILDER, *words], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = start(project, *words)
    out, err = command.communicate()
    return subprocess.CompletedProcess(words, command.returncode, out, err)


def started(command: "subprocess.Popen[str]", words: bytes) -> list[Process]:
    """All processes that descend from a command, as soon as one of them has these words on its command line."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pids = [int(each.removeprefix("/proc/")) for each in below(command.pid)]
        if any(words in _words(pid) for pid in pids):
            return [found for pid in pids if (found := process(pid)) is not None]
        time.sleep(0.02)
    raise AssertionError(f"nothing has {words!r} on its command line")


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


def until_gone(processes: list[Process]) -> None:
    deadline = time.monotonic() + 5
    while any(each.alive() for each in processes):
        assert time.monotonic() < deadline, "a process outlived its command"
        time.sleep(0.05)
