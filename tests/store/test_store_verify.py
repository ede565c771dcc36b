"""Verification finds every kind of damage, each alone; and nothing on a store that is whole."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.base import canonical, digest
from builder.store import Record, Store
from builder.store.collect import collect
from builder.store.verify import verify
from builder.tree import nar

KEY = canonical.key({"name": "zlib"})
ARCHIVE = hashlib.sha256(b"archive").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def fill(store: Store) -> str:
    """A tree of every kind of entry, its record, a root, and an archive; gives the tree's digest."""
    with store.stage() as stage:
        top = Path(stage, "out")
        (top / "sub").mkdir(parents=True)
        (top / "plain").write_bytes(bytes(range(64)))
        (top / "program").write_text("#!/bin/sh\n")
        (top / "program").chmod(0o755)
        (top / "sub" / "link").symlink_to("../plain")
        (top / "sub" / "empty").touch()
        tree = store.add_tree(str(top))
    store.put_record(KEY, Record(trees={"out": tree}))
    store.set_root("me", [tree])
    Path(store.file_path(ARCHIVE)).write_bytes(b"archive")
    return tree


def damaged(store: Store) -> list[tuple[str, str, str]]:
    return [(damage.kind, damage.name, damage.message) for damage in verify(store)]


def edit(path: Path, change: Callable[[Path], object]) -> None:
    """Change an entry of a read-only tree; all modes and times are canonical again afterwards."""
    folder = path.parent
    folder.chmod(0o755)
    if path.is_file() and not path.is_symlink():
        path.chmod(path.stat().st_mode | 0o200)
    change(path)
    for each in [*folder.iterdir(), folder]:
        if not each.is_symlink():
            each.chmod(0o555 if each.is_dir() or each.stat().st_mode & 0o100 else 0o444)
        os.utime(each, ns=(10**9, 10**9), follow_symlinks=False)


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("../plaiN")


def refolder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_a_whole_store(store: Store) -> None:
    fill(store)
    seen: list[tuple[int, int]] = []
    assert verify(store, lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_empty_store(store: Store) -> None:
    assert verify(store) == []


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "content": ("plain", lambda path: path.write_bytes(bytes(range(63)) + b"!")),
    "length": ("plain", lambda path: path.write_bytes(bytes(range(65)))),
    "torn": ("plain", lambda path: path.write_bytes(b"")),
    "zeros": ("plain", lambda path: path.write_bytes(bytes(64))),
    "target": ("sub/link", relink),
    "added": ("sub/new", Path.touch),
    "missing": ("sub/empty", Path.unlink),
    "renamed": ("sub/empty", lambda path: path.rename(path.with_name("full"))),
    "kind": ("sub/empty", refolder),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_a_tree(store: Store, name: str) -> None:
    tree = fill(store)
    place, change = CHANGES[name]
    path = store.tree_path(tree)
    edit(Path(path, place), change)
    assert damaged(store) == [("tree", tree, f"its content is {nar.hash_tree(path)}")]
    assert nar.hash_tree(path) != tree


def test_an_executable_bit(store: Store) -> None:
    tree = fill(store)
    path = Path(store.tree_path(tree))
    (path / "plain").chmod(0o544)
    assert damaged(store) == [("tree", tree, f"its content is {nar.hash_tree(str(path))}; plain has mode 0544, not 0555")]


@pytest.mark.parametrize(
    ("place", "mode", "message"),
    [
        ("plain", 0o644, "plain has mode 0644, not 0444"),
        ("plain", 0o445, "plain has mode 0445, not 0444"),
        ("program", 0o4555, "program has mode 4555, not 0555"),
        ("sub", 0o755, "sub has mode 0755, not 0555"),
        (".", 0o755, "the top has mode 0755, not 0555"),
    ],
)
def test_bits_that_the_digest_does_not_hold(store: Store, place: str, mode: int, message: str) -> None:
    tree = fill(store)
    Path(store.tree_path(tree), place).chmod(mode)
    assert damaged(store) == [("tree", tree, message)]


def test_many_wrong_entries_are_counted(store: Store) -> None:
    tree = fill(store)
    for entry in nar.scan(store.tree_path(tree)):
        os.utime(os.path.join(store.tree_path(tree), entry.path), ns=(5, 5), follow_symlinks=False)
    time = "has another time than second 1"
    assert damaged(store) == [("tree", tree, f"the top {time}; plain {time}; program {time}; 3 more entries are not in canonical form")]


def test_a_pipe_in_a_tree(store: Store) -> None:
    tree = fill(store)
    path = Path(store.tree_path(tree), "pipe")
    edit(path, os.mkfifo)
    assert damaged(store) == [("tree", tree, f"{path}: a named pipe cannot be part of a tree")]


def test_a_tree_that_cannot_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_file: int, _size: int) -> bytes:
        raise OSError(5, "Input/output error")

    tree = fill(store)
    os.unlink(store.file_path(ARCHIVE))
    Path(store.record_path(KEY)).unlink()
    store.drop_root("me")
    monkeypatch.setattr(os, "read", read)
    assert damaged(store) == [("tree", tree, "could not read it: Input/output error")]


