"""The settings file: its keys, and reading it."""

from typing import Any

import tomli

from builder.base import textfile
from builder.base.errors import Problem
from builder.base.shape import Field, ListOf, MapOf, Number, Problems, Table, Text


def _folder_problem(text: str) -> str:
    return "" if text.startswith(("/", "~/")) and "\0" not in text else f"'{text}' is not an absolute path"


_FOLDER = Text(check=_folder_problem, hint="like /big/builder or ~/builder")
_ADDRESS = Text(r"https?://[^/\s]+(?:/\S*)?", "https://HOST/PATH of the mirror's root")
SETTINGS = Table({
    "store": Field(_FOLDER, "directory of the store"),
    "jobs": Field(Number(1), "builds and downloads at a time"),
    "cores": Field(Number(1), "processor cores that all builds share"),
    "distdirs": Field(ListOf(_FOLDER), "directories with source archives"),
    "mirrors": Field(MapOf(ListOf(_ADDRESS, 1), "[a-z0-9-]+"), "base addresses by mirror name, in order of preference"),
}, doc="A user's settings of builder.")


def read(path: str, problems: Problems) -> dict[str, Any]:
    """The file's table; problems are added, and then it is not complete."""
    try:
        return SETTINGS.read(tomli.loads(textfile.read(path).decode()), f"{path}: ", problems) or {}
    except OSError as error:
        problems.append(Problem(path, f"could not be read: {error.strerror}"))
    except UnicodeDecodeError:
        problems.append(Problem(path, "could not be read: it is not UTF-8"))
    except tomli.TOMLDecodeError as error:
        problems.append(Problem(path, f"is not TOML: {error}"))
    return {}
