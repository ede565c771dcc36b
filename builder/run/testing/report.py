"""The file that a report is written to, which CI systems read: the old one or the new one, whole."""

import os

from builder.base import textfile
from builder.base.errors import MachineError, UsageError


def require_place(path: str) -> None:
    """Tell before the tests run what can be told of a report's path then.

    Raises:
        UsageError: it is a directory, or there is none that it could lie in.
    """
    place = f"--junit {path}"
    if os.path.isdir(path):
        raise UsageError("it is a directory", where=place, hint="name a file")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise UsageError(
            "there is no such directory", where=place, hint="make the directory, or name a file in another one"
        )


def write(path: str, data: bytes) -> None:
    """Write the report. Anything but a file (/dev/stdout, a pipe) is written to and stays.

    Raises:
        MachineError: it cannot be written. A file that was there is as it was, and nothing is left beside it.
    """
    plain = os.path.isfile(path) or not os.path.exists(path)
    try:
        with textfile.replaced(path) if plain else open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        hint = "free space or permissions there"
        raise MachineError(f"the report cannot be written: {error.strerror}", where=path, hint=hint) from error
