"""Files of a project are regular files of a bounded size, whatever a checkout has in their place."""

import os
from pathlib import Path

import pytest
from sample import Sample

from builder.base import textfile
from builder.base.errors import LockError, RecipeError
from builder.base.settings_file import read as read_settings
from builder.resolve.workspace import Workspace


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").symlink_to("a")
    assert textfile.read(str(tmp_path / "b")) == b"text"
    assert textfile.read(str(tmp_path / "a"), largest=4) == b"text"


def test_what_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"12345")
    for name, said in (("pipe", "it is no regular file"), ("zero", "it is no regular file"), ("large", "it has more than 4 bytes"),
                       (".", "Is a directory"), ("absent", "No such file or directory")):
        with pytest.raises(OSError) as caught:
            textfile.read(str(tmp_path / name), largest=4)
        assert caught.value.strerror == said


@pytest.mark.parametrize("kind", ["nothing", "file", "link"])
def test_replaced_in_one_step_or_not_at_all(tmp_path: Path, kind: str) -> None:
    target, user = tmp_path / "a", tmp_path / "user"
    user.write_text("precious")
    (tmp_path / "half").symlink_to(user)
    match kind:
        case "file":
            target.write_text("old")
        case "link":
            target.symlink_to(user)
    with pytest.raises(KeyboardInterrupt), textfile.replaced(str(target), str(tmp_path / "half")) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (target.exists(), target.is_symlink()) == (kind != "nothing", kind == "link")
    umask = os.umask(0)
    with textfile.replaced(str(target), str(tmp_path / "half"), durable=True) as file:
        file.write(b"new")
    os.umask(umask)
    assert target.stat().st_mode & 0o7777 == 0o644
    assert (target.is_symlink(), target.read_text(), user.read_text()) == (False, "new", "precious")
    assert sorted(os.listdir(tmp_path)) == ["a", "user"]


@pytest.mark.parametrize("path", ["recipes/zlib.toml", "recipes/images/web.toml", "recipes/profiles/extra.toml"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_recipe_image_or_profile_that_never_ends(project: Sample, path: str, kind: str) -> None:
    place = project.root / path
    place.unlink()
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    with pytest.raises(RecipeError) as caught:
        project.project()
    said = "is a link out of the project" if kind == "device" else "cannot be read: it is no regular file"
    assert f"{path}: {said}" in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_a_lock_that_never_ends(project: Sample, kind: str) -> None:
    place = project.root / "lock.toml"
    place.unlink()
    if kind == "sparse":
        place.touch()
        os.truncate(place, 1 << 40)
    else:
        os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    said = {
        "sparse": "cannot be read: it has more than", "pipe": "cannot be read: it is no regular file",
        "device": "is a link out of the project",
    }  # fmt: skip
    with pytest.raises(LockError, match=f"lock.toml: {said[kind]}"):
        Workspace.open(str(project.root), str(project.root / "cache"))
    assert [problem.message.startswith(said[kind]) for problem in project.context().problems] == [True]


def test_settings_that_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    problems: list[object] = []
    assert read_settings(str(tmp_path / "settings.toml"), problems) == {}  # type: ignore[arg-type]
    assert "could not be read: it is no regular file" in str(problems[0])
