"""The store in one process: trees, canonical form, records, roots, and what it refuses."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base import canonical, digest
from builder.base.errors import MismatchError, StoreError
from builder.store import Record, Root, Store, gc_root, record, remove_tree, sealed
from builder.store.collect import collect
from builder.store.verify import verify
from builder.tree import difference, nar

KEY = canonical.key({"name": "zlib"})
OTHER = canonical.key({"name": "musl"})
EMPTY = "sha256-pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo="  # what Nix prints for an empty folder
FULL = "free some space there or run `builder gc`, then run the command again: what was finished is kept"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def put(store: Store, text: str = "content") -> str:
    """Add a folder with one file."""
    with store.stage() as stage:
        Path(stage, "file").write_text(text)
        return store.add_tree(stage)


def leftovers(store: Store) -> list[str]:
    dotted = [name for name in os.listdir(store.trees_dir) if name.startswith(".")]
    return [*os.listdir(f"{store.root}/tmp"), *dotted, *(set(os.listdir(f"{store.root}/locks")) - {"guard"})]


def user_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.test", b"1")
        os.removexattr(folder, "user.test")
    except OSError:
        return False
    return True


class TestOpening:
    def test_makes_what_is_missing(self, tmp_path: Path) -> None:
        with Store(str(tmp_path / "a" / "store")) as store:
            assert sorted(os.listdir(store.root)) == [
                "files", "locks", "logs", "quarantine", "records", "roots", "tmp", "trees",
            ]  # fmt: skip
            assert (store.files_dir, store.quarantine_dir) == (f"{store.root}/files", f"{store.root}/quarantine")
            os.rmdir(f"{store.root}/logs")
        with Store(str(tmp_path / "a" / "store")):
            assert (tmp_path / "a" / "store" / "logs").is_dir()

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("")
        with pytest.raises(StoreError) as caught:
            Store(str(tmp_path / "store"))
        assert str(caught.value) == (
            f"{tmp_path}/store/locks: could not open the store: Not a directory\n"
            "  next: name a directory: --store, BUILDER_STORE, or `store` in the settings file; the first of these counts"
        )

    @pytest.mark.parametrize(
        ("number", "reason", "hint"),
        [
            (errno.EACCES, "Permission denied", "name a directory that you may write to: --store, BUILDER_STORE, "
             "or `store` in the settings file; the first of these counts"),
            (errno.ENOSPC, "No space left on device", FULL),
        ],
    )  # fmt: skip
    def test_a_folder_that_cannot_be_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, hint: str
    ) -> None:
        def mkdir(path: str, mode: int = 0o777) -> None:
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(os, "mkdir", mkdir)
        with pytest.raises(StoreError) as caught:
            Store(str(tmp_path / "store"))
        assert str(caught.value) == f"{tmp_path}/store: could not open the store: {reason}\n  next: {hint}"

    def test_what_a_killed_process_left_is_swept(self, tmp_path: Path) -> None:
        said: list[str] = []
        with Store(str(tmp_path / "store"), say=said.append) as store:
            assert said == []
            os.makedirs(f"{store.root}/tmp/1-a/b/c", 0o500)
            Path(store.root, "tmp", "1-b").write_text("half a record")
            os.mkdir(f"{store.trees_dir}/.new-1", 0o555)
            os.mkdir(f"{store.trees_dir}/.gone-1", 0o555)
            Path(store.root, "locks", digest.to_hex(KEY)).touch()
            with Store(store.root, say=said.append):  # not alone: another could still work there
                assert len(leftovers(store)) == 5
        with Store(store.root, say=said.append):
            assert leftovers(store) == []
        assert said == ["removing what an interrupted builder left behind"]


class TestTrees:
    def test_a_folder(self, store: Store) -> None:
        with store.stage() as stage:
            os.mkdir(f"{stage}/out")
            assert not store.has_tree(EMPTY)
            assert store.add_tree(f"{stage}/out") == EMPTY
            assert not os.path.exists(f"{stage}/out")
        assert store.has_tree(EMPTY)
        hex_name = "a50a5ab6d992f5598edd92105059fae9acfc192981e08bd88534c2167e92526a"
        assert store.tree_path(EMPTY) == f"{store.root}/trees/{hex_name}"
        assert os.listdir(store.tree_path(EMPTY)) == leftovers(store) == []

    def test_a_file(self, store: Store) -> None:
        with store.stage() as stage:
            Path(stage, "f").touch()
            tree = store.add_tree(f"{stage}/f")
        assert tree == "sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="
        assert Path(store.tree_path(tree)).read_bytes() == b""
        assert stat.S_IMODE(os.lstat(store.tree_path(tree)).st_mode) == 0o444

    def test_the_stage_itself_can_be_added(self, store: Store) -> None:
        assert nar.hash_tree(store.tree_path(put(store))) == put(store)

    def test_twice_the_same(self, store: Store) -> None:
        tree = put(store)
        before = os.lstat(store.tree_path(tree))
        assert put(store) == tree
        assert os.lstat(store.tree_path(tree)) == before
        assert leftovers(store) == []

    def test_somebody_else_is_first(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the look whether the tree is there, and the rename."""
        rename = os.rename

        def late(source: str, target: str) -> None:
            if ".new-" in target:
                with monkeypatch.context() as patch:
                    patch.setattr(os, "rename", rename)
                    put(store)
            rename(source, target)

        monkeypatch.setattr(os, "rename", late)
        tree = put(store)
        assert verify(store) == []
        assert os.listdir(store.trees_dir) == [digest.to_hex(tree)]

    def test_the_expected_tree(self, store: Store) -> None:
        with store.stage() as stage:
            assert store.add_tree(stage, expect=EMPTY) == EMPTY

    def test_another_than_the_expected_tree(self, store: Store) -> None:
        with store.stage() as stage:
            Path(stage, "f").touch()
            with pytest.raises(MismatchError) as caught:
                store.add_tree(stage, expect=EMPTY)
            found = nar.hash_tree(stage)
            assert difference.compare(stage, stage) == []
        assert str(caught.value) == (
            f"{stage}: the tree is {found}, not {EMPTY}\n"
            "  next: compare the two trees; take the new digest only if the difference is wanted"
        )
        assert os.listdir(store.trees_dir) == leftovers(store) == []

    def test_discarding(self, store: Store) -> None:
        tree = put(store)
        assert store.discard_tree(tree) > 0
        assert not store.has_tree(tree)
        assert store.discard_tree(tree) == 0
        assert leftovers(store) == []

    def test_stage_is_removed_after_an_error_too(self, store: Store) -> None:
        with pytest.raises(ValueError, match="mine"), store.stage() as stage:
            os.mkdir(f"{stage}/locked", 0o000)
            raise ValueError("mine")
        assert leftovers(store) == []

    def test_a_stage_that_cannot_be_removed_is_swept_later(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def busy(_path: str) -> int:
            raise StoreError("something still writes there")

        with monkeypatch.context() as patch:
            patch.setattr("builder.store.store.remove_tree", busy)
            with store.stage():
                pass
        assert len(leftovers(store)) == 1
        store.close()
        with Store(store.root) as again:
            assert leftovers(again) == []


class TestCanonicalForm:
    def test_modes_and_times(self, store: Store) -> None:
        old = os.umask(0o077)
        try:
            with store.stage() as stage:
                top = Path(stage, "out")
                (top / "sub" / "none").mkdir(parents=True)
                (top / "sub" / "link").symlink_to("none")
                for name, mode in {"plain": 0o666, "program": 0o700, "root": 0o6755, "group": 0o070}.items():
                    (top / name).write_text(name)
                    (top / name).chmod(mode)
                (top / "sub" / "none").chmod(0o2710)
                tree = store.add_tree(str(top))
        finally:
            os.umask(old)
        found = {}
        for entry in nar.scan(store.tree_path(tree)):
            status = os.lstat(os.path.join(store.tree_path(tree), entry.path))
            found[entry.path] = oct(stat.S_IMODE(status.st_mode)) if entry.kind != "link" else "link"
            assert status.st_mtime_ns == 10**9, entry
        assert found == {
            "": "0o555", "group": "0o444", "plain": "0o444", "program": "0o555", "root": "0o555",
            "sub": "0o555", "sub/link": "link", "sub/none": "0o555",
        }  # fmt: skip

    def test_a_hard_link_becomes_a_file_of_its_own(self, store: Store, tmp_path: Path) -> None:
        """Else who holds the other name could change the tree later."""
        with store.stage() as stage:
            outside = Path(stage, "outside")
            outside.write_text("shared" * 1000)
            outside.chmod(0o750)
            os.mkdir(f"{stage}/out")
            os.link(outside, f"{stage}/out/a")
            os.link(outside, f"{stage}/out/b")
            tree = store.add_tree(f"{stage}/out")
            assert stat.S_IMODE(outside.stat().st_mode) == 0o750
            outside.write_text("changed")
        path = store.tree_path(tree)
        assert nar.hash_tree(path) == tree
        assert [os.stat(f"{path}/{name}").st_nlink for name in "ab"] == [1, 1]
        assert Path(path, "a").read_text() == "shared" * 1000
        assert verify(store) == []

    def test_extended_attributes_are_dropped(self, store: Store) -> None:
        with store.stage() as stage:
            if not user_attributes(Path(stage)):
                pytest.skip("the file system of the temporary folder has no user attributes")
            os.mkdir(f"{stage}/out")
            Path(stage, "out", "f").write_text("x")
            for path in (f"{stage}/out", f"{stage}/out/f"):
                os.setxattr(path, "user.origin", b"here")
            Path(stage, "out", "f").chmod(0o444)
            tree = store.add_tree(f"{stage}/out")
        for name in ("", "f"):
            assert os.listxattr(os.path.join(store.tree_path(tree), name)) == []
        assert verify(store) == []

    def test_names_that_are_not_utf8(self, store: Store) -> None:
        with store.stage() as stage:
            Path(stage, "\udcff\n").touch()
            tree = store.add_tree(stage)
        assert os.listdir(os.fsencode(store.tree_path(tree))) == [b"\xff\n"]
        assert verify(store) == []

    def test_a_pipe_is_refused(self, store: Store) -> None:
        with store.stage() as stage:
            os.mkfifo(f"{stage}/pipe")
            with pytest.raises(StoreError) as caught:
                store.add_tree(stage)
        assert str(caught.value) == (
            f"{stage}/pipe: a named pipe cannot be part of a tree\n"
            "  next: trees hold files, directories and links only: remove it in the step that makes it"
        )
        assert os.listdir(store.trees_dir) == leftovers(store) == []

    def test_a_link_as_a_tree_is_refused(self, store: Store) -> None:
        with store.stage() as stage:
            os.symlink("/etc", f"{stage}/out")
            with pytest.raises(StoreError) as caught:
                store.add_tree(f"{stage}/out")
        assert str(caught.value) == (
            f"{stage}/out: a link cannot be a tree of its own\n  next: stage a directory that holds the link, or what the link points to"
        )

    def test_a_tree_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(StoreError) as caught:
            store.add_tree(f"{store.root}/tmp/none")
        assert caught.value.message == "could not add a tree to the store: No such file or directory"
        assert caught.value.where == f"{store.root}/tmp/none"


class TestRecords:
    def test_written_and_read(self, store: Store) -> None:
        value = Record(trees={"out": EMPTY, "debug": EMPTY}, sandbox="chroot", seconds=1.25, deps=(EMPTY,), log="logs/\udcff")
        assert store.record(KEY) is None
        store.put_record(KEY, value)
        assert store.record(KEY) == value
        assert store.record(OTHER) is None

    def test_replaced(self, store: Store) -> None:
        store.put_record(KEY, Record(seconds=1.0))
        store.put_record(KEY, Record(seconds=2.0))
        assert store.record(KEY) == Record(seconds=2.0)
        assert leftovers(store) == []

    def test_where_it_lies(self, store: Store) -> None:
        store.put_record(KEY, Record(trees={"out": EMPTY}))
        name = digest.to_hex(KEY)
        assert store.record_path(KEY) == f"{store.root}/records/{name[:2]}/{name}.json"
        assert json.loads(Path(store.record_path(KEY)).read_bytes())["value"] == {
            "deps": [], "key": KEY, "log": "", "sandbox": "", "parts": {}, "seconds": 0.0, "trees": {"out": EMPTY},
        }  # fmt: skip
        assert store.log_path(KEY) == f"{store.root}/logs/{name}.log"
        assert store.file_path("0" * 64) == f"{store.root}/files/{'0' * 64}"

    @pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 300], ids=["empty", "other", "zeros"])
    def test_a_torn_one_counts_as_absent(self, store: Store, content: bytes) -> None:
        store.put_record(KEY, Record())
        Path(store.record_path(KEY)).write_bytes(content)
        assert store.record(KEY) is None
        store.put_record(KEY, Record(seconds=2.0))
        assert store.record(KEY) == Record(seconds=2.0)

    def test_one_under_another_key_counts_as_absent(self, store: Store) -> None:
        store.put_record(KEY, Record())
        store.put_record(OTHER, Record())
        os.replace(store.record_path(KEY), store.record_path(OTHER))
        assert store.record(OTHER) is None

    def test_another_versions_form(self) -> None:
        values: list[object] = [
            {"key": KEY},
            [],
            None,
            {"key": KEY, "trees": {}, "sandbox": "", "seconds": 0, "deps": None},
        ]
        for value in values:
            with pytest.raises(ValueError, match=r"the form of another version|belongs to"):
                record.from_dict(value, KEY)

    def test_one_that_cannot_be_read_is_an_error(self, store: Store) -> None:
        os.makedirs(store.record_path(KEY))
        with pytest.raises(StoreError) as caught:
            store.record(KEY)
        assert caught.value.message == "could not read a record: Is a directory"


