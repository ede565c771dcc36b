"""Style `configure-make`: `./configure` (or another command), `make`, `make install DESTDIR=$OUT`."""

from collections.abc import Mapping
from typing import Any

from builder.base.shape import Field, ListOf, Text
from builder.recipe.styles.make import make_steps
from builder.recipe.styles.shell import run_fields, words
from builder.recipe.styles.style import Step, Style


def _steps(options: Mapping[str, Any]) -> tuple[Step, ...]:
    command = [*options.get("configure-command", ["./configure"]), *options.get("configure", [])]
    return make_steps(options, (Step("configure", words(command)),))


STYLE = Style(
    options={
        **run_fields(),
        "configure-command": Field(ListOf(Text(), 1), "the command that configures (default: ./configure)"),
        "configure": Field(ListOf(Text()), "its arguments"),
    },
    steps=_steps,
)
