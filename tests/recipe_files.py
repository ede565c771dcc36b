"""Projects of a few recipe files, and the problems that reading them finds."""

from pathlib import Path

import pytest

from builder.base.errors import RecipeError
from builder.recipe import project


def write(root: Path, files: dict[str, str]) -> Path:
    """A project of some files; a text without a line break is a package's keys besides its name and only version, "1"."""
    for path, text in files.items():
        target = root / "recipes" / f"{path}.toml"
        target.parent.mkdir(parents=True, exist_ok=True)
        name = f'name = "{target.stem}"\n'
        target.write_text(text if "\n" in text else name + 'tools = ""\n' + text + '\n[[version]]\nversion = "1"\n')
    return root


def problems_of(root: Path, files: dict[str, str], cache_dir: str | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        project.load(str(write(root, files)), cache_dir=cache_dir)
    return [str(each) for each in caught.value.problems]
