"""Projects: what is wrong between files, all problems at once, and that remembered files change nothing but the time."""

import os
import stat
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import synthetic
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_files import problems_of, write

import builder
from builder.base.order import CycleFoundError, topological
from builder.cache import memo
from builder.recipe import project, recipe
from builder.recipe.project import Project

NAMED_P = 'name = "p"\n'


def wait_a_tick() -> None:
    """Files younger than a tick of the file system's clock are not remembered."""
    time.sleep(0.03)


def test_a_project_is_its_packages_tools_images_and_profiles(tmp_path: Path) -> None:
    found = project.load(str(write(tmp_path, {
        "zlib": "", "nginx": 'requires = ["zlib 1"]', "tools/make": "",
        "images/web": 'name = "web"\npackages = ["nginx"]\n', "images/none": 'name = "none"\npackages = ["nginx"]\nprofiles = ["b"]\n',
        "profiles/a": 'name = "a"\n', "profiles/b": 'name = "b"\n',
    })))
    assert found.root == str(tmp_path)
    assert list(found.recipes) == ["make", "nginx", "zlib"]
    assert found.recipes["make"].path == "recipes/tools/make.toml"
    assert (list(found.images), list(found.profiles)) == (["none", "web"], ["a", "b"])
    assert (found.profiles_of("web"), found.profiles_of("none")) == (("a", "b"), ("b",))
    assert found.recipes.digest("zlib") == found.recipes["zlib"].digest
    assert "zlib" in found.recipes
    assert "perl" not in found.recipes
    assert len(found.recipes) == 3


def test_other_files_in_the_folders_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"zlib": ""})
    (tmp_path / "recipes" / "README.md").write_text("x")
    (tmp_path / "recipes" / ".#zlib.toml").write_text("x")
    assert list(project.load(str(tmp_path)).recipes) == ["zlib"]


def test_a_folder_without_recipes_is_no_project(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {}) == [
        f"recipes: there is no such directory in {tmp_path} (run builder in a project's directory, or name it with --root)",
    ]


def test_a_file_that_is_not_toml_says_line_and_column(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"a": 'name = "a"\nversion == 1\n'}) == [
        "recipes/a.toml: line 2, column 10: is not TOML: Invalid value (see https://toml.io)",
    ]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000 + "\n", "a = " + "9" * 5000 + "\n"], ids=["levels", "digits"])
def test_a_file_that_python_cannot_read_is_a_problem(tmp_path: Path, text: str) -> None:
    [problem] = problems_of(tmp_path, {"a": text})
    assert problem.startswith("recipes/a.toml: is not TOML that can be read: ")


def test_a_file_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"a": ""})
    (tmp_path / "recipes" / "a.toml").write_bytes(b'name = "\xff"\n')
    assert problems_of(tmp_path, {}) == ["recipes/a.toml: is not UTF-8 text at byte 8 (TOML files are UTF-8)"]


def test_a_link_to_nowhere_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"a": ""})
    (tmp_path / "recipes" / "b.toml").symlink_to("nowhere")
    assert problems_of(tmp_path, {}) == ["recipes/b.toml: cannot be read: No such file or directory"]


def test_a_required_recipe_must_exist(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"zlib": "", "nginx": 'requires = ["zilb"]', "b": 'build-requires = ["quux"]'}) == [
        "recipes/b.toml: build-requires[0]: there is no recipe 'quux' (known here: b, nginx, zlib)",
        "recipes/nginx.toml: requires[0]: there is no recipe 'zilb' (did you mean 'zlib'?)",
    ]


def test_tools_must_exist(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"a": 'name = "a"\n[[version]]\nversion = "1"\n'}) == [
        "recipes/a.toml: tools: there is no recipe 'toolset' (known here: a)",
    ]