def test_a_tree_of_one_file(store: Store) -> None:
    with store.stage() as stage:
        Path(stage, "f").write_text("abc")
        tree = store.add_tree(f"{stage}/f")
    assert damaged(store) == []
    edit(Path(store.tree_path(tree)), lambda path: path.write_text("abd"))
    Path(store.trees_dir).chmod(0o755)
    assert damaged(store) == [("tree", tree, f"its content is {nar.hash_tree(store.tree_path(tree))}")]


def test_a_missing_tree(store: Store) -> None:
    tree = fill(store)
    other = canonical.key("nothing")
    store.put_record(KEY, Record(trees={"out": tree}, deps=(other,)))
    store.discard_tree(tree)
    missing = ", ".join(sorted([tree, other]))
    assert damaged(store) == [("record", KEY, f"it refers to trees that are missing: {missing}")]


def test_an_archive(store: Store) -> None:
    fill(store)
    Path(store.file_path(ARCHIVE)).write_bytes(b"archivE")
    found = hashlib.sha256(b"archivE").hexdigest()
    assert damaged(store) == [("archive", ARCHIVE, f"its SHA-256 is {found}")]


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_records_and_roots_that_cannot_be_read(store: Store, content: bytes) -> None:
    fill(store)
    Path(store.record_path(KEY)).write_bytes(content)
    Path(store.roots_dir, "me.json").write_bytes(content)
    assert damaged(store) == [
        ("record", KEY, "it cannot be read: the content does not match its check sum"),
        ("root", "me.json", "it cannot be read: the content does not match its check sum"),
    ]


def test_a_record_under_another_key(store: Store) -> None:
    fill(store)
    other = canonical.key({"name": "musl"})
    store.put_record(other, Record())
    os.replace(store.record_path(KEY), store.record_path(other))
    assert damaged(store) == [("record", other, f"it cannot be read: it belongs to {KEY}")]


def test_strangers(store: Store) -> None:
    fill(store)
    Path(store.trees_dir, "mine").mkdir()
    Path(store.files_dir, "nginx.tar.gz").touch()
    os.mkdir(f"{store.trees_dir}/.new-1")  # somebody names a tree just now
    message = "the store did not make this: its name is no digest"
    assert damaged(store) == [("stray", "mine", message), ("stray", "nginx.tar.gz", message)]


def test_a_line_for_people(store: Store) -> None:
    fill(store)
    Path(store.trees_dir, "mine").mkdir()
    assert [str(damage) for damage in verify(store)] == [f"{store.trees_dir}/mine: the store did not make this: its name is no digest"]


