"""Style `script`: short shell steps, for builds that no other style describes."""

from collections.abc import Mapping
from typing import Any

from builder.base.shape import Field, Flag, ListOf, Table, Text
from builder.recipe.styles.shell import STRIP
from builder.recipe.styles.style import Step, Style


def _steps(options: Mapping[str, Any]) -> tuple[Step, ...]:
    steps = tuple(Step(each["name"], each["run"]) for each in options["step"])
    return (*steps, STRIP) if options.get("strip", False) else steps


STYLE = Style(
    options={
        "strip": Field(Flag(), "move debug data to an output of its own (default: false)"),
        "step": Field(ListOf(Table({
            "name": Field(Text("[a-z][a-z0-9-]*"), "name in the log", required=True),
            "run": Field(Text(), "dash source", required=True),
        }), 1), "the steps in order", required=True),
    },
    steps=_steps,
)
