"""The user's settings: a TOML file, and environment variables that win over it.

    store = "/big/builder"          # BUILDER_STORE
    jobs = 2                        # builds and downloads at a time
    cores = 8                       # processor cores that all builds share
    distdirs = ["~/archives"]       # directories with source archives, besides those given with --distdir

    [mirrors]                       # BUILDER_MIRROR_<NAME>, several separated by spaces
    debian = ["https://mirror.example.org/debian"]

The file is settings.toml in the configuration directory (XDG Base Directory Specification, "builder" below it), or
where BUILDER_SETTINGS says.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from builder.base.errors import MachineError, Problem, RecipeError


class Settings(Struct, frozen=True, kw_only=True):
    """cache_dir: the user's cache directory of builder. store: absolute.
    jobs, cores: None where the user leaves the choice."""

    cache_dir: str
    store: str
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    distdirs: tuple[str, ...] = ()
    jobs: int | None = None
    cores: int | None = None


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the user's settings.

    Raises:
        RecipeError: the file is wrong (all its problems), or a variable is.
    """
    path = path_of(environ)
    store = environ.get("BUILDER_STORE", "")
    problems: list[Problem] = []
    table: dict[str, Any] = {}
    if environ.get("BUILDER_SETTINGS") or os.path.exists(path):
        from builder.base import settings_file  # noqa: PLC0415 - most users have no such file, and it takes 15 ms

        table = settings_file.read(path, problems)
    if store and not store.startswith(("/", "~/")):
        problems.append(
            Problem("BUILDER_STORE", f"'{store}' is not an absolute path", "like /big/builder or ~/builder")
        )
    if problems:
        raise RecipeError(problems)
    cache = _base("cache", environ)
    return Settings(
        cache_dir=cache,
        store=_expanded(store or table.get("store") or os.path.join(cache, "store"), environ),
        mirrors={name: tuple(bases) for name, bases in table.get("mirrors", {}).items()},
        distdirs=tuple(_expanded(each, environ) for each in table.get("distdirs", ())),
        jobs=table.get("jobs"),
        cores=table.get("cores"),
    )


def path_of(environ: Mapping[str, str] = os.environ) -> str:
    """The path of the settings file, there or not."""
    return environ.get("BUILDER_SETTINGS", "") or os.path.join(_base("config", environ), "settings.toml")


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    return os.path.normpath(_home(environ) + path[1:] if path.startswith("~/") else path)


def _home(environ: Mapping[str, str]) -> str:
    found = environ.get("HOME") or os.path.expanduser("~")
    if found == "~":
        hint = "set HOME, or XDG_CACHE_HOME and XDG_CONFIG_HOME"
        raise MachineError("HOME is not set, and this user has no home directory", where="environment", hint=hint)
    return found


def _base(kind: str, environ: Mapping[str, str]) -> str:
    """The user's "cache" or "config" directory of builder.

    On Linux platformdirs says the same (a test compares them); its import alone would take a third of the time of a
    command that finds nothing to do.
    """
    if sys.platform != "linux":
        import platformdirs  # noqa: PLC0415

        found = platformdirs.user_cache_path if kind == "cache" else platformdirs.user_config_path
        return str(found("builder"))
    base = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if not base.startswith("/"):  # the specification: a relative path is to be ignored
        base = os.path.join(_home(environ), f".{kind}")
    return os.path.join(base, "builder")
