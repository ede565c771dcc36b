"""The user's settings: a TOML file, and environment variables that win over it.

    store = "/big/builder"          # BUILDER_STORE
    jobs = 2                        # builds and downloads at a time
    cores = 8                       # processor cores that all builds share
    distdirs = ["~/archives"]       # folders with source archives, besides those given with --distdir

    [mirrors]                       # BUILDER_MIRROR_<NAME>, several separated by spaces
    debian = ["https://mirror.example.org/debian"]

The file is settings.toml in the configuration folder (XDG Base Directory Specification, "builder" below it), or where
BUILDER_SETTINGS says.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.decode import Field, ListOf, MapOf, Number, Problems, Table, Text
from builder.errors import Problem, RecipeError

_FOLDER = Text(check=lambda text: _folder_problem(text), hint="an absolute path, or one that begins with ~/")
_ADDRESS = Text(r"https?://[^/\s]+(?:/\S*)?", "https://HOST/PATH of the mirror's root")
SETTINGS = Table({
    "store": Field(_FOLDER, "folder of the store"),
    "jobs": Field(Number(1), "builds and downloads at a time"),
    "cores": Field(Number(1), "processor cores that all builds share"),
    "distdirs": Field(ListOf(_FOLDER), "folders with source archives"),
    "mirrors": Field(MapOf(ListOf(_ADDRESS, 1), "[a-z0-9-]+"), "base addresses by mirror name, in order of preference"),
}, doc="A user's settings of builder.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """path: the settings file, there or not. store: absolute. jobs, cores: None where the user leaves the choice."""

    path: str
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
    path = environ.get("BUILDER_SETTINGS") or os.path.join(_base("config", environ), "settings.toml")
    problems: Problems = []
    table = _read(path, problems)
    store = environ.get("BUILDER_STORE", "")
    if store and (message := _folder_problem(store)):
        problems.append(Problem("BUILDER_STORE", message, _FOLDER.hint))
    if problems:
        raise RecipeError(problems)
    return Settings(
        path=path,
        store=_expanded(store or table.get("store") or os.path.join(_base("cache", environ), "store"), environ),
        mirrors={name: tuple(bases) for name, bases in table.get("mirrors", {}).items()},
        distdirs=tuple(_expanded(each, environ) for each in table.get("distdirs", ())),
        jobs=table.get("jobs"),
        cores=table.get("cores"),
    )


def _read(path: str, problems: Problems) -> dict[str, Any]:
    """What the file says; an absent one says nothing."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(path, f"could not be read: {error}"))
        return {}
    import tomli  # noqa: PLC0415 - 10 ms, and most users have no such file

    try:
        return SETTINGS.read(tomli.loads(text), f"{path}: ", problems) or {}
    except tomli.TOMLDecodeError as error:
        problems.append(Problem(path, f"is no TOML: {error}"))
        return {}


def _folder_problem(text: str) -> str:
    return "" if text.startswith(("/", "~/")) and "\0" not in text else f"'{text}' is not an absolute path"


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    return os.path.normpath(_home(environ) + path[1:] if path.startswith("~/") else path)


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _base(kind: str, environ: Mapping[str, str]) -> str:
    """The user's "cache" or "config" folder of builder.

    On Linux this is what platformdirs says (a test compares them); its import alone would take a third of the time that
    a command has which finds nothing to do.
    """
    if sys.platform != "linux":
        import platformdirs  # noqa: PLC0415

        return str(platformdirs.user_cache_path("builder") if kind == "cache" else platformdirs.user_config_path("builder"))
    base = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if not base.startswith("/"):  # the specification: a relative path is to be ignored
        base = os.path.join(_home(environ), f".{kind}")
    return os.path.join(base, "builder")