def test_requirements_of_versions_and_features_are_checked_too(tmp_path: Path) -> None:
    text = 'name = "a"\ntools = ""\n[feature.x]\nrequires = ["b"]\n[[version]]\nversion = "1"\nbuild-requires = ["c", "a 2"]\n'
    assert problems_of(tmp_path, {"a": text}) == [
        "recipes/a.toml: version[0].build-requires[0]: there is no recipe 'c' (known here: a)",
        "recipes/a.toml: version[0].build-requires[1]: no version of a is '2' (versions known: 1)",
        "recipes/a.toml: feature.x.requires[0]: there is no recipe 'b' (known here: a)",
        "recipes/a.toml: requires: these recipes need each other: a -> a "
        "(take one of these requirements out; a package cannot be built before itself)",
    ]


def test_some_version_must_satisfy_a_requirement(tmp_path: Path) -> None:
    openssl = 'name = "openssl"\ntools = ""\n[[version]]\nversion = "3.5.7"\n[[version]]\nversion = "3.0.20"\n'
    assert problems_of(tmp_path, {"openssl": openssl, "a": 'requires = ["openssl 1.1.* | 3.1.* !3.0.20"]'}) == [
        "recipes/a.toml: requires[0]: no version of openssl is '1.1.* | 3.1.* !3.0.20' (versions known: 3.5.7, 3.0.20)",
    ]


def test_a_required_feature_must_exist(tmp_path: Path) -> None:
    nginx = 'name = "nginx"\ntools = ""\n[feature.lua-var]\n[[version]]\nversion = "1"\n'
    files = {"nginx": nginx, "b": 'requires = ["nginx[lua]"]', "c": 'requires = ["b[x]"]', "d": 'requires = ["nginx[lua-var]"]'}
    assert problems_of(tmp_path, files) == [
        "recipes/b.toml: requires[0]: nginx has no feature 'lua' (did you mean 'lua-var'?)",
        "recipes/c.toml: requires[0]: b has no feature 'x' (add [feature.x] to recipes/b.toml)",
    ]


def test_what_another_recipe_provides_can_be_required(tmp_path: Path) -> None:
    bundle = 'name = "bundle"\ntools = ""\n[[version]]\nversion = "1"\nprovides = { core = "0.1.31" }\n'
    files = {"bundle": bundle, "a": 'requires = ["core 0.1.*"]', "b": 'requires = ["core 2"]'}
    assert problems_of(tmp_path, files) == ["recipes/b.toml: requires[0]: no version of core is '2' (versions known: 0.1.31)"]


def test_a_cycle_is_named_whole_from_its_smallest_name(tmp_path: Path) -> None:
    files = {name: f'requires = ["{other}"]' for name, other in ("ca", "bc", "da", "ee")} | {"a": 'build-requires = ["b"]'}
    hint = "(take one of these requirements out; a package cannot be built before itself)"
    assert problems_of(tmp_path, files) == [
        f"recipes/a.toml: requires: these recipes need each other: a -> b -> c -> a {hint}",
        f"recipes/e.toml: requires: these recipes need each other: e -> e {hint}",
    ]


def test_a_cycle_through_the_tools_is_one(tmp_path: Path) -> None:
    make = 'name = "make"\ntools = "sh"\n[[version]]\nversion = "1"\n'
    assert problems_of(tmp_path, {"tools/make": make, "tools/sh": 'requires = ["make"]'}) == [
        "recipes/tools/make.toml: requires: these recipes need each other: make -> sh -> make "
        "(take one of these requirements out; a package cannot be built before itself)",
    ]


def test_versions_that_could_need_each_other_are_left_to_the_resolver(tmp_path: Path) -> None:
    a = 'name = "a"\ntools = ""\n[[version]]\nversion = "1"\n[[version]]\nversion = "2"\nrequires = ["b"]\n'
    assert list(project.load(str(write(tmp_path, {"a": a, "b": 'requires = ["a"]'}))).recipes) == ["a", "b"]


