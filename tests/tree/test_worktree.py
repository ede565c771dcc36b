"""Folders of the repository as sources: whole, or the files that globs name."""

import os
from pathlib import Path

import pytest
from small import Small, make

from builder.base.errors import UsageError
from builder.tree import nar, worktree


@pytest.fixture
def library(tmp_path: Path) -> Path:
    made = tmp_path / "library"
    for path in ("cache.lua", "cache/ipc.lua", "lock.lua", "deep/er/x.lua"):
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(path)
    (made / "cache.lua").chmod(0o755)
    (made / "cache/link").symlink_to("nowhere")
    return made


def listed(top: Path) -> list[str]:
    return sorted(str(each.relative_to(top)) for each in top.rglob("*"))


def test_a_whole_folder(library: Path, tmp_path: Path) -> None:
    worktree.copy(str(library.parent), "library", str(tmp_path / "copy"))
    assert listed(tmp_path / "copy") == listed(library)
    assert worktree.tree(str(library.parent), "library") == nar.hash_tree(str(library)) == nar.hash_tree(str(tmp_path / "copy"))


def test_the_files_that_are_included(library: Path, tmp_path: Path) -> None:
    include = ("cache.lua", "cache/**")
    worktree.copy(str(library.parent), "library", str(tmp_path / "copy"), include)
    assert listed(tmp_path / "copy") == ["cache", "cache.lua", "cache/ipc.lua", "cache/link"]
    assert os.access(tmp_path / "copy/cache.lua", os.X_OK)
    assert os.readlink(tmp_path / "copy/cache/link") == "nowhere"
    before = worktree.tree(str(library.parent), "library", include)
    assert before == nar.hash_tree(str(tmp_path / "copy"))
    (library / "lock.lua").write_text("changed")
    assert worktree.tree(str(library.parent), "library", include) == before
    (library / "cache/ipc.lua").write_text("changed")
    assert worktree.tree(str(library.parent), "library", include) != before


def test_what_is_not_there(library: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        worktree.tree(str(library.parent), "library", ("cash.lua", "cash/**"))
    assert str(error.value) == (
        f"{library}: nothing in it is like cash.lua or cash/**\n  next: correct `include` in the recipe that names the directory"
    )
    for include in ((), ("**",)):
        with pytest.raises(UsageError) as error:
            worktree.tree(str(tmp_path), "gone", include)
        hint = "a recipe names it as a source; correct its `folder`"
        assert str(error.value) == f"{tmp_path}/gone: there is no such directory\n  next: {hint}"


@pytest.mark.parametrize("include", [(), ("**",)])
@pytest.mark.parametrize("name", ["link", "link/deep"])
def test_a_link_out_of_the_project(library: Path, tmp_path: Path, name: str, include: tuple[str, ...]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "link").symlink_to(library)
    with pytest.raises(UsageError) as error:
        worktree.tree(str(project), name, include)
    assert str(error.value) == (
        f"{project}/{name}: it is a link out of the project, to {library}{name.removeprefix('link')}\n"
        "  next: put the directory itself in the project: what lies outside is not pinned by it"
    )
    with pytest.raises(UsageError):
        worktree.copy(str(project), name, str(tmp_path / "copy"), include)


@pytest.mark.parametrize("include", [(), ("**",)])
def test_a_link_in_the_project_is_the_folder_that_it_leads_to(library: Path, tmp_path: Path, include: tuple[str, ...]) -> None:
    (tmp_path / "link").symlink_to("library")
    (tmp_path / "root").symlink_to(".")
    before = worktree.tree(str(tmp_path), "library", include)
    assert worktree.tree(str(tmp_path), "link", include) == worktree.tree(str(tmp_path / "root"), "link", include) == before
    worktree.copy(str(tmp_path), "link", str(tmp_path / "copy"), include)
    assert nar.hash_tree(str(tmp_path / "copy")) == before


def test_a_change_elsewhere_in_the_folder_rebuilds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project: Small = make(tmp_path / "project", capsys)
    monkeypatch.chdir(project.root)
    project.write("files/hello/other", "of somebody else")
    project.replace("recipes/hello.toml", 'folder = "files/hello"\n', 'folder = "files/hello"\ninclude = ["greet*"]\n')
    assert project.run("build", "--json").json[0]["realised"] == ["base 1", "hello 1", "world 2"]
    lock = (project.root / "lock.toml").read_text()
    assert 'folder = "files/hello"\ninclude = ["greet*"]\n' in lock
    project.write("files/hello/other", "changed")
    assert project.run("build", "--json").json[0]["realised"] == []
    assert project.run("audit", "--profile", "small").code == 0
    project.write("files/hello/greeting", "changed")
    assert project.run("audit", "--profile", "small", "--json").json[0]["rule"] == "stale-output"
    assert project.run("build", "--json").json[0]["realised"] == ["hello 1", "world 2"]
    (project.root / "files/hello/greeting").unlink()
    answer = project.run("build")
    assert (answer.code, answer.err) == (2, (
        f"builder: {project.root}/files/hello: nothing in it is like greet*\n"
        "  next: correct `include` in the recipe that names the directory\n"
    ))
