"""Many processes and threads on one store: locks, the same trees at the same time, gc beside builds, other users."""

import multiprocessing
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import builder
from builder.base import canonical
from builder.base.errors import StoreError
from builder.store import Record, Store
from builder.store.collect import collect
from builder.store.verify import verify

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["builder.store", "builder.store.collect", "builder.store.verify"])
KEY = canonical.key("key")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def put(store: Store, text: str) -> str:
    with store.stage() as stage:
        os.mkdir(f"{stage}/out")
        Path(stage, "out", "file").write_text(text)
        os.symlink("file", f"{stage}/out/link")
        return store.add_tree(f"{stage}/out")


def start(function: Callable[..., None], *args: object) -> tuple[BaseProcess, Connection]:
    """A child that talks with us through the connection, its last argument."""
    ours, theirs = CHILDREN.Pipe()
    child = CHILDREN.Process(target=function, args=(*args, theirs))
    child.start()
    theirs.close()
    return child, ours


def build_all(root: str, seed: int, keys: int, answer: Connection) -> None:
    """As builders do: look for the record, take the lock, look again, build."""
    order = list(range(keys))
    random.Random(seed).shuffle(order)
    built = []
    with Store(root) as store:
        for number in order:
            key = canonical.key(number)
            if store.record(key) is None:
                with store.lock_key(key):
                    if store.record(key) is None:
                        built.append(number)
                        store.put_record(key, Record(trees={"out": put(store, str(number)), "same": put(store, "same")}))
            record = store.record(key)
            assert record is not None
            assert all(map(store.has_tree, record.trees.values()))
    answer.send(built)


def run_builders(root: str, processes: int, keys: int) -> list[int]:
    """Numbers of the keys that were built, sorted; by all processes together."""
    children = [start(build_all, root, seed, keys) for seed in range(processes)]
    built = [number for _, answers in children for number in answers.recv()]
    for child, _ in children:
        child.join()
        assert child.exitcode == 0
    return sorted(built)


@pytest.mark.parametrize(("processes", "keys"), [(10, 12), pytest.param(10, 300, marks=pytest.mark.long)])
def test_ten_builders_on_one_store_build_each_key_once(tmp_path: Path, processes: int, keys: int) -> None:
    root = str(tmp_path / "store")
    assert run_builders(root, processes, keys) == list(range(keys))
    assert run_builders(root, 1, keys) == []
    with Store(root) as store:
        assert verify(store) == []
        assert len(os.listdir(store.trees_dir)) == keys + 1
        assert os.listdir(f"{root}/locks") == ["guard"]
        assert os.listdir(f"{root}/tmp") == []


def test_threads_add_the_same_trees(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        trees = list(pool.map(lambda number: put(store, str(number % 5)), range(100)))
    assert len(set(trees)) == 5
    assert len(os.listdir(store.trees_dir)) == 5
    assert os.listdir(f"{store.root}/tmp") == []
    assert verify(store) == []


class TestKeyLock:
    def test_one_thread_at_a_time(self, store: Store) -> None:
        inside = 0
        most = 0

        def build(_number: int) -> None:
            nonlocal inside, most
            with store.lock_key(KEY, say=lambda: None):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(build, range(30)))
        assert most == 1
        assert os.listdir(f"{store.root}/locks") == ["guard"]

    def test_other_keys_do_not_wait(self, store: Store) -> None:
        with store.lock_key(KEY), store.lock_key(canonical.key("other"), cancelled=lambda: True):
            pass

    def test_released_after_an_error(self, store: Store) -> None:
        with pytest.raises(ValueError, match="mine"), store.lock_key(KEY):
            raise ValueError("mine")
        with store.lock_key(KEY, cancelled=lambda: True):
            pass

    def test_cancelled_while_waiting(self, store: Store) -> None:
        with store.lock_key(KEY), pytest.raises(StoreError) as caught, store.lock_key(KEY, cancelled=lambda: True):
            pass
        path = f"{store.root}/locks/{os.path.basename(store.log_path(KEY)).removesuffix('.log')}"
        assert str(caught.value) == (
            f"{path}: cancelled while waiting for another builder that builds the same key\n  next: run the command again"
        )

    def test_says_once_that_it_waits(self, tmp_path: Path) -> None:
        said: list[str] = []
        with Store(str(tmp_path / "store"), say=said.append) as store:
            until = time.monotonic() + 0.6
            with store.lock_key(KEY), pytest.raises(StoreError):
                store.lock_key(KEY, cancelled=lambda: time.monotonic() > until).__enter__()
        assert said == ["waiting for another builder that builds the same thing"]

    def test_dropped_by_a_killed_process(self, store: Store) -> None:
        child, answers = start(hold_lock, store.root)
        assert answers.recv() == "locked"
        with pytest.raises(StoreError), store.lock_key(KEY, cancelled=lambda: True):
            pass
        child.kill()
        child.join()
        with store.lock_key(KEY):
            pass
        assert os.listdir(f"{store.root}/locks") == ["guard"]