class TestSealed:
    def test_every_flipped_bit_and_every_cut_is_found(self) -> None:
        data = sealed.seal({"name": "zlib", "trees": ["a"]})
        assert sealed.unseal(data) == {"name": "zlib", "trees": ["a"]}
        for bit in range(8 * len(data)):
            torn = bytearray(data)
            torn[bit // 8] ^= 1 << bit % 8
            with pytest.raises(ValueError, match="the content does not match its check sum"):
                sealed.unseal(bytes(torn))
        for end in range(len(data)):
            with pytest.raises(ValueError, match="the content does not match its check sum"):
                sealed.unseal(data[:end])
        with pytest.raises(ValueError, match="the content does not match its check sum"):
            sealed.unseal(data + b"\n")

    def test_a_write_that_fails_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def replace(_old: str, _new: str) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match="full"):
            sealed.write(str(tmp_path / "a"), {}, str(tmp_path / "scratch"))
        assert os.listdir(tmp_path) == []


class TestRoots:
    def test_set_listed_replaced_dropped(self, store: Store) -> None:
        store.set_root("b", [EMPTY])
        store.set_root("a /\n\udcff", keys=[OTHER, KEY], files=["0" * 64], owner="/somewhere")
        assert store.roots() == {
            "a /\n\udcff": Root(name="a /\n\udcff", keys=tuple(sorted([KEY, OTHER])), files=("0" * 64,), owner="/somewhere"),
            "b": Root(name="b", trees=(EMPTY,)),
        }
        store.set_root("b", [])
        store.drop_root("a /\n\udcff")
        store.drop_root("never there")
        assert store.roots() == {"b": Root(name="b")}

    def test_file_names_are_plain_and_different(self) -> None:
        assert gc_root.file_name("/home/a b#openresty") == "%2Fhome%2Fa%20b%23openresty.json"
        long = [gc_root.file_name("x" * length) for length in (200, 201, 202, 4000)]
        assert len(set(long)) == 4
        assert max(map(len, long)) <= 205

    def test_a_damaged_root_stops_everything_that_removes(self, store: Store) -> None:
        tree = put(store)
        store.set_root("a", [tree])
        path = Path(store.roots_dir, "a.json")
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StoreError) as caught:
            collect(store)
        assert str(caught.value) == (
            f"{path}: the root is damaged: the content does not match its check sum\n"
            "  next: remove the file; if its project is still in use, run `touch lock.toml` and the build there again, "
            "which writes it"
        )
        assert store.has_tree(tree)


