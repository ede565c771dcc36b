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
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import builder
from builder.base import canonical, digest
from builder.base.errors import StoreError
from builder.store import Record, Store, remove_tree
from builder.store.collect import collect
from builder.store.verify import verify

# Children start from a server that has the modules loaded and no thread: a start costs milliseconds.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["builder.store", "builder.store.collect", "builder.store.verify"])
KEY = canonical.key("key")
EVERY_STEP = pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.long)])  # 1: really every one
MKDIR = os.mkdir  # for the test's own use, not counted as a step of the store
STEPS = ("open", "write", "mkdir", "rename", "replace", "chmod", "utime", "unlink", "rmdir", "sendfile")
FILLING = ("open", "write", "mkdir", "rename", "replace", "sendfile")  # what a full disk can refuse
FULL = "No space left on device\n  next: free some space there or run `builder gc`, then run the command again: what was finished is kept"


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
        collect(store)


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


def at_every_step(function: Callable[[str, int], None], folder: str, stride: int, answer: Connection) -> None:
    """Call the function with step 1, 1 + stride, ... until it ends with 0; in new stores that must be whole after."""
    codes = [-1]
    while codes[-1] != 0:
        number = 1 + stride * (len(codes) - 1)
        root = f"{folder}/{number}"
        codes.append(exit_code(function, root, number))
        if os.path.isdir(f"{root}/locks"):
            assert_whole(root)
        if len(codes) % 10 == 0 or codes[-1] == 0:
            work(root)  # the next run goes on where the last one was
            assert_whole(root)
        remove_tree(root)
    answer.send(codes[1:])


def answer_of(function: Callable[..., None], *args: object) -> Any:
    """What the function sends from a process of its own, which has no threads and may fork."""
    ours, theirs = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=function, args=(*args, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def assert_whole(root: str) -> None:
    """Whole as it lies there; and after the next builder opened it, without leftovers."""
    assert all(name.startswith(".") or digest.is_hex(name) for name in os.listdir(f"{root}/trees"))
    with Store(root) as store:
        assert verify(store) == []
        assert not any(name.startswith(".") for name in os.listdir(store.trees_dir))
        assert os.listdir(f"{root}/tmp") == []
        assert os.listdir(f"{root}/locks") == ["guard"]


@EVERY_STEP
def test_killed_before_every_single_step(tmp_path: Path, stride: int) -> None:
    codes: list[int] = answer_of(at_every_step, killed_work, str(tmp_path), stride)
    assert len(codes) > 90 / stride
    assert set(codes[:-1]) == {-signal.SIGKILL}


@EVERY_STEP
def test_refused_space_at_every_single_step(tmp_path: Path, stride: int) -> None:
    codes: list[int] = answer_of(at_every_step, starved_work, str(tmp_path), stride)
    assert set(codes) <= {0, 1}
    assert codes.count(1) > 20 / stride


def busy(root: str, seed: int) -> None:
    """Change the store until killed: small trees, many of them the same as those of others, records, roots, gc."""
    chance = random.Random(seed)
    while True:
        with Store(root) as store:
            for _ in range(chance.randrange(10)):
                key = canonical.key(chance.randrange(40))
                with store.lock_key(key), store.stage() as stage:
                    make_tree(f"{stage}/out", key)
                    store.put_record(key, Record(trees={"out": store.add_tree(f"{stage}/out")}))
                if chance.random() < 0.3:
                    store.set_root(f"root {chance.randrange(3)}", keys=[key])
            if chance.random() < 0.5:
                with suppress(StoreError):  # the other one still uses the store
                    collect(store, patience=0.01)


def forked(function: Callable[[str, int], None], root: str, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            function(root, number)
        finally:
            os._exit(3)
    return pid


def kill_often(root: str, rounds: int, answer: Connection) -> None:
    """Two processes at work on one store, killed one after the other; the store must be whole after each round."""
    chance = random.Random(2)
    codes = []
    for number in range(rounds):
        pids = [forked(busy, root, 2 * number + each) for each in range(2)]
        for pid in pids:
            time.sleep(chance.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert_whole(root)
    answer.send(codes)


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.long)])
def test_killed_at_random_moments(tmp_path: Path, rounds: int) -> None:
    root = str(tmp_path / "store")
    with Store(root) as store:
        tree = add(store, "always")
        store.set_root("always", keys=[canonical.key("always")])
    codes: list[int] = answer_of(kill_often, root, rounds)
    assert codes == [-signal.SIGKILL] * (2 * rounds)
    with Store(root) as store:
        assert store.record(canonical.key("always")) == Record(trees={"out": tree})
        assert store.has_tree(tree)
        assert len(os.listdir(store.trees_dir)) > 1


