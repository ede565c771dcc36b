"""Whether a path of a project really lies in it: a link in a checkout can lead anywhere on the machine of its reader."""

import os
import stat
from collections.abc import Iterator


def leads_out(root: str, path: str) -> str:
    """The real path of `path` when links lead it out of the directory `root`; "" when it lies at or below that.

    What is not there yet lies where it would be made.
    """
    top, real = os.path.realpath(root), os.path.realpath(path)
    return "" if os.path.commonpath([top, real]) == top else real


def links(path: str) -> Iterator[str]:
    """`path` itself, and all symbolic links below it; none is followed."""
    yield path
    for folder, folders, files in os.walk(path):
        yield from filter(os.path.islink, (os.path.join(folder, each) for each in (*folders, *files)))


def is_folder(path: str) -> bool:
    """Whether a directory itself is there, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
