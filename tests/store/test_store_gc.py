"""Garbage collection: what roots keep stays, the rest goes, and nobody loses what they use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base import canonical, digest
from builder.base.errors import StoreError
from builder.store import Record, Store, remove_tree
from builder.store.collect import Freed, collect
from builder.store.verify import verify

A, B, C = (canonical.key(name) for name in "abc")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def put(store: Store, text: str, size: int = 10) -> str:
    with store.stage() as stage:
        Path(stage, "file").write_text(text * size)
        return store.add_tree(stage)


def has(store: Store, *trees: str) -> list[bool]:
    return [store.has_tree(tree) for tree in trees]


def test_an_empty_store(store: Store) -> None:
    assert collect(store) == Freed()


def test_trees_of_roots_stay(store: Store) -> None:
    kept, gone = put(store, "kept"), put(store, "gone", 10000)
    store.set_root("me", [kept, canonical.key("never there")])
    freed = collect(store)
    assert has(store, kept, gone) == [True, False]
    assert (freed.trees, freed.records) == (1, 0)
    assert freed.size >= 40000
    assert collect(store) == Freed()
    assert verify(store) == []


def test_records_of_roots_stay_with_all_their_trees(store: Store) -> None:
    out, dep, other = put(store, "out"), put(store, "dep"), put(store, "other")
    store.put_record(A, Record(trees={"out": out}, deps=(dep,)))
    store.put_record(B, Record(trees={"out": other}))
    store.set_root("me", keys=[A, C])
    freed = collect(store)
    assert has(store, out, dep, other) == [True, True, False]
    assert (store.record(A) is None, store.record(B) is None) == (False, True)
    assert (freed.trees, freed.records) == (1, 1)
    assert verify(store) == []


def test_a_record_stays_as_long_as_all_its_trees_do(store: Store) -> None:
    """A root often names trees only; forgetting what made them would mean building them again."""
    one, two = put(store, "one"), put(store, "two")
    store.put_record(A, Record(trees={"out": one}))
    store.put_record(B, Record(trees={"out": one, "debug": two}))
    store.set_root("me", [one])
    collect(store)
    assert (store.record(A) is None, store.record(B) is None) == (False, True)
    assert verify(store) == []


def test_damaged_records_go(store: Store) -> None:
    tree = put(store, "a")
    store.put_record(A, Record(trees={"out": tree}))
    store.set_root("me", [tree], keys=[A])
    Path(store.record_path(A)).write_bytes(b"")
    assert collect(store).records == 1
    assert verify(store) == []
    assert store.has_tree(tree)


def test_logs_stay_with_their_records(store: Store) -> None:
    store.put_record(A, Record())
    for key in (A, B):
        Path(store.log_path(key)).write_text("log")
    assert collect(store).logs == 1
    assert os.listdir(store.logs_dir) == [digest.to_hex(A) + ".log"]


def test_archives(store: Store) -> None:
    names = ["a" * 64, "b" * 64, "c" * 64]
    for name in names:
        Path(store.file_path(name)).touch(0o444)
    store.set_root("me", files=[names[0]])
    assert collect(store).archives == 0
    assert collect(store, keep_files=[names[1]]).archives == 1
    assert sorted(os.listdir(store.files_dir)) == names[:2]


def test_what_nobody_verified_goes(store: Store) -> None:
    os.mkdir(f"{store.quarantine_dir}/x")
    Path(store.quarantine_dir, "x", "part").write_text("x" * 5000)
    assert collect(store).size >= 5000
    assert os.listdir(store.quarantine_dir) == []


def test_a_root_whose_owner_is_gone(store: Store, tmp_path: Path) -> None:
    mine, theirs = put(store, "mine"), put(store, "theirs")
    (tmp_path / "checkout").mkdir()
    store.set_root("mine", [mine], owner=str(tmp_path / "checkout"))
    store.set_root("theirs", [theirs], owner=str(tmp_path / "removed"))
    freed = collect(store)
    assert (freed.roots, has(store, mine, theirs), list(store.roots())) == (1, [True, False], ["mine"])


def test_strangers_stay(store: Store) -> None:
    """What the store did not make, it does not remove; `verify` names it."""
    Path(store.trees_dir, "mine").mkdir()
    collect(store)
    assert [damage.name for damage in verify(store)] == ["mine"]


def test_waits_for_others_then_gives_up(tmp_path: Path) -> None:
    said: list[str] = []
    with Store(str(tmp_path / "store"), say=said.append) as store, Store(store.root) as user:
        tree = put(user, "in use")
        with pytest.raises(StoreError) as caught:
            collect(store, patience=0.4)
        assert str(caught.value) == (
            f"{store.root}: other builders still use the store after 0.4 seconds\n"
            "  next: wait for them to end, then run the command again; nothing was removed"
        )
        assert user.has_tree(tree)
        user.close()
        assert collect(store, patience=0).trees == 1
    assert said == ["waiting for other builders that use the store to end"]


def test_the_guard_is_shared_again_after_gc(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        collect(store)
        with Store(store.root) as other, pytest.raises(StoreError):
            collect(other, patience=0)
        collect(store)


def test_records_go_before_the_trees_they_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that gc, interrupted at any point, leaves no record without its trees."""

    class KilledError(Exception):
        pass

    def interrupted(_tree: str) -> int:
        raise KilledError

    store.put_record(A, Record(trees={"out": put(store, "a")}))
    monkeypatch.setattr(store, "discard_tree", interrupted)
    with pytest.raises(KilledError):
        collect(store)
    assert store.record(A) is None
    assert verify(store) == []


def test_a_removed_tree_is_gone_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files go one after the other, under another name."""
    tree = put(store, "a")
    monkeypatch.setattr("builder.store.store.remove_tree", lambda _path: 0)
    store.discard_tree(tree)
    assert not store.has_tree(tree)
    assert verify(store) == []
    monkeypatch.undo()
    names = os.listdir(store.trees_dir)
    assert [name.startswith(".gone-") for name in names] == [True]
    remove_tree(f"{store.trees_dir}/{names[0]}")