def test_what_was_discarded_can_be_made_again(store: Store) -> None:
    tree = fill(store)
    edit(Path(store.tree_path(tree), "plain"), lambda path: path.write_bytes(b""))
    for damage in verify(store):
        store.discard_tree(damage.name)
    assert fill(store) == tree
    assert verify(store) == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_flipped_bit_is_found_and_named(store: Store, data: st.DataObject) -> None:
    """One random bit of one random file of the whole store: content of trees, archives, records and roots."""
    tree = fill(store)
    paths = [f"{store.tree_path(tree)}/plain", f"{store.tree_path(tree)}/program", store.file_path(ARCHIVE)]
    paths += [store.record_path(KEY), f"{store.roots_dir}/me.json"]
    path = Path(data.draw(st.sampled_from(paths)))
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    torn = bytearray(whole)
    torn[bit // 8] ^= 1 << bit % 8
    edit_in_place(path, bytes(torn))
    found = verify(store)
    edit_in_place(path, whole)
    assert [str(path).startswith(damage.path) for damage in found] == [True]
    assert verify(store) == []


def edit_in_place(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode & 0o777
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(10**9, 10**9))


def test_names_are_digests_of_what_they_hold(store: Store) -> None:
    assert os.listdir(store.trees_dir) == []
    tree = fill(store)
    assert os.listdir(store.trees_dir) == [digest.to_hex(tree)]


def test_a_stray_file_anywhere_stops_nothing(store: Store) -> None:
    tree = fill(store)
    Path(store.records_dir, "README").touch()
    Path(store.records_dir, "00").mkdir()
    Path(store.records_dir, "00", "x.txt").touch()
    os.mkfifo(f"{store.roots_dir}/pipe.json")
    Path(store.roots_dir, "dir.json").mkdir()
    Path(store.file_path("0" * 64)).mkdir()
    os.mkfifo(store.file_path("1" * 64))
    edit(Path(store.tree_path(tree), "plain"), lambda path: path.write_bytes(b""))
    assert [(kind, name, message) for kind, name, message in damaged(store) if kind != "tree"] == [
        ("archive", "0" * 64, "it is no regular file"), ("archive", "1" * 64, "it is no regular file"),
        ("root", "dir.json", "could not read it: Is a directory"),
        ("root", "pipe.json", "it cannot be read: it is no small regular file"),
        ("stray", "README", "the store did not make this: its name is no digest"),
        ("stray", "x.txt", "the store did not make this: its name is no digest"),
    ]
    assert [kind for kind, _, _ in damaged(store)].count("tree") == 1
    Path(store.roots_dir, "dir.json").rmdir()
    Path(store.roots_dir, "pipe.json").unlink()
    collect(store)


def test_a_name_outside_of_the_store(store: Store, tmp_path: Path) -> None:
    tree = fill(store)
    os.link(f"{store.tree_path(tree)}/plain", tmp_path / "mine")
    os.link(store.file_path(ARCHIVE), tmp_path / "archive")
    assert damaged(store) == [
        ("archive", ARCHIVE, "it has 1 more name outside of the store"),
        ("tree", tree, "plain has 1 more name outside of the store"),
    ]


def test_names_in_the_store_are_no_finding(store: Store) -> None:
    """A sandbox without mounts is made of hard links, below tmp/."""
    tree = fill(store)
    with store.stage() as stage:
        os.makedirs(f"{stage}/root/usr")
        os.link(f"{store.tree_path(tree)}/plain", f"{stage}/root/usr/plain")
        assert damaged(store) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_foreign_owners_and_capabilities(store: Store) -> None:
    tree = fill(store)
    top = Path(store.tree_path(tree))
    os.chown(top / "sub" / "link", 1234, 0, follow_symlinks=False)
    os.chown(top / "sub", 0, 1234)
    os.setxattr(top / "program", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.chown(store.record_path(KEY), 1234, 1234)
    for path in (top / "sub" / "link", top / "sub", top / "program"):
        os.utime(path, ns=(10**9, 10**9), follow_symlinks=False)
    assert damaged(store) == [
        ("record", KEY, "it belongs to 1234:1234"),
        ("tree", tree, "program has extended attributes: security.capability; sub belongs to 0:1234; sub/link belongs to 1234:0"),
    ]


def test_extended_attributes(store: Store) -> None:
    tree = fill(store)
    path = Path(store.tree_path(tree), "plain")
    edit(path, lambda path: os.setxattr(path, "user.note", b"1"))
    os.chmod(store.file_path(ARCHIVE), 0o4644)
    assert damaged(store) == [
        ("archive", ARCHIVE, "it has mode 4644: others may change it, or it takes their rights"),
        ("tree", tree, "plain has extended attributes: user.note"),
    ]