def test_one_name_is_in_one_folder_only(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"make": "", "tools/make": ""}) == [
        "recipes/tools/make.toml: recipes/make.toml has this name too (packages and tools share their names; rename one)",
    ]


def test_an_image_may_be_called_like_a_package(tmp_path: Path) -> None:
    files = {"a": "", "images/a": 'name = "a"\npackages = ["a"]\n', "profiles/a": 'name = "a"\n'}
    assert list(project.load(str(write(tmp_path, files))).images) == ["a"]


def test_images_and_profiles_are_checked_against_recipes(tmp_path: Path) -> None:
    files = {
        "bundle": 'name = "bundle"\ntools = ""\n[[version]]\nversion = "1"\nprovides = { core = "1" }\n',
        "zlib": "",
        "images/web": 'name = "web"\npackages = ["zlip", "zlib 2"]\nprofiles = ["smal"]\n',
        "profiles/small": """
name = "small"
base = ["msul"]
[constraints]
zlib = "3.*"
perl = "5"
[providers]
cor = "bundle"
zlib = "zlib"
core = "bundel"
[features]
zlib = ["fast"]
""",
    }
    assert problems_of(tmp_path, files) == [
        "recipes/profiles/small.toml: base[0]: there is no recipe 'msul' (known here: bundle, core, zlib)",
        "recipes/profiles/small.toml: constraints.zlib: no version of zlib is '3.*' (versions known: 1)",
        "recipes/profiles/small.toml: constraints.perl: there is no recipe 'perl' (known here: bundle, core, zlib)",
        "recipes/profiles/small.toml: features.zlib: zlib has no feature 'fast' (add [feature.fast] to recipes/zlib.toml)",
        "recipes/profiles/small.toml: providers.cor: no version of bundle provides cor (did you mean 'core'?)",
        "recipes/profiles/small.toml: providers.zlib: no version of zlib provides zlib (add 'provides' to a version in recipes/zlib.toml)",
        "recipes/profiles/small.toml: providers.core: there is no recipe 'bundel' (did you mean 'bundle'?)",
        "recipes/images/web.toml: packages[0]: there is no recipe 'zlip' (did you mean 'zlib'?)",
        "recipes/images/web.toml: packages[1]: no version of zlib is '2' (versions known: 1)",
        "recipes/images/web.toml: profiles[0]: there is no profile 'smal' (did you mean 'small'?)",
    ]


def test_an_image_needs_a_profile(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"a": "", "images/a": 'name = "a"\npackages = ["a"]\n'}) == [
        "recipes/images/a.toml: there is no profile that it could resolve in (add recipes/profiles/NAME.toml)",
    ]


def test_all_problems_of_all_files_come_at_once_and_broken_files_are_blamed_once(tmp_path: Path) -> None:
    files = {
        "a": "x = ", "b": 'requires = ["a", "c", "nope"]', "c": "sumary = 1",
        "images/i": 'name = "i"\npackages = ["a"]\nprofiles = ["p"]\n',
        "profiles/p": 'name = "q"\n', "profiles/r": 'name = "r"\nproviders = { x = "c" }\n',
    }
    assert problems_of(tmp_path, files) == [
        "recipes/a.toml: line 3, column 5: is not TOML: Invalid value (see https://toml.io)",
        "recipes/c.toml: sumary: unknown key (did you mean 'summary'?)",
        "recipes/profiles/p.toml: name: is 'q' but the file is p.toml (make them the same)",
        "recipes/b.toml: requires[2]: there is no recipe 'nope' (known here: a, b, c)",
    ]


# ---- what is remembered


def test_remembered_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"zlib": "", "nginx": 'requires = ["zlib"]', "images/i": 'name = "i"\npackages = ["nginx"]\n', "profiles/p": NAMED_P}
    root, cache = str(write(tmp_path / "p", files)), str(tmp_path / "cache")
    wait_a_tick()
    first = project.load(root, cache_dir=cache)
    monkeypatch.setattr(tomli, "loads", lambda text: pytest.fail(f"read again: {text}"))
    monkeypatch.setattr(recipe, "read", lambda *_, **__: pytest.fail("checked again"))
    again = project.load(root, cache_dir=cache)
    assert same(first, again)


