"""Attacks: each hole that was found once, tried again on the installed builder, as the user of pytest.

`.ci/run` runs them as root and as a plain user. They use the worlds of tests/integration: a project, a home and a store of
their own. A test that is about one of the two users only says so with `pytest.mark.skipif`.
"""

from pathlib import Path

import pytest
from integration.conftest import here, tools

__all__ = ["here", "tools"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.attack)