def hold_lock(root: str, talk: Connection) -> None:
    with Store(root) as store, store.lock_key(KEY):
        talk.send("locked")
        talk.recv()


def build_slowly(root: str, talk: Connection) -> None:
    """Adds a tree, and names it in a root only when told to; then ends when told to."""
    with Store(root) as store:
        tree = put(store, "slow")
        with store.stage() as stage:
            Path(stage, "half").write_text("made")
            talk.send(tree)
            talk.recv()
            assert os.listdir(stage) == ["half"]
            assert store.has_tree(tree)
        store.set_root("slow", [tree])
    talk.send("closed")
    talk.recv()


def test_gc_beside_a_build(tmp_path: Path) -> None:
    """It removes nothing that the running build uses, even without a root, and goes on when the build has ended."""
    with Store(str(tmp_path / "store")) as store:
        garbage = put(store, "garbage")
        child, talk = start(build_slowly, store.root)
        tree = talk.recv()
        with pytest.raises(StoreError, match=r"other builders still use the store after 0\.05 seconds"):
            collect(store, patience=0.05)
        assert store.has_tree(garbage)
        threading.Timer(0.2, lambda: talk.send("go on")).start()
        freed = collect(store, patience=60)
        assert (freed.trees, store.has_tree(tree), store.has_tree(garbage)) == (1, True, False)
        assert talk.recv() == "closed"
        talk.send("end")
        child.join()
        assert child.exitcode == 0


def test_opening_waits_for_gc(tmp_path: Path) -> None:
    said: list[str] = []
    opened: list[float] = []

    def open_store() -> None:
        with Store(root, say=said.append):
            opened.append(time.monotonic())

    root = str(tmp_path / "store")
    with Store(root) as store:
        with store.guard.exclusively(0):
            thread = threading.Thread(target=open_store)
            thread.start()
            time.sleep(0.5)
            assert opened == []
        thread.join()
    assert len(opened) == 1
    assert said == [f"waiting for another builder that cleans the store {root}"]


def as_nobody(root: str, answer: Connection) -> None:
    """Everything once more without root's powers: odd modes, moving and removing read-only folders."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with Store(root) as store:
        with store.stage() as stage:
            top = Path(stage, "out")
            (top / "closed" / "below").mkdir(parents=True)
            (top / "closed" / "unreadable").write_text("x")
            (top / "closed" / "unreadable").chmod(0o000)
            os.link(top / "closed" / "unreadable", top / "closed" / "below" / "hard")
            (top / "closed" / "below").chmod(0o555)
            (top / "closed").chmod(0o000)
            top.chmod(0o500)
            tree = store.add_tree(str(top))
        with store.stage() as stage:
            os.makedirs(f"{stage}/left/behind")
            os.chmod(f"{stage}/left/behind", 0)
            os.chmod(f"{stage}/left", 0)
        store.set_root("me", [tree])
        gone = put(store, "gone")
        assert collect(store).trees == 1
        assert not store.has_tree(gone)
        modes = [oct(stat.S_IMODE(os.stat(path).st_mode)) for path, _, _ in os.walk(store.tree_path(tree))]
        denied = denial(store.tree_path(tree))
        answer.send((modes, denied, os.listdir(f"{root}/tmp"), verify(store)))


def denial(tree: str) -> str:
    try:
        Path(tree, "closed", "new").touch()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "nothing"


def test_without_root() -> None:
    folder = tempfile.mkdtemp(prefix="store-")  # pytest's folders are closed to other users
    try:
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
        child, answers = start(as_nobody, f"{folder}/store")
        assert answers.recv() == (["0o555"] * 3, "Permission denied", [], [])
        child.join()
    finally:
        shutil.rmtree(folder)


def test_opening_loads_nothing_heavy() -> None:
    """The no-op path opens the store: it must not wait for libraries that only other commands need."""
    code = "import sys, builder.store; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(builder.__file__).parent.parent)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    modules = set(run.stdout.split())
    heavy = {"requests", "rich", "resolvelib", "elftools", "zstandard", "filelock", "concurrent.futures"}
    assert "builder.store" in modules
    assert modules & heavy == set()
