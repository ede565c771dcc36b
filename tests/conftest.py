"""What tests share: folders of their own in place of the user's, golden files, a sample project, and settings of hypothesis."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import sample

from builder.store import Store

GOLDEN = Path(__file__).parent / "golden"

# Workers share few cores: how long one example takes says nothing here.
hypothesis.settings.register_profile("builder", deadline=None)
hypothesis.settings.load_profile("builder")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "rewrite tests/golden/, as BUILDER_ACCEPT=1 does: the difference is the review"
    parser.addoption("--accept", action="store_true", help=text)


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own; nothing of the user's settings, store or cache is read or written.

    A test that needs a network (attacks do) keeps the user's home, where a package index or a mirror may be named.
    """
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
    monkeypatch.delenv("BUILDER_STORE", raising=False)
    if not any(request.node.get_closest_marker(name) for name in ("network", "attack")):
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
        for name in [each for each in os.environ if each.startswith("BUILDER_") and each != "BUILDER_ACCEPT"]:
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of that name in tests/golden/, or with `--accept` write it there."""
    accept = request.config.getoption("--accept") or os.environ.get("BUILDER_ACCEPT") == "1"

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if accept:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else "(there is no such file yet)\n"
        assert text == expected, f"tests/golden/{name} says otherwise; if this is wanted, run `pytest --accept` and review the difference"

    return check


@pytest.fixture(scope="session")
def sample_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample project and its store, made once. Nobody changes it."""
    folder = tmp_path_factory.mktemp("sample")
    with Store(str(folder / "store")) as store:
        sample.make(folder / "project", store)
    return folder


@pytest.fixture
def project(sample_template: Path, tmp_path: Path) -> Iterator[sample.Sample]:
    """A sample project of the test's own."""
    with sample.open_copy(sample_template, tmp_path) as copy:
        yield copy
