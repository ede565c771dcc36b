"""Laying trees over each other: what is seen is the union, with few mounts, and collisions are named."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base.errors import BuildError
from builder.sandbox import Mount, Mounts, plan_mounts, tree_listing
from builder.sandbox.listing import Entry, TreeListing

Tree = Mapping[str, object]  # name -> folder (dict), file content (bytes), or link text (str)


def listing(root: str, tree: Tree) -> TreeListing:
    def at(path: str) -> object:
        found: object = tree
        for part in filter(None, path.split("/")):
            assert isinstance(found, dict)
            found = found[part]
        return found

    def entries(path: str) -> list[Entry]:
        folder = at(path)
        assert isinstance(folder, Mapping)
        return [entry(name, value) for name, value in folder.items()]

    return TreeListing(f"tree {root}", root, entries, at)


def entry(name: str, value: object) -> Entry:
    if isinstance(value, str):
        return Entry(name, "link", value)
    return Entry(name, "directory" if isinstance(value, dict) else "file")


def flat(tree: Tree, prefix: str = "") -> dict[str, object]:
    """path -> content of files and links, None for folders."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        path = f"{prefix}/{name}"
        if isinstance(value, dict):
            found[path] = None
            found |= flat(value, path)
        else:
            found[path] = value
    return found


def seen(plan: Mounts, trees: Mapping[str, Tree]) -> dict[str, object]:
    """What a sandbox with these mounts shows, as `flat` gives it."""
    found: dict[str, object] = {}
    for mount in plan.mounts:
        whole = flat(trees[mount.source.split("/")[1]], "")
        below = mount.source.removeprefix("/" + mount.source.split("/")[1])
        assert below == mount.target, "a mount is at its final path"
        found |= {path: value for path, value in whole.items() if path == below or path.startswith(below + "/")}
    found |= plan.links
    found |= dict.fromkeys(plan.folders)
    for path in list(found):
        while (path := os.path.dirname(path)) != "/":
            assert found.setdefault(path, None) is None
    return found


NAMES = st.sampled_from(["a", "b", "c", "lib"])
LEAVES = st.sampled_from([b"one", b"two", "target", "/other"])
TREES = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8), max_size=4
)


@given(st.lists(TREES, max_size=4))
def test_what_is_seen_is_the_union_or_a_collision_is_named(found: list[Tree]) -> None:
    trees = {str(number): tree for number, tree in enumerate(found)}
    listings = [listing(f"/{number}", tree) for number, tree in trees.items()]
    everything = [flat(tree) for tree in trees.values()]
    union = {path: value for each in everything for path, value in each.items()}
    differing = [path for path in union for each in everything if path in each and each[path] != union[path]]
    try:
        plan = plan_mounts(listings)
    except BuildError as error:
        assert error.where in differing
    else:
        assert not differing
        assert seen(plan, trees) == union
        assert len({each.target for each in plan.mounts}) == len(plan.mounts)


@given(TREES)
def test_a_tree_alone_takes_a_mount_for_each_of_its_top_names(tree: Tree) -> None:
    plan = plan_mounts([listing("/0", tree), listing("/0", tree)])
    assert len(plan.mounts) + len(plan.links) == len(tree)
    assert plan.folders == ()


def test_a_tool_root_with_three_inputs_takes_few_mounts() -> None:
    tools: Tree = {
        "bin": {"sh": b""}, "etc": {"alternatives": {"awk": "/usr/bin/mawk"}}, "lib": {"x86_64-linux-gnu": {"libc.so.6": b""}},
        "lib64": {"ld-linux-x86-64.so.2": "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"}, "sbin": {},
        "usr": {"bin": {"make": b""}, "lib": {"perl": {}}, "share": {"perl": {}}, "sbin": {}, "libexec": {}, "include": {}},
    }  # fmt: skip
    musl: Tree = {"lib": {"ld-musl-x86_64.so.1": "/lib/libc.so", "libc.so": b""}}
    zlib: Tree = {"usr": {"local": {"openresty": {"zlib": {"lib": {"libz.so": b""}}}}}}
    pcre: Tree = {"usr": {"local": {"openresty": {"pcre2": {"lib": {"libpcre2-8.so": b""}}}}}}
    plan = plan_mounts([listing(f"/{i}", each) for i, each in enumerate((tools, musl, zlib, pcre))], {"/etc/passwd"})
    assert [each.target for each in plan.mounts] == [
        "/bin", "/etc/alternatives", "/lib/libc.so", "/lib/x86_64-linux-gnu", "/lib64", "/sbin", "/usr/bin", "/usr/include",
        "/usr/lib", "/usr/libexec", "/usr/local/openresty/pcre2", "/usr/local/openresty/zlib", "/usr/sbin", "/usr/share",
    ]  # fmt: skip
    assert plan.links == {"/lib/ld-musl-x86_64.so.1": "/lib/libc.so"}


