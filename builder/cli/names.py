"""builder --names KIND: names for shell completion, one a line, from the names of files. It never complains."""

import os
import sys
from contextlib import suppress

_FOLDERS = {
    "packages": ("", "tools"), "images": ("images",), "profiles": ("profiles",), "targets": ("images", "", "tools")
}
_MARKS = str.maketrans("", "", "-._")  # besides letters and digits


def tell(kinds: list[str]) -> int:
    """Print the names of recipes, images or profiles of the project around here, or of verbs or kinds of documents.

    Where there is no project, there are no names.
    """
    recipes = _recipes(os.getcwd())
    found = {
        name for kind in kinds for folder in _FOLDERS.get(kind, ()) for name in _names(os.path.join(recipes, folder))
    }
    if "verbs" in kinds:
        from builder.cli import arguments  # noqa: PLC0415

        found.update(arguments.verbs(arguments.parser()))
    if "documents" in kinds:
        from builder.cli.kinds import KINDS  # noqa: PLC0415

        found.update(KINDS)
    sys.stdout.write("".join(f"{name}\n" for name in sorted(found)))
    return 0


def _recipes(folder: str) -> str:
    while not os.path.isdir(found := os.path.join(folder, "recipes")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return found


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        names = [name.removesuffix(".toml") for name in os.listdir(folder) if name.endswith(".toml")]
        return [name for name in names if name.isascii() and name.translate(_MARKS).isalnum()]
    return []
