"""The user's settings: file, environment, defaults, and every problem at once."""

import os
from pathlib import Path

import platformdirs
import pytest

from builder.base import settings
from builder.base.errors import MachineError, RecipeError
from builder.base.settings import Settings

FULL = """
store = "~/big"
jobs = 2
cores = 8
distdirs = ["/usb", "~/archives/"]
[mirrors]
debian = ["https://a.example/debian", "http://b.example"]
"""


def write(folder: Path, text: str) -> dict[str, str]:
    """An environment with a settings file."""
    path = folder / "settings.toml"
    path.write_text(text)
    return {"HOME": "/home/me", "BUILDER_SETTINGS": str(path)}


def test_defaults_follow_the_base_directory_specification() -> None:
    assert settings.load({"HOME": "/home/me"}) == Settings(
        cache_dir="/home/me/.cache/builder", store="/home/me/.cache/builder/store",
    )
    environ = {"HOME": "/home/me", "XDG_CACHE_HOME": "/fast", "XDG_CONFIG_HOME": "not/absolute"}
    assert settings.load(environ).store == "/fast/builder/store"
    assert settings.path_of(environ) == "/home/me/.config/builder/settings.toml"


@pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": "/x/cache", "XDG_CONFIG_HOME": "/x/config"}])
def test_the_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BUILDER_SETTINGS", raising=False)
    monkeypatch.delenv("BUILDER_STORE", raising=False)
    monkeypatch.setenv("HOME", "/nobody/at/home")
    told = settings.load()
    assert told.cache_dir == str(platformdirs.user_cache_path("builder"))
    assert os.path.dirname(settings.path_of()) == str(platformdirs.user_config_path("builder"))


def test_all_of_the_file(tmp_path: Path) -> None:
    environ = write(tmp_path, FULL)
    assert settings.load(environ) == Settings(
        cache_dir="/home/me/.cache/builder",
        store="/home/me/big",
        mirrors={"debian": ("https://a.example/debian", "http://b.example")},
        distdirs=("/usb", "/home/me/archives"),
        jobs=2,
        cores=8,
    )


def test_the_environment_wins(tmp_path: Path) -> None:
    environ = write(tmp_path, FULL)
    assert settings.load({**environ, "BUILDER_STORE": "/other"}).store == "/other"
    assert settings.load({**environ, "BUILDER_STORE": "~/other"}).store == "/home/me/other"


def test_the_file_in_its_usual_place(tmp_path: Path) -> None:
    (tmp_path / "builder").mkdir()
    (tmp_path / "builder" / "settings.toml").write_text("jobs = 3\n")
    assert settings.load({"HOME": "/home/me", "XDG_CONFIG_HOME": str(tmp_path)}).jobs == 3


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(RecipeError) as caught:
        settings.load(environ)
    return str(caught.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    environ = write(tmp_path, """
store = "relative"
jobs = 0
core = 1
distdirs = ["/a", 1]
[mirrors]
debian = ["ftp://a", "https://b"]
Debian = []
""")
    path = tmp_path / "settings.toml"
    assert refused({**environ, "BUILDER_STORE": "here"}).splitlines() == [
        f"{path}: store: 'relative' is not an absolute path (like /big/builder or ~/builder)",
        f"{path}: jobs: must be at least 1, not 0",
        f"{path}: core: unknown key (did you mean 'cores'?)",
        f"{path}: distdirs[1]: must be text, not a whole number (like /big/builder or ~/builder)",
        f"{path}: mirrors.Debian: the key is not of the right form (it must match [a-z0-9-]+)",
        f"{path}: mirrors.debian[0]: 'ftp://a' is not of the right form (https://HOST/PATH of the mirror's root)",
        f"{path}: mirrors.Debian: must have at least 1 of them",
        "BUILDER_STORE: 'here' is not an absolute path (like /big/builder or ~/builder)",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    environ = write(tmp_path, "jobs = \n")
    path = tmp_path / "settings.toml"
    assert refused(environ) == f"{path}: is not TOML: Invalid value (at line 1, column 8)"
    path.write_bytes(b"\xff")
    assert refused(environ) == f"{path}: could not be read: it is not UTF-8"
    path.unlink()
    assert refused(environ) == f"{path}: could not be read: No such file or directory"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as Python does for a number that no passwd file has
    with pytest.raises(MachineError, match="next: set HOME, or XDG_CACHE_HOME and XDG_CONFIG_HOME"):
        settings.load({})
    assert settings.load({"XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "/d"}).store == "/c/builder/store"
    assert settings.load({"HOME": "/h"}).store == "/h/.cache/builder/store"
