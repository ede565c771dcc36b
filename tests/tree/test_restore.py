"""Trees out of archives: every tree comes back, and a hostile archive is refused and harms nothing."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nars import Parser, Tree, folders, make, plain_digest, plain_nar, plain_string, scratch, written

from builder.base.errors import ArchiveError
from builder.store import remove_tree
from builder.tree import nar
from builder.tree.restore import restore

TREE: dict[bytes, Tree] = {b"bin": {b"run": (b"#!/bin/sh\n", True)}, b"link": b"../../etc/passwd", b"z": (b"123456789", False)}


class Dripping(io.BytesIO):
    """Gives a byte at a time, as a slow socket does, and notes the largest read that was asked for."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size >= 0, "all of it at once"
        self.largest = max(self.largest, size)
        return super().read(min(size, 1))


def words(*parts: bytes) -> bytes:
    return b"".join(map(plain_string, parts))


def archive(*parts: bytes) -> bytes:
    return words(b"nix-archive-1", *parts)


def of_entries(*names: bytes) -> bytes:
    entries = [each for name in names for each in (b"entry", b"(", b"name", name, b"node", *REGULAR, b")")]
    return archive(b"(", b"type", b"directory", *entries, b")")


REGULAR = (b"(", b"type", b"regular", b"contents", b"", b")")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(folders)
def test_every_tree_comes_back(tree: dict[bytes, Tree]) -> None:
    with scratch() as folder:
        make(tree, folder + b"/one")
        data = written(folder + b"/one")
        assert restore(io.BytesIO(data), folder + b"/two") == nar.hash_tree(folder + b"/one") == plain_digest(tree)
        assert written(folder + b"/two") == data


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(folders, st.data())
def test_a_changed_archive_is_refused_or_is_the_one_form_of_another_tree(tree: dict[bytes, Tree], data: st.DataObject) -> None:
    good = bytearray(plain_nar(tree))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(good) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "drop", "double", "swap"])):
            case "flip":
                good[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del good[place:]
            case "drop":
                del good[place & ~7 : (place & ~7) + 8]
            case "double":
                good[place & ~7 : place & ~7] = good[place & ~7 : (place & ~7) + 8]
            case "swap":
                words_ = [good[i : i + 8] for i in range(0, len(good), 8)]
                words_[place // 8], words_[0] = words_[0], words_[place // 8]
                good = bytearray(b"".join(words_))
        if not good:
            break
    with scratch() as folder:
        os.mkdir(folder + b"/in")
        try:
            found = restore(io.BytesIO(bytes(good)), folder + b"/in/tree")
        except ArchiveError as error:
            assert error.where.startswith("NAR archive, byte ") and error.message and error.hint
        else:
            assert written(folder + b"/in/tree") == bytes(good)
            assert found == plain_digest(Parser(bytes(good)).archive())
        assert os.listdir(folder) == [b"in"] and os.listdir(folder + b"/in") in ([], [b"tree"]), "nothing lies outside"


@pytest.mark.parametrize("tree", [(b"x", False), (b"x", True), b"target", {}])
def test_a_file_or_a_link_is_a_tree_too(tmp_path: Path, tree: Tree) -> None:
    path = tmp_path / "tree"
    assert restore(io.BytesIO(plain_nar(tree)), str(path)) == plain_digest(tree) == nar.hash_tree(str(path))


def test_a_stream_of_single_bytes_is_read_in_small_pieces(tmp_path: Path) -> None:
    stream = Dripping(plain_nar({**TREE, b"big": (bytes(3 << 19), False)}))
    restore(stream, str(tmp_path / "tree"))
    assert stream.largest <= 1 << 20


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        restore(io.BytesIO(plain_nar(TREE)), str(tmp_path / "tree"))
    finally:
        os.umask(before)
    modes = [(tmp_path / "tree" / each).stat().st_mode & 0o7777 for each in ("bin/run", "z")]
    assert modes == [0o755, 0o644]


@pytest.mark.parametrize(("data", "where", "said"), [
    (b"", 0, "it ends early"),
    (plain_nar(TREE)[:-1], len(plain_nar(TREE)) - 7, "it ends early"),
    (plain_nar(TREE) + b"\0", len(plain_nar(TREE)), "bytes follow the end of the archive"),
    (words(b"nix-archive-2"), 24, "'nix-archive-2' stands where the format has nix-archive-1"),
    (words(b"<html>"), 16, "'<html>' stands where the format has nix-archive-1"),
    (b"\xff" * 8, 8, f"a string has {2**64 - 1} bytes, and 13 at most are allowed here"),
    (archive(b"(", b"type", b"device"), 72, "'device' stands where the format has directory or symlink or regular"),
    (archive(b"(", b"type", b"regular", b"executable", b"x"), 104, "a string has 1 bytes, and 0 at most are allowed here"),
    (plain_string(b"nix-archive-1")[:-1] + b"\1", 24, "the padding of a string is not zeros"),
    (archive(b"(", b"type", b"symlink", b"target", b""), 96, "'' is no target of a link"),
    (archive(b"(", b"type", b"symlink", b"target", b"a\0b"), 104, "'a\\x00b' is no target of a link"),
    (archive(b"(", b"type", b"symlink", b"target", bytes(5000)), 96, "a string has 5000 bytes, and 4095 at most are allowed here"),
    (of_entries(b"b", b"a"), None, "the name 'a' does not come after 'b'"),
    (of_entries(b"a", b"a"), None, "the name 'a' does not come after 'a'"),
    (of_entries(b""), None, "'' is no name of an entry"),
    (of_entries(b"."), None, "'.' is no name of an entry"),
    (of_entries(b".."), None, "'..' is no name of an entry"),
    (of_entries(b"../x"), None, "'../x' is no name of an entry"),
    (of_entries(b"/etc/x"), None, "'/etc/x' is no name of an entry"),
    (of_entries(b"a\0"), None, "'a\\x00' is no name of an entry"),
    (of_entries(b"a" * 256), None, "a string has 256 bytes, and 255 at most are allowed here"),
])
def test_what_is_refused(tmp_path: Path, data: bytes, where: int | None, said: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        restore(io.BytesIO(data), str(tmp_path / "tree"))
    assert caught.value.message == said
    assert caught.value.where == f"NAR archive, byte {where}" or where is None
    assert [each.name for each in tmp_path.iterdir()] in ([], ["tree"])


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A link, then an entry of the same name that would lie below it."""
    link = (b"entry", b"(", b"name", b"a", b"node", b"(", b"type", b"symlink", b"target", os.fsencode(tmp_path), b")", b")")
    below = (b"entry", b"(", b"name", b"a", b"node", b"(", b"type", b"directory", b"entry", b"(", b"name", b"x", b"node")
    data = archive(b"(", b"type", b"directory", *link, *below, *REGULAR)
    with pytest.raises(ArchiveError, match="the name 'a' does not come after 'a'"):
        restore(io.BytesIO(data), str(tmp_path / "tree"))
    assert [each.name for each in tmp_path.iterdir()] == ["tree"]


def test_the_limits(tmp_path: Path) -> None:
    data = plain_nar(TREE)
    restore(io.BytesIO(data), str(tmp_path / "fits"), most_bytes=19, most_entries=5)
    with pytest.raises(ArchiveError, match="its files have too many bytes"):
        restore(io.BytesIO(data), str(tmp_path / "bytes"), most_bytes=18)
    with pytest.raises(ArchiveError, match="it has too many entries"):
        restore(io.BytesIO(data), str(tmp_path / "entries"), most_entries=4)


def test_depth(tmp_path: Path) -> None:
    step = (b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node")
    deepest = archive(*step * (nar.DEEPEST - 1), *step[:3], *[b")"] * (2 * nar.DEEPEST - 1))
    path = str(tmp_path / "tree")
    assert restore(io.BytesIO(deepest), path) == nar.hash_tree(path)
    with pytest.raises(ArchiveError, match="its directories are nested more than 256 deep"):
        restore(io.BytesIO(archive(*step * 5000)), str(tmp_path / "more"))
    for each in ("tree", "more"):
        remove_tree(str(tmp_path / each))


def test_longer_than_a_path_may_be(tmp_path: Path) -> None:
    step = (b"(", b"type", b"directory", b"entry", b"(", b"name", b"d" * 255, b"node")
    with pytest.raises(ArchiveError, match="a name or path that this file system does not take"):
        restore(io.BytesIO(archive(*step * 30)), str(tmp_path / "tree"))


def test_what_is_there_is_left(tmp_path: Path) -> None:
    (tmp_path / "tree").write_text("mine")
    for tree in (TREE, (b"theirs", False), b"link"):
        with pytest.raises(FileExistsError):
            restore(io.BytesIO(plain_nar(tree)), str(tmp_path / "tree"))
    assert (tmp_path / "tree").read_text() == "mine"