def same(one: Project, two: Project) -> bool:
    return (dict(one.recipes), one.images, one.profiles) == (dict(two.recipes), two.images, two.profiles)


def test_a_changed_file_alone_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = write(tmp_path / "p", {"zlib": "", "nginx": 'requires = ["zlib"]'}), str(tmp_path / "cache")
    wait_a_tick()
    project.load(str(root), cache_dir=cache)
    write(root, {"zlib": 'summary = "new"'})
    texts: list[str] = []
    real = tomli.loads

    def loads(text: str) -> dict[str, Any]:
        texts.append(text)
        return real(text)

    monkeypatch.setattr(tomli, "loads", loads)
    assert project.load(str(root), cache_dir=cache).recipes["zlib"].summary == "new"
    assert len(texts) == 1


def test_a_change_that_breaks_a_remembered_file_is_found(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "p", {"zlib": "", "nginx": 'requires = ["zlib 1"]'}), str(tmp_path / "cache")
    wait_a_tick()
    project.load(str(root), cache_dir=cache)
    change = {"zlib": 'name = "zlib"\ntools = ""\n[[version]]\nversion = "2"\n'}
    expected = ["recipes/nginx.toml: requires[0]: no version of zlib is '1' (versions known: 2)"]
    assert problems_of(root, change, cache) == expected
    assert problems_of(root, {}, cache) == expected, "a broken project is not remembered as sound"


def test_a_removed_file_is_missed(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "p", {"zlib": "", "nginx": 'requires = ["zlib"]'}), str(tmp_path / "cache")
    wait_a_tick()
    project.load(str(root), cache_dir=cache)
    (root / "recipes" / "zlib.toml").unlink()
    assert problems_of(root, {}, cache) == ["recipes/nginx.toml: requires[0]: there is no recipe 'zlib' (known here: nginx)"]


def test_a_removed_profile_is_missed(tmp_path: Path) -> None:
    files = {"a": "", "images/a": 'name = "a"\npackages = ["a"]\nprofiles = ["p"]\n', "profiles/p": 'name = "p"\n'}
    root, cache = write(tmp_path / "p", files), str(tmp_path / "cache")
    wait_a_tick()
    project.load(str(root), cache_dir=cache)
    (root / "recipes" / "profiles" / "p.toml").unlink()
    assert problems_of(root, {}, cache) == [
        "recipes/images/a.toml: profiles[0]: there is no profile 'p' (there are no profiles in recipes/profiles)",
    ]


def test_a_young_file_is_not_remembered_since_it_could_change_unseen(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "p", {"a": ""}), tmp_path / "cache"
    target = root / "recipes" / "a.toml"
    before = target.stat()
    project.load(str(root), cache_dir=str(cache))
    target.write_text(target.read_text().replace('"1"', '"2"'))
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.load(str(root), cache_dir=str(cache)).recipes["a"].versions[0].version == "2"


def test_a_damaged_memory_is_forgotten(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "p", {"a": ""}), tmp_path / "cache"
    wait_a_tick()
    first = project.load(str(root), cache_dir=str(cache))
    [path] = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1], whole[:-3] + b"x" + whole[-2:], os.urandom(100)):
        path.write_bytes(damaged)
        assert same(project.load(str(root), cache_dir=str(cache)), first)
        assert path.read_bytes() == whole, "it is written anew"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {"a": ""})
    (tmp_path / "cache").write_text("not a folder")
    wait_a_tick()
    assert list(project.load(str(root), cache_dir=str(tmp_path / "cache")).recipes) == ["a"]


