"""Styles that need no sandbox: the builder itself makes the output from verified trees.

`prebuilt` joins the unpacked sources (binary packages) into one tree; `union` joins the outputs of required packages.
Both can leave files out, and add small files and links.
"""

from collections.abc import Mapping
from typing import Any

from builder.base.shape import Field, ListOf, MapOf, Text
from builder.recipe.styles.style import Step, Style

_PATHS = r"(?!(?:.*/)?\.\.(?:/|$))[^/\s]\S*"  # relative, and nowhere out of the tree


def _no_steps(_options: Mapping[str, Any]) -> tuple[Step, ...]:
    return ()


_COMMON = {
    "files": Field(MapOf(Text(), _PATHS), "path -> text of a small file"),
    "programs": Field(MapOf(Text(), _PATHS), "path -> text of a small executable file"),
    "links": Field(MapOf(Text(), _PATHS), "path -> target of the symbolic link"),
    "include": Field(ListOf(Text()), "globs of the files that are taken (default: all)"),
    "exclude": Field(ListOf(Text()), "globs of the files that are left out"),
    "move": Field(MapOf(Text(_PATHS), _PATHS), "path -> path in the result, with all that is below it"),
}

PREBUILT = Style(
    options={**_COMMON, "into": Field(MapOf(Text(_PATHS)), "source name -> directory of its tree (default: the root)")},
    steps=_no_steps,
    builtin=True,
)

UNION = Style(options=_COMMON, steps=_no_steps, builtin=True)
