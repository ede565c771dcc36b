"""The nouns of build styles: a style is pure, options in, steps out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.decode import Field


@dataclass(frozen=True, slots=True)
class Step:
    """A named piece of a build: `run` is dash source."""

    name: str
    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """options: what a recipe's [build] may say. steps: options with variables expanded -> steps.

    builtin: no sandbox; the builder itself makes the output ("prebuilt" unpacks, "union" joins trees).
    """

    options: Mapping[str, Field]
    steps: Callable[[Mapping[str, Any]], tuple[Step, ...]]
    builtin: bool = False
