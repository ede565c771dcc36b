"""Style `copy`: files of the source go to places in the output; nothing is compiled."""

import shlex
from collections.abc import Mapping
from typing import Any

from builder.base.shape import Field, ListOf, MapOf, Text
from builder.recipe.styles.shell import glob
from builder.recipe.styles.style import Step, Style


def _steps(options: Mapping[str, Any]) -> tuple[Step, ...]:
    lines = []
    for pattern, into in sorted(options.get("files", {}).items()):
        target = f'"$OUT"/{shlex.quote(into)}'
        if pattern.endswith("/"):  # a directory's contents
            lines.append(f"mkdir -p {target}\ncp -R {shlex.quote(pattern)}. {target}")
        elif into.endswith("/"):
            lines.append(f"mkdir -p {target}\ncp -R {glob(pattern)} {target}")
        else:
            lines.append(f'mkdir -p "$(dirname {target})"\ncp -R {glob(pattern)} {target}')
    for path, to in sorted(options.get("links", {}).items()):
        target = f'"$OUT"/{shlex.quote(path)}'
        lines.append(f'mkdir -p "$(dirname {target})"\nln -s {shlex.quote(to)} {target}')
    lines += [f'rm -r "$OUT"/{shlex.quote(path)}' for path in options.get("remove", [])]
    return (Step("copy", "\n".join(lines)),) if lines else ()


STYLE = Style(
    options={
        "files": Field(
            MapOf(Text(), r"[^/\s]\S*"),
            "file, glob, or directory with a '/' at its end -> file, or directory with a '/' at its end",
        ),
        "remove": Field(ListOf(Text()), "paths in the output to take out again"),
        "links": Field(MapOf(Text(), r"[^/\s]\S*"), "path in the output -> target of the symbolic link"),
    },
    steps=_steps,
)
