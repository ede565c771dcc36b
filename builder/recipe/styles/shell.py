"""Pieces of dash source that styles share."""

import shlex
from collections.abc import Iterable, Mapping

from builder.base.shape import Field, Flag, ListOf, MapOf, Text
from builder.recipe.styles.style import Step

ENV = "[A-Za-z_][A-Za-z0-9_]*"


def words(values: Iterable[str]) -> str:
    """Values as one shell line, each quoted where needed."""
    return " ".join(map(shlex.quote, values))


def glob(pattern: str) -> str:
    """`pattern` quoted but for its `*`."""
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))


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
        "strip": Field(Flag(), "move debug data to an output of its own (default: true)"),
        "install": Field(ListOf(Text()), "arguments of make when installing (default: install)"),
    }


def exports(env: Mapping[str, str]) -> str:
    """Lines that put `env` into the environment of the step."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())


# Debug data goes to its own file, found through a .gnu_debuglink section by debuggers (GDB manual, "Debugging
# Information in Separate Files"). Objects and archives stay as they are: only linkers read them.
STRIP = Step(
    "strip",
    """find "$OUT" -type f ! -name '*.a' ! -name '*.o' ! -path '*/usr/lib/debug/*' | sort | while read -r file; do
    case "$(head -c 4 "$file" | od -An -tx1)" in *'7f 45 4c 46'*) ;; *) continue ;; esac
    debug="$OUT/usr/lib/debug${file#"$OUT"}.debug"
    mkdir -p "${debug%/*}"
    chmod u+w "$file"
    objcopy --only-keep-debug "$file" "$debug"
    chmod a-x "$debug"
    strip --strip-all "$file"
    objcopy --add-gnu-debuglink="$debug" "$file"
done""",
)
