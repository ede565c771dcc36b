"""NAR form: golden digests, an independent second writer and a parser, and properties on random trees."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nars import Parser, Tree, folders, make, plain_digest, plain_nar, plain_string, scratch, written

from builder.base.errors import StoreError
from builder.store import remove_tree
from builder.tree import difference, nar

# A tree as a value: bytes and the executable bit of a file, a link's target, or a folder's entries by name.


some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestGolden:
    """Digests that Nix prints, known from outside of this project."""

    def test_empty_folder(self, tmp_path: Path) -> None:
        assert nar.hash_tree(str(tmp_path)) == "sha256-pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo="
        assert plain_digest({}) == "sha256-pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo="

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        assert nar.hash_tree(str(tmp_path / "f")) == "sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="
        assert plain_digest((b"", False)) == "sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="

    def test_bytes_of_a_small_tree(self, tmp_path: Path) -> None:
        make({b"run": (b"#!", True), b"at": b"run"}, os.fsencode(tmp_path / "t"))
        words = b"nix-archive-1 ( type directory entry ( name at node ( type symlink target run ) )".split()
        words += [*b"entry ( name run node ( type regular executable".split(), b"", *b"contents #! ) ) )".split()]
        assert written(str(tmp_path / "t")) == b"".join(map(plain_string, words))


class TestForm:
    @pytest.mark.parametrize("size", [0, 1, 7, 8, 9, (1 << 16) - 1, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
    def test_sizes_around_every_border(self, tmp_path: Path, size: int) -> None:
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        (tmp_path / "f").write_bytes(content)
        assert written(str(tmp_path)) == plain_nar({b"f": (content, False)})

    def test_only_the_owners_executable_bit_counts(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"x")
        (tmp_path / "f").chmod(0o677)
        assert nar.hash_tree(str(tmp_path)) == plain_digest({b"f": (b"x", False)})
        (tmp_path / "f").chmod(0o700)
        assert nar.hash_tree(str(tmp_path)) == plain_digest({b"f": (b"x", True)})

    def test_names_sort_by_bytes_and_need_not_be_utf8(self, tmp_path: Path) -> None:
        odd = (b"a", b"a-b", b"a.b", b"B", b"\xff\x80", b"\xf0\x9f\x98\x80", b"\xee\x80\x80")
        tree: Tree = dict.fromkeys(odd, (b"", False))
        make({b"a.d": tree}, os.fsencode(tmp_path / "t"))
        assert written(str(tmp_path / "t")) == plain_nar({b"a.d": tree})

    def test_a_link_at_the_top_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        assert nar.hash_tree(str(tmp_path / "link")) == plain_digest(b"nowhere")

    def test_holes_are_zeros(self, tmp_path: Path) -> None:
        with open(tmp_path / "f", "wb") as file:
            file.truncate(3 << 20)
        assert nar.hash_tree(str(tmp_path)) == plain_digest({b"f": (bytes(3 << 20), False)})

    def test_as_deep_as_a_tree_may_be_and_deeper_than_the_interpreters_stack(self, tmp_path: Path) -> None:
        depth = nar.DEEPEST - 1
        path = str(tmp_path / "t")
        for _ in range(depth + 1):
            os.mkdir(path)
            path += "/d"
        open_ = b"".join(map(plain_string, (b"(", b"type", b"directory")))
        step = b"".join(map(plain_string, (b"entry", b"(", b"name", b"d", b"node"))) + open_
        expected = plain_string(b"nix-archive-1") + open_ + step * depth + plain_string(b")") * (2 * depth + 1)
        assert written(str(tmp_path / "t")) == expected
        assert len(nar.scan(str(tmp_path / "t"))) == depth + 1
        for _ in range(sys.getrecursionlimit()):
            os.mkdir(path)
            path += "/d"
        for walk in (written, nar.scan):
            with pytest.raises(nar.UnfitError) as caught:
                walk(str(tmp_path / "t"))
            assert caught.value.message == "its directories are nested more than 256 deep"
        remove_tree(str(tmp_path / "t"))  # pytest cannot

    def test_pieces_are_small(self, tmp_path: Path) -> None:
        (tmp_path / "big").write_bytes(bytes(5 << 20))
        pieces: list[int] = []
        nar.write_nar(str(tmp_path), lambda piece: pieces.append(len(piece)))
        assert max(pieces) <= 1 << 20


class TestRefused:
    def test_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        self.refused(tmp_path, "pipe", "a named pipe cannot be part of a tree")

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # a socket's path has at most 107 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            self.refused(tmp_path, "socket", "a socket cannot be part of a tree")

    def refused(self, folder: Path, name: str, message: str) -> None:
        for read in (nar.hash_tree, nar.scan):
            with pytest.raises(StoreError) as caught:
                read(str(folder))
            assert str(caught.value) == (
                f"{folder}/{name}: {message}\n  next: trees hold files, directories and links only: remove it in the step that makes it"
            )

    def test_device(self) -> None:
        with pytest.raises(StoreError, match=r"^/dev/null: a character device cannot be part of a tree"):
            nar.hash_tree("/dev/null")

    @pytest.mark.parametrize("change", [b"more", b""])
    def test_a_file_that_changes_meanwhile(self, tmp_path: Path, change: bytes) -> None:
        class Meddler:
            def arrive(self, path: bytes, status: os.stat_result) -> os.stat_result:
                if path.endswith(b"f"):
                    with open(path, "ab") as file:
                        file.write(change) if change else file.truncate(0)
                return status

            def leave(self, path: bytes) -> None:
                pass

        (tmp_path / "f").write_bytes(b"12345")
        with pytest.raises(StoreError) as caught:
            nar.hash_tree(str(tmp_path), visitor=Meddler())
        assert str(caught.value) == (
            f"{tmp_path}/f: the file changed while it was read: it had 5 bytes\n"
            "  next: end the program that writes to it, then run the command again"
        )

    def test_a_file_that_grows_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reads: list[int] = []

        def read(_file: int, size: int) -> bytes:
            reads.append(size)
            assert len(reads) < 10
            return bytes(size)

        (tmp_path / "f").write_bytes(b"12345")
        monkeypatch.setattr(os, "read", read)
        with pytest.raises(StoreError, match="the file changed while it was read: it had 5 bytes"):
            nar.hash_tree(str(tmp_path))
        assert reads == [6]

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            nar.hash_tree(str(tmp_path / "none"))


class TestProperties:
    @some
    @given(folders)
    def test_written_as_the_plain_writer_does_and_parsed_back(self, tree: dict[bytes, Tree]) -> None:
        with scratch() as folder:
            make(tree, folder + b"/t")
            data = written(folder + b"/t")
            assert data == plain_nar(tree)
            assert Parser(data).archive() == tree
            assert nar.hash_tree(folder + b"/t") == plain_digest(tree)

    @some
    @given(folders, st.sampled_from([0o000, 0o022, 0o077]), st.integers(0, 2**31))
    def test_order_umask_and_times_do_not_matter(self, tree: dict[bytes, Tree], umask: int, time: int) -> None:
        with scratch() as folder:
            make(tree, folder + b"/one")
            old = os.umask(umask)
            try:
                make(tree, folder + b"/two", backwards=True)
            finally:
                os.umask(old)
            for path, _, files_ in os.walk(folder + b"/two", topdown=False):
                for name in files_:
                    os.utime(os.path.join(path, name), (time, time), follow_symlinks=False)
                os.utime(path, (time, time))
            assert nar.hash_tree(folder + b"/one") == nar.hash_tree(folder + b"/two")
            assert difference.compare(os.fsdecode(folder + b"/one"), os.fsdecode(folder + b"/two")) == []

    @some
    @given(folders, st.data())
    def test_every_single_change_is_seen(self, tree: dict[bytes, Tree], data: st.DataObject) -> None:
        with scratch() as folder:
            make(tree, folder + b"/t")
            make(tree, folder + b"/before")
            before = nar.hash_tree(folder + b"/t")
            paths = [os.path.join(p, n) for p, ds, fs in os.walk(folder + b"/t") for n in sorted(ds + fs)]
            target = data.draw(st.sampled_from(sorted(paths)) if paths else st.none())
            change(folder + b"/t", target, data)
            assert nar.hash_tree(folder + b"/t") != before
            assert len(difference.compare(os.fsdecode(folder + b"/before"), os.fsdecode(folder + b"/t"))) > 0


def change(top: bytes, path: bytes | None, data: st.DataObject) -> None:
    """Make one change: to `path` if it is given, else a new file."""
    kinds = ["add"] if path is None else ["add", "rename", "remove", "edit"]
    kind = data.draw(st.sampled_from(kinds))
    if path is None or kind == "add":
        with open(top + b"/a name of 13+ bytes", "wb"):
            return
    if kind == "rename":
        os.rename(path, path + b"-renamed-to-more-than-12")
    elif kind == "remove":
        os.unlink(path) if os.path.islink(path) or os.path.isfile(path) else shutil.rmtree(path)
    elif os.path.islink(path):
        target = os.readlink(path)
        os.unlink(path)
        os.symlink(target + b"x", path)
    elif os.path.isdir(path):
        os.mkdir(path + b"/a name of 13+ bytes")
    elif data.draw(st.booleans()) and os.path.getsize(path):
        flip_bit(path, data)
    else:
        os.chmod(path, os.stat(path).st_mode ^ 0o100)


def flip_bit(path: bytes, data: st.DataObject) -> None:
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
        file.seek(0)
        file.write(content)


class TestScan:
    def test_all_kinds_sorted_by_bytes(self, tmp_path: Path) -> None:
        make({b"a": {b"x": (b"123", True)}, b"a-b": b"a/x", b"\xff": (b"", False)}, os.fsencode(tmp_path / "t"))
        assert nar.scan(str(tmp_path / "t")) == [
            nar.Entry(path="", kind="dir"),
            nar.Entry(path="a", kind="dir"),
            nar.Entry(path="a-b", kind="link", target="a/x"),
            nar.Entry(path="a/x", kind="file", executable=True, size=3),
            nar.Entry(path="\udcff", kind="file"),
        ]

    def test_a_file_is_a_tree_of_one_entry(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"abc")
        assert nar.scan(str(tmp_path / "f")) == [nar.Entry(path="", kind="file", size=3)]


class TestCompare:
    def compare(self, folder: Path, old: Tree, new: Tree, limit: int = 20) -> list[str]:
        make(old, os.fsencode(folder / "old"))
        make(new, os.fsencode(folder / "new"))
        return difference.compare(str(folder / "old"), str(folder / "new"), limit)

    def test_every_kind_of_difference(self, tmp_path: Path) -> None:
        old: Tree = {
            b"doc": {b"a": (b"", False), b"b": {b"c": b"x"}},
            b"doc-2": (b"", False),
            b"edit": (b"one two", False),
            b"grow": (b"one", False),
            b"kind": (b"", False),
            b"link": b"here",
            b"mode": (b"", False),
            b"same": (b"same", True),
            b"unmode": (b"", True),
        }
        new: Tree = {
            b"edit": (b"one TWO", False),
            b"grow": (b"one two", False),
            b"kind": {b"below": b"x"},
            b"link": b"there",
            b"mode": (b"", True),
            b"new\n\xff": (b"", False),
            b"same": (b"same", True),
            b"unmode": (b"", False),
        }
        assert self.compare(tmp_path, old, new) == [
            "missing: doc/ with 3 entries",
            "missing: doc-2",
            "content: edit differs from byte 4 on (7 bytes)",
            "content: grow differs from byte 3 on (3 bytes before, 7 now)",
            "kind: kind was a file, is a directory",
            "link: link pointed to here, points to there",
            "mode: mode is executable now",
            "added: new\\n\\xff",
            "mode: unmode is not executable any more",
        ]

    def test_the_limit(self, tmp_path: Path) -> None:
        old: Tree = {b"%d" % n: (b"", False) for n in range(5)}
        assert self.compare(tmp_path, old, {}, limit=2) == ["missing: 0", "missing: 1", "... and 3 more"]

    def test_two_files_as_trees(self, tmp_path: Path) -> None:
        lines = self.compare(tmp_path, (b"a", False), (b"b", False))
        assert lines == ["content: the tree itself differs from byte 0 on (1 bytes)"]

    def test_a_difference_far_into_a_file(self, tmp_path: Path) -> None:
        big = bytes(1 << 20)
        lines = self.compare(tmp_path, {b"f": (big + b"1", False)}, {b"f": (big + b"2", False)})
        assert lines == [f"content: f differs from byte {1 << 20} on ({(1 << 20) + 1} bytes)"]


def test_shown_escapes_what_a_terminal_would_obey() -> None:
    assert nar.shown(b"ok/\xc3\xa4 \x1b[31m\xff") == "ok/\u00e4 \\x1b[31m\\xff"