def test_only_shared_folders_are_read() -> None:
    asked: list[str] = []

    def tree(root: str, content: Tree) -> TreeListing:
        plain = listing(root, content)

        def entries(path: str) -> Sequence[Entry]:
            asked.append(root + path)
            return plain.entries(path)

        return TreeListing(root, root, entries, plain.content)

    plan_mounts([tree("/0", {"a": {"x": {}}, "b": {"y": {}}}), tree("/1", {"b": {"z": {}}})])
    assert sorted(set(asked)) == ["/0", "/0/b", "/1", "/1/b"]


def test_the_sandboxs_own_files_win_and_their_folder_is_laid_out() -> None:
    plan = plan_mounts([listing("/0", {"etc": {"passwd": b"root", "ssl": {}}})], {"/etc/passwd"})
    assert plan.mounts == (Mount("/0/etc/ssl", "/etc/ssl"),)


@pytest.mark.parametrize(
    ("one", "other", "where", "message"),
    [
        ({"a": {"f": b"1"}}, {"a": {"f": b"2"}}, "/a/f", "different files in tree /0 and tree /1"),
        ({"a": "x"}, {"a": "y"}, "/a", "different links in tree /0 and tree /1"),
        ({"a": "x"}, {"a": {}}, "/a", "a link in tree /0 and a directory in tree /1"),
        ({"a": {"b": {}}}, {"a": {"b": b"x"}}, "/a/b", "a directory in tree /0 and a file in tree /1"),
    ],
)
def test_a_collision_names_both_trees_and_the_path(one: Tree, other: Tree, where: str, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        plan_mounts([listing("/0", one), listing("/1", other)])
    assert str(caught.value) == (
        f"{where}: two inputs of the build hold the same path: {message}\n"
        "  next: only one of the two may have it: remove it from one of them, or move it"
    )


@pytest.mark.parametrize("tree", [{"tmp": {"x": b""}}, {"build": b""}, {"dev": "x"}])
def test_a_tree_may_not_fill_the_sandboxs_own_folders(tree: Tree) -> None:
    with pytest.raises(BuildError) as caught:
        plan_mounts([listing("/0", tree)])
    assert str(caught.value) == (
        f"/{next(iter(tree))}: tree /0 holds something at a path that the sandbox makes itself\n"
        "  next: a build has its own there: move it elsewhere in the input"
    )


def test_a_file_where_the_sandbox_needs_a_folder_is_refused() -> None:
    with pytest.raises(BuildError, match="holds something at a path that the sandbox makes itself"):
        plan_mounts([listing("/0", {"etc": "usr/etc"})], {"/etc/passwd"})


def test_empty_folders_of_the_sandboxs_own_names_are_left_out() -> None:
    assert plan_mounts([listing("/0", {"tmp": {}, "proc": {}, "dev": {}})]) == Mounts(mounts=(), links={}, folders=())


def test_trees_on_disk_are_listed_and_compared(tmp_path: Path) -> None:
    for name, mode in (("one", 0o644), ("same", 0o600), ("run", 0o755)):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d/f").write_bytes(b"x")
        (tmp_path / name / "d/f").chmod(mode)
        (tmp_path / name / "l").symlink_to("d")
    one, same, run = (tree_listing(str(tmp_path / name), name) for name in ("one", "same", "run"))
    plan = plan_mounts([one, same])
    assert plan == Mounts(mounts=(Mount(f"{tmp_path}/one/d/f", "/d/f"),), links={"/l": "d"}, folders=())
    with pytest.raises(BuildError, match="different files in one and run"):
        plan_mounts([one, run])


def test_listings_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert tree_listing(str(tmp_path)).entries("") == (Entry("a", "directory"),)
    (tmp_path / "b").mkdir()
    assert tree_listing(str(tmp_path)).entries("") == (Entry("a", "directory"),)
