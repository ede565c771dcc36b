"""Build styles: small modules that turn a recipe's options into steps, so that a recipe is data and not shell.

A style is pure: options in, steps out. Steps run in order in one sandbox, by dash, with `set -eu`, in /build/src, with

    /sources/<name>   the unpacked sources, read-only; "main" was copied to /build/src and patched before the first step
    $OUT              an empty directory, the root of the installed files (DESTDIR)
    $CORES            number of processes to use; nothing of it may reach an output
    $HOME, $TMPDIR    writable; $SOURCE_DATE_EPOCH is 1, $LC_ALL is C, $TZ is UTC
"""

from collections.abc import Mapping

from builder.recipe.styles import builtin, configure_make, copy, make, nginx, script, shell
from builder.recipe.styles.style import Step, Style

__all__ = ["STYLES", "Step", "Style", "shell"]

STYLES: Mapping[str, Style] = {
    "configure-make": configure_make.STYLE,
    "make": make.STYLE,
    "nginx": nginx.STYLE,
    "copy": copy.STYLE,
    "script": script.STYLE,
    "prebuilt": builtin.PREBUILT,
    "union": builtin.UNION,
}