class TestRemoveTree:
    def test_odd_modes(self, tmp_path: Path) -> None:
        os.makedirs(tmp_path / "t" / "a" / "b")
        (tmp_path / "t" / "a" / "f").write_text("x" * 5000)
        (tmp_path / "t" / "link").symlink_to(tmp_path)
        for path in ("a/b", "a/f", "a", "."):
            (tmp_path / "t" / path).chmod(0)
        assert remove_tree(str(tmp_path / "t")) >= 5000
        assert os.listdir(tmp_path) == []

    def test_files_links_and_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("x")
        (tmp_path / "link").symlink_to("f")
        remove_tree(str(tmp_path / "link"))
        assert os.listdir(tmp_path) == ["f"]
        remove_tree(os.fsencode(tmp_path / "f"))
        assert os.listdir(tmp_path) == []
        assert remove_tree(str(tmp_path / "f")) == 0

    def test_deeper_than_a_path_can_tell(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        os.mkdir("t")
        os.chdir("t")
        for _ in range(40):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("deepest").touch()
        os.chdir(tmp_path)
        remove_tree(str(tmp_path / "t"))
        assert os.listdir(tmp_path) == []

    def test_what_cannot_be_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unlink(path: bytes) -> None:
            raise OSError(errno.EPERM, "no", path)

        (tmp_path / "f").touch()
        monkeypatch.setattr(os, "unlink", unlink)
        with pytest.raises(StoreError) as caught:
            remove_tree(str(tmp_path))
        assert caught.value.where == f"{tmp_path}/f"
        assert caught.value.message == "could not remove a tree: Operation not permitted"