def test_a_memory_of_other_code_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo.write(str(tmp_path), "x", [1, {"a": None}])
    assert memo.read(str(tmp_path), "x") == [1, {"a": None}]
    monkeypatch.setattr(memo, "code_stamp", lambda: "other")
    assert memo.read(str(tmp_path), "x") is None
    assert memo.read(None, "x") is None


@pytest.mark.parametrize("name", ["new.py", "part/new.py", "part/deeper/new.py"])
def test_code_anywhere_in_the_package_counts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part/deeper").mkdir(parents=True)
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(builder, "__file__", str(tmp_path / "__init__.py"))
    stamp_of = memo.code_stamp.__wrapped__
    before = stamp_of()
    assert stamp_of() == before
    (tmp_path / name).touch()
    assert stamp_of() != before


def test_what_is_needed_comes_first() -> None:
    assert topological({"a": ["b", "c"], "b": ["c"], "c": ["gone"]}) == ["c", "b", "a"]
    with pytest.raises(CycleFoundError) as caught:
        topological({"d": ["c"], "c": ["b"], "b": ["a"], "a": ["c"]})
    assert caught.value.cycle == ["a", "c", "b", "a"]


@given(st.dictionaries(st.integers(0, 7).map(str), st.lists(st.integers(0, 7).map(str), max_size=3)))
def test_an_order_keeps_all_needs_or_a_true_cycle_is_found(needs: dict[str, list[str]]) -> None:
    try:
        order = topological(needs)
    except CycleFoundError as error:
        cycle = error.cycle
        assert cycle[0] == cycle[-1] == min(cycle)
        assert all(b in needs[a] for a, b in pairwise(cycle))
    else:
        assert sorted(order) == sorted(needs)
        assert all(order.index(each) < order.index(name) for name in needs for each in needs[name] if each in needs)


def test_a_long_chain_needs_no_deep_stack() -> None:
    order = topological({str(i): [str(i + 1)] for i in range(5000)})
    assert order[0] == "4999"


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 60))
def test_the_benchmarks_projects_are_sound(tmp_path_factory: pytest.TempPathFactory, n: int) -> None:
    root = tmp_path_factory.mktemp("synthetic")
    made = synthetic.write(root, n)
    found = project.load(str(root))
    assert len(found.recipes) == n + 1
    before = found.recipes[synthetic.name(made.leaf)]
    synthetic.touch(root, made, made.leaf, "again")
    after = project.load(str(root)).recipes[synthetic.name(made.leaf)]
    assert before.digest != after.digest
    assert before.versions[0].build_requires == after.versions[0].build_requires


@pytest.mark.parametrize(("one", "its", "other", "place", "folder", "owner"), [
    ("a", ["d", "b-c"], "a-b", ["d", "c"], "a-b-c", "image 'a' in profile 'b-c'"),
    ("a", ["d", "b"], "a-b", ["d"], "a-b", "image 'a' in profile 'b'"),
    ("x", ["d"], "run", ["d"], "run", "the builder itself"),
])  # fmt: skip
def test_two_images_with_one_folder(
    tmp_path: Path, one: str, its: list[str], other: str, place: list[str], folder: str, owner: str
) -> None:
    files = {f"profiles/{name}": f'name = "{name}"\n' for name in {*its, *place}} | {"p": ""}
    files |= {f"images/{name}": f'name = "{name}"\npackages = ["p"]\nprofiles = {in_}\n' for name, in_ in ((one, its), (other, place))}
    (problem,) = problems_of(tmp_path, files)
    assert problem == (
        f"recipes/images/{other}.toml: name: image '{other}' in profile '{place[-1]}' would be written to out/{folder}, "
        f"as {owner} is (rename the image)"
    )
    (tmp_path / f"recipes/images/{other}.toml").unlink()  # the remedy
    project.load(str(write(tmp_path, {"images/renamed": f'name = "renamed"\npackages = ["p"]\nprofiles = {place}\n'})))
