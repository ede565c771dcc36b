"""builder --names KIND: names for shell completion, one a line, from the names of files. It is fast and never complains."""

import os
import sys
from contextlib import suppress

_FOLDERS = {"packages": ("", "tools"), "images": ("images",), "profiles": ("profiles",), "targets": ("images", "", "tools")}


def tell(kinds: list[str]) -> int:
    """Print the names of recipes, images or profiles of the project around here; none where there is no project."""
    recipes = _recipes(os.getcwd())
    found = {name for kind in kinds for folder in _FOLDERS.get(kind, ()) for name in _names(os.path.join(recipes, folder))}
    sys.stdout.write("".join(f"{name}\n" for name in sorted(found)))
    return 0


def _recipes(folder: str) -> str:
    while not os.path.isdir(found := os.path.join(folder, "recipes")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return found


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        names = [name.removesuffix(".toml") for name in os.listdir(folder) if name.endswith(".toml")]
        return [name for name in names if name.isascii() and name.replace("-", "").replace(".", "").replace("_", "").isalnum()]
    return []
