"""The nouns of build styles: a style is pure, options in, steps out."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from builder.base.shape import Field


class Step(Struct, frozen=True):
    """A named piece of a build: `run` is dash source."""

    name: str
    run: str


class Style(Struct, frozen=True, kw_only=True):
    """options: the keys of a recipe's [build]. steps: options with variables expanded -> steps.

    builtin: no sandbox; the builder itself makes the output ("prebuilt" unpacks, "union" joins trees).
    """

    options: Mapping[str, Field]
    steps: Callable[[Mapping[str, Any]], tuple[Step, ...]]
    builtin: bool = False
