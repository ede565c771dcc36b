"""Trees put together and taken apart."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.base.errors import RefusedError
from builder.tree import join
from builder.tree.join import Part

# path -> text of a file, or ("link", target), or ("program", text)
Tree = Mapping[str, str | tuple[str, str]]

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ENTRIES = st.sampled_from(["one", "two"]) | st.tuples(st.sampled_from(["link", "program"]), st.sampled_from(["one", "two"]))


def is_tree(tree: Tree) -> bool:
    """Whether no file stands where another path has a folder."""
    return not any(other.startswith(path + "/") for path in tree for other in tree)


TREES = st.dictionaries(PATHS, ENTRIES, max_size=4).filter(is_tree)


def write(folder: Path, tree: Tree) -> Path:
    for path, entry in tree.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, str):
            place.write_text(entry)
        elif entry[0] == "link":
            place.symlink_to(entry[1])
        else:
            place.write_text(entry[1])
            place.chmod(0o755)
    return folder


def read(folder: Path) -> dict[str, str | tuple[str, str]]:
    found: dict[str, str | tuple[str, str]] = {}
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            place = Path(top, name)
            path = str(place.relative_to(folder))
            if place.is_symlink():
                found[path] = ("link", os.readlink(place))
            elif place.is_file():
                text = place.read_text()
                found[path] = ("program", text) if os.access(place, os.X_OK) and place.stat().st_mode & 0o100 else text
    return found


def joined(
    tmp_path: Path, *trees: Tree, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), into: str = "",
    move: Mapping[str, str] = join.NOWHERE,
) -> dict[str, str | tuple[str, str]]:
    """What joining the trees "p0", "p1", ... gives."""
    target = tmp_path / "target"
    target.mkdir(parents=True)
    parts = []
    for number, tree in enumerate(trees):
        folder = tmp_path / f"p{number}"
        folder.mkdir()
        parts.append(Part(f"p{number}", str(write(folder, tree)), into))
    join.join(parts, str(target), include=include, exclude=exclude, move=move)
    return read(target)


def collides(one: Tree, two: Tree) -> bool:
    both = {**one, **two}
    return not is_tree(both) or any(one[path] != two[path] for path in one.keys() & two.keys())


@settings(max_examples=60)
@given(one=TREES, two=TREES)
def test_a_join_is_the_union_or_is_refused(one: Tree, two: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if collides(one, two):
            with pytest.raises(RefusedError, match="p0 and p1 both have "):
                joined(Path(folder), one, two)
        else:
            assert joined(Path(folder), one, two) == {**one, **two}


def test_nothing_joined_is_empty(tmp_path: Path) -> None:
    assert joined(tmp_path) == {}


def test_into_a_folder(tmp_path: Path) -> None:
    assert joined(tmp_path, {"a/x": "one"}, into="usr/share") == {"usr/share/a/x": "one"}


def test_include_and_exclude(tmp_path: Path) -> None:
    tree = {"bin/a": "one", "bin/b": "one", "lib/c": "one", "d": "one"}
    assert joined(tmp_path, tree, include=("bin/**", "d"), exclude=("bin/b",)) == {"bin/a": "one", "d": "one"}


def test_globs_see_paths_of_the_result(tmp_path: Path) -> None:
    assert joined(tmp_path, {"a": "one", "b": "one"}, exclude=("opt/a",), into="opt") == {"opt/b": "one"}


def test_what_is_moved_lies_elsewhere(tmp_path: Path) -> None:
    tree: Tree = {"bin/a": "one", "bin/b": ("link", "a"), "lib/c": "one", "library": "one", "bin/deep/d": "one"}
    move = {"bin": "usr/bin", "bin/a": "opt/a", "lib": "usr/lib", "gone": "x"}
    found = joined(tmp_path, tree, exclude=("bin/deep/**", "usr/**"), move=move)
    assert found == {"opt/a": "one", "usr/bin/b": ("link", "a"), "usr/lib/c": "one", "library": "one"}


@pytest.mark.parametrize(("into", "move"), [("opt/", {}), ("./opt", {}), ("", {"bin/": "opt/bin/"}), ("", {"bin": "./opt//bin"})])
def test_a_slash_too_many_is_none(into: str, move: dict[str, str], tmp_path: Path) -> None:
    tree: Tree = {"bin/a": "one", "bin/deep/b": "one"}
    assert joined(tmp_path, tree, into=into, move=move) == {"opt/bin/a": "one", "opt/bin/deep/b": "one"}


def test_what_is_moved_collides_where_it_lies_then(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as error:
        joined(tmp_path, {"bin/a": "one"}, {"usr/bin/a": "two"}, move={"bin": "usr/bin"})
    assert error.value.message == "p0 and p1 both have usr/bin/a, and they differ"


def test_what_is_left_out_does_not_collide(tmp_path: Path) -> None:
    assert joined(tmp_path, {"a": "one", "b": "one"}, {"a": "two"}, exclude=("a",)) == {"b": "one"}


@pytest.mark.parametrize(("one", "two", "path"), [
    ({"a": "one"}, {"a": "two"}, "a"),
    ({"x/a": "one"}, {"x/a": ("link", "one")}, "x/a"),
    ({"a": ("link", "one")}, {"a": ("link", "two")}, "a"),
    ({"a": "one"}, {"a": ("program", "one")}, "a"),
])
def test_a_collision_names_both(tmp_path: Path, one: Tree, two: Tree, path: str) -> None:
    with pytest.raises(RefusedError) as error:
        joined(tmp_path, one, two)
    assert str(error.value) == (
        f"{path}: p0 and p1 both have {path}, and they differ\n  next: leave it out of one of them with `exclude` in its recipe"
    )


@pytest.mark.parametrize(("one", "two"), [({"a": "one"}, {"a/b": "two"}), ({"a/b": "two"}, {"a": "one"})])
def test_a_file_where_another_has_a_folder(tmp_path: Path, one: Tree, two: Tree) -> None:
    with pytest.raises(RefusedError) as error:
        joined(tmp_path, one, two)
    assert str(error.value) == (
        "a: p0 and p1 both have a, and it is a directory in one of them only\n"
        "  next: leave it out of one of them with `exclude` in its recipe"
    )


@pytest.mark.parametrize("target", ["outside", "/", "b"])
def test_nothing_is_written_through_a_link(tmp_path: Path, target: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = str(outside) if target == "outside" else target
    with pytest.raises(RefusedError, match=r"a: p0 and p1 both have a, and it is a directory in one of them only\n"):
        joined(tmp_path, {"a": ("link", link), "b/x": "one"}, {"a/b": "two"})
    assert list(outside.iterdir()) == []


def test_files_are_hard_links(tmp_path: Path) -> None:
    joined(tmp_path, {"a": "one"})
    assert (tmp_path / "target/a").stat().st_ino == (tmp_path / "p0/a").stat().st_ino


def test_files_are_copied_where_no_hard_link_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    tree: Tree = {"a": "one", "b": ("program", "two"), "c": ("link", "a")}
    assert joined(tmp_path, tree) == tree


def test_added_files_replace_what_is_there(tmp_path: Path) -> None:
    folder = write(tmp_path, {"store": "kept", "bin/sh": ("link", "dash"), "old": "x"})
    os.link(folder / "store", folder / "etc")
    join.add_files(str(folder), files={"etc": "new\n", "deep/er/é": "ü"}, programs={"bin/sh": "#!/x\n"}, links={"old": "new/place"})
    assert read(folder) == {
        "store": "kept",  # the other name of the file that was replaced
        "etc": "new\n", "deep/er/é": "ü", "bin/sh": ("program", "#!/x\n"), "old": ("link", "new/place"),
    }


def test_modes_of_added_files_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        join.add_files(str(tmp_path), files={"a": ""}, programs={"b": ""}, links={})
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o755]


@pytest.mark.parametrize("kind", ["files", "programs", "links"])
def test_added_files_do_not_leave_the_tree(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = write(tmp_path / "tree", {"lib": ("link", str(outside))})
    added: dict[str, dict[str, str]] = {"files": {}, "programs": {}, "links": {}}
    added[kind] = {"lib/x": "text"}
    with pytest.raises(RefusedError) as error:
        join.add_files(str(tree), **added)
    assert list(outside.iterdir()) == []
    assert str(error.value) == (
        "lib/x: cannot be added: lib is not a directory in the joined tree\n"
        "  next: take another path in the recipe, or leave lib out with `exclude`"
    )


def test_an_added_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    write(tmp_path, {"lib/x": "text"})
    with pytest.raises(RefusedError) as error:
        join.add_files(str(tmp_path), files={"lib": "text"}, programs={}, links={})
    assert str(error.value) == (
        "lib: cannot be added: lib is a directory in the joined tree\n"
        "  next: take another path in the recipe, or leave lib out with `exclude`"
    )


def split(tmp_path: Path, tree: Tree, parts: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str | tuple[str, str]]]:
    into = {name: tmp_path / name for name in parts}
    for folder in into.values():
        folder.mkdir()
    (tmp_path / "output").mkdir(exist_ok=True)
    output = write(tmp_path / "output", tree)
    join.split(str(output), parts, {name: str(folder) for name, folder in into.items()})
    return {"out": read(output)} | {name: read(folder) for name, folder in into.items()}


def test_split(tmp_path: Path) -> None:
    tree: Tree = {
        "lib/libz.so": "one", "lib/libz.a": "two", "include/deep/z.h": "one", "lib/debug/z.debug": "two", "share/man": ("link", "x.a"),
    }
    assert split(tmp_path, tree, {"dev": ("**/*.a", "include/**", "share/*"), "debug": ("lib/debug/**",)}) == {
        "out": {"lib/libz.so": "one"},
        "dev": {"lib/libz.a": "two", "include/deep/z.h": "one", "share/man": ("link", "x.a")},
        "debug": {"lib/debug/z.debug": "two"},
    }
    assert sorted(each.name for each in (tmp_path / "output").iterdir()) == ["lib"]  # emptied folders are gone


def test_the_first_part_that_matches_takes_a_file(tmp_path: Path) -> None:
    assert split(tmp_path, {"a": "one"}, {"dev": ("*",), "debug": ("*",)}) == {"out": {}, "dev": {"a": "one"}, "debug": {}}


def test_folders_that_were_empty_before_stay(tmp_path: Path) -> None:
    (tmp_path / "output/var/cache").mkdir(parents=True)
    split(tmp_path, {"a": "one"}, {"dev": ("a",)})
    assert (tmp_path / "output/var/cache").is_dir()


@settings(max_examples=60)
@given(tree=TREES, dev=st.sampled_from(["a/**", "**/b", "*", "**"]))
def test_a_split_loses_nothing(tree: Tree, dev: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = split(Path(folder), tree, {"dev": (dev,), "debug": ("**/c",)})
    assert {**found["out"], **found["dev"], **found["debug"]} == tree
    assert sum(map(len, found.values())) == len(tree)


def test_copy_links(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a/b": ("program", "one"), "c": ("link", "nowhere")})
    (source / "empty").mkdir()
    join.copy_links(str(source), str(tmp_path / "copy"))
    assert read(tmp_path / "copy") == read(source)
    assert (tmp_path / "copy/empty").is_dir()
    assert (tmp_path / "copy/a/b").stat().st_ino == (source / "a/b").stat().st_ino