def own_mounts() -> list[str]:
    """The command before a command that may mount; empty where neither root nor user namespaces work."""
    for prefix in (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"]):
        mount = [*prefix, "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
        if shutil.which("unshare") and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            return prefix
    return []


@pytest.mark.long
@pytest.mark.parametrize("limit", ["size=1m", "nr_inodes=120,size=16m"])
def test_a_disk_that_is_really_full(tmp_path: Path, limit: str) -> None:
    """A small tmpfs, once without space, once without inodes; the rest runs inside the mount's name space."""
    prefix = own_mounts()
    if not prefix:
        pytest.skip("needs root or user namespaces, to mount a small tmpfs")
    environment = {**os.environ, "PYTHONPATH": str(Path(builder.__file__).parent.parent)}
    command = [*prefix, sys.executable, __file__, str(tmp_path), limit]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    done, refused = map(int, result.stdout.split())
    assert done >= 3
    assert refused >= 3


def on_small_disk(mount_point: str, limit: str) -> tuple[int, int]:
    """Add a tree with 0, 1, 2, ... pages left on the disk: how often that went well, and how often it was refused."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "none", mount_point], check=True)
    root = f"{mount_point}/store"
    ballast = Ballast(mount_point)
    with Store(root) as store:
        old = add(store, "old")
        store.set_root("old", [old])
    said = []
    for left in range(25):
        said.append(refusal(root, f"{left} ", ballast, left))
        assert said[-1] is None or said[-1].endswith(FULL), said[-1]
        assert_whole(root)  # while the disk is still full
        with Store(root) as store:
            assert store.has_tree(old)
            collect(store)  # needs no space
    ballast.free(1 << 30)
    with Store(root) as store:
        add(store, "new")
        assert verify(store) == []
    return said.count(None), len(said) - said.count(None)


class Ballast:
    """Files that fill a disk, to be taken away one by one: a page and an inode each."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._count = 0

    def fill(self) -> None:
        with suppress(OSError):
            while True:
                with open(f"{self._folder}/{self._count}", "wb", buffering=0) as file:
                    self._count += 1
                    file.write(bytes(4096))

    def free(self, pages: int) -> None:
        for _ in range(min(pages, self._count)):
            self._count -= 1
            os.unlink(f"{self._folder}/{self._count}")


def add(store: Store, text: str, before: Callable[[], object] = lambda: None) -> str:
    """Add a tree and its record; `before` is called when the tree is staged."""
    with store.stage() as stage:
        make_tree(f"{stage}/out", text * 3000)
        before()
        tree = store.add_tree(f"{stage}/out")
        with store.stage(), store.lock_key(canonical.key(text)):
            store.put_record(canonical.key(text), Record(trees={"out": tree}))
    return tree


def refusal(root: str, text: str, ballast: Ballast, left: int) -> str | None:
    """What the store says when a tree is added with few pages left."""

    def fill() -> None:
        ballast.fill()
        ballast.free(left)

    ballast.free(1 << 30)
    try:
        with Store(root) as store:
            tree = add(store, text, fill)
            store.set_root(text, [tree])
            store.drop_root(text)
    except StoreError as error:
        return str(error)
    return None


if __name__ == "__main__":
    print(*on_small_disk(sys.argv[1], sys.argv[2]))  # noqa: T201 - the answer to the test that started this
