"""Pieces of dash source that styles share."""

import shlex
from collections.abc import Iterable, Mapping

from builder.decode import Field, ListOf, MapOf, Text

ENV = "[A-Za-z_][A-Za-z0-9_]*"


def words(values: Iterable[str]) -> str:
    """Values as one shell line, each quoted where needed."""
    return " ".join(map(shlex.quote, values))


def command(argv: Iterable[str], env: Mapping[str, str] | None = None) -> str:
    """A command line with variables set for it alone."""
    settings = "".join(f"{name}={shlex.quote(value)} " for name, value in (env or {}).items())
    return settings + words(argv)


def run_fields() -> dict[str, Field]:
    """Options that every style with a compiler has."""
    return {
        "env": Field(MapOf(Text(), ENV), "environment of every command"),
        "before": Field(Text(), "dash source to run first"),
        "after": Field(Text(), "dash source to run last"),
        "make": Field(ListOf(Text()), "arguments of make"),
        "install": Field(ListOf(Text()), "arguments of make when installing (default: install)"),
    }


def exports(env: Mapping[str, str]) -> str:
    """Lines that put `env` into the environment of the step."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
