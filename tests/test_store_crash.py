"""Whatever happens, nothing half-made is visible: killed at every step, at random moments, and on a full disk."""

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import builder
from builder import canonical, digest, nar
from builder.errors import StoreError
from builder.store import Record, Store, remove_tree

# Children start from a server that has the modules loaded and no thread: a start costs milliseconds.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["builder.store", "builder.store.collect", "builder.store.verify"])
KEY = canonical.key("key")
MKDIR = os.mkdir  # for the test's own use, not counted as a step of the store
STEPS = ("open", "write", "mkdir", "rename", "replace", "chmod", "utime", "unlink", "rmdir", "sendfile", "close")
FILLING = ("open", "write", "mkdir", "rename", "replace", "sendfile")  # what a full disk can refuse
FULL = (
    "No space left on device\n"
    "  next: free some space there or run `builder gc`, then run the command again: what was finished is kept"
)


def make_tree(folder: str, text: str) -> None:
    """Two folders, a hard link, a program, a link."""
    MKDIR(folder)
    MKDIR(f"{folder}/sub")
    Path(folder, "file").write_text(text)
    os.link(f"{folder}/file", f"{folder}/sub/hard")
    Path(folder, "program").write_text("#!")
    Path(folder, "program").chmod(0o755)
    os.symlink("sub", f"{folder}/link")


def work(root: str) -> None:
    """Everything that changes a store, once."""
    with Store(root) as store:
        trees = []
        for text in ("kept", "garbage", "kept"):
            with store.stage() as stage:
                make_tree(f"{stage}/out", text)
                trees.append(store.add_tree(f"{stage}/out"))
        with store.lock_key(KEY):
            store.put_record(KEY, Record(trees={"out": trees[0]}))
        store.put_record(canonical.key("garbage"), Record(trees={"out": trees[1]}))
        store.set_root("me", [trees[0]])
        store.gc()


def at_step(names: tuple[str, ...], number: int, do: Callable[[object], object]) -> None:
    """Make the functions `names` of `os` call `do` before the step with this number, counted over all of them."""
    count = 0

    def wrap(function: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == number:
                do(args[0])
            return function(*args, **options)

        return step

    for name in names:
        setattr(os, name, wrap(getattr(os, name)))


def killed_work(root: str, number: int) -> None:
    at_step(STEPS, number, lambda _: os.kill(os.getpid(), signal.SIGKILL))
    work(root)


def starved_work(root: str, number: int) -> None:
    """Exits with 0 if nothing was refused, 1 if the store said so as it should."""

    def refuse(path: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path if isinstance(path, (str, bytes)) else None)

    at_step(FILLING, number, refuse)
    try:
        work(root)
    except StoreError as error:
        sys.exit(1 if str(error).endswith(FULL) else 2)


def exit_code(function: Callable[[str, int], None], root: str, number: int) -> int:
    """Of a fork of this process that calls the function; minus the signal if one ended it."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            function(root, number)
            code = 0
        except SystemExit as ended:
            code = int(str(ended.code))
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_every_step(function: Callable[[str, int], None], folder: str, answer: Connection) -> None:
    """Call the function with step 1, 2, ... until it ends with 0; each time in a new store that must be whole after."""
    codes = [-1]
    while codes[-1] != 0:
        number = len(codes)
        root = f"{folder}/{number}"
        codes.append(exit_code(function, root, number))
        if os.path.isdir(f"{root}/locks"):
            assert_whole(root)
        if number % 10 == 0 or codes[-1] == 0:
            work(root)  # the next run goes on where the last one was
            assert_whole(root)
        remove_tree(root)
    answer.send(codes[1:])


def codes_of(function: Callable[[str, int], None], folder: Path) -> list[int]:
    ours, theirs = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=at_every_step, args=(function, str(folder), theirs))
    child.start()
    theirs.close()
    try:
        codes: list[int] = ours.recv()
    finally:
        child.join()
    return codes


def assert_whole(root: str) -> None:
    """Whole as it lies there; and after the next builder opened it, without leftovers."""
    assert all(name.startswith(".") or digest.is_hex(name) for name in os.listdir(f"{root}/trees"))
    with Store(root) as store:
        assert store.verify() == []
        assert not any(name.startswith(".") for name in os.listdir(store.trees_dir))
        assert os.listdir(f"{root}/tmp") == []
        assert os.listdir(f"{root}/locks") == ["guard"]


def test_killed_before_every_single_step(tmp_path: Path) -> None:
    codes = codes_of(killed_work, tmp_path)
    assert len(codes) > 100
    assert set(codes[:-1]) == {-signal.SIGKILL}


def test_refused_space_at_every_single_step(tmp_path: Path) -> None:
    codes = codes_of(starved_work, tmp_path)
    assert set(codes) <= {0, 1}
    assert codes.count(1) > 20
