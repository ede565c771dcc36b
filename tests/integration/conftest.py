"""Fixtures of the worlds. All of these tests need the tool set from a mirror, so all are marked `network`."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from integration import world
from integration.world import ENVIRON, World

# What `nohup` or a shell's `&` hands down to all that is started: signals that are ignored from the start on.
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("long") is None:
            item.add_marker(pytest.mark.network)


def _settings() -> dict[str, str]:
    """What of the caller's environment says where mirrors are."""
    path = Path(ENVIRON.get("XDG_CONFIG_HOME") or Path(ENVIRON.get("HOME", "/")) / ".config") / "builder" / "settings.toml"
    found = {name: text for name, text in ENVIRON.items() if name.startswith(("BUILDER_MIRROR_", "PIP_", "SSL_", "REQUESTS_"))}
    found |= {name: text for name, text in ENVIRON.items() if name.lower().endswith("_proxy")}
    return found | ({"BUILDER_SETTINGS": str(path)} if path.exists() else {})


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world that has fetched and built the small tool set; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tools"
    made = World(folder / "project", folder / "home", _settings())
    with FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            world.with_tools(made.root)
            made.image("toolset")
            made.home.mkdir(exist_ok=True)
            made.ok("build", "toolset")
            made.keep()
            made.ok("gc")  # removes the unpacked sources
            (folder / "ready").touch()
    return made


@pytest.fixture
def here(tools: World, tmp_path: Path) -> Iterator[World]:
    """A world with the tool set in recipes and store, and nothing to build yet."""
    made = World(tmp_path / "project", tmp_path / "home", origin=tools.store_path)
    world.with_tools(made.root)
    world.link(tools.store_path, made.store_path)
    yield made
    world.free(tmp_path)
