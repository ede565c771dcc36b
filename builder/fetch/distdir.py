"""Directories with files that the user brought (`--distdir`)."""

import os
from urllib.parse import unquote

from builder.base.digest import CHUNK
from builder.fetch.part import Part
from builder.fetch.wanted import LACKS, Unavailable
from builder.recipe.source import Source, default_filename


def names(source: Source) -> list[str]:
    """Names under which this source may lie in a directory: its hash, its name, and the names in its locations."""
    found = [source.sha256 or "", source.filename, *(unquote(default_filename((each,))) for each in source.locations)]
    return [name for name in dict.fromkeys(found) if name and "/" not in name]


def find(folder: str, source: Source) -> str:
    """The path of the source's file in `folder`.

    Raises:
        Unavailable: it is not there.
    """
    if not os.path.isdir(folder):
        raise Unavailable("there is no such directory")
    for name in names(source):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    raise Unavailable("has no file " + " or ".join(f"'{name}'" for name in names(source)), cause=LACKS)


def copy(folder: str, source: Source, part: Part) -> None:
    """Copy the source's file from `folder` into `part`.

    Raises:
        Unavailable: it is not there, or cannot be read.
    """
    _copy(find(folder, source), part)


def _copy(path: str, part: Part) -> None:
    part.restart()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                part.write(chunk)
    except OSError as error:
        if error.filename is None:  # writing failed, which is no fault of the directory
            raise
        raise Unavailable(f"could not read '{os.path.basename(path)}': {error.strerror}") from error
