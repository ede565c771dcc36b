"""Whether a path of a project really lies in it: a link in a checkout can lead anywhere on this machine."""

import os
import stat
from collections.abc import Iterator


def leads_out(root: str, path: str) -> str:
    """The real path of `path` when links lead it out of the directory `root`; "" when it lies at or below that.

    A path that does not exist yet lies where it would be made.
    """
    top, real = os.path.realpath(root), os.path.realpath(path)
    return "" if os.path.commonpath([top, real]) == top else real


def links(path: str) -> Iterator[str]:
    """`path` itself, and all symbolic links below it; none is followed."""
    yield path
    for folder, _, others in walk(path):
        yield from filter(os.path.islink, (os.path.join(folder, each) for each in others))


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each directory at or below `top` with its directories and its other names, links too, sorted; a directory that
    the caller takes from the list is left out.

    As os.walk, which until Python 3.12 needs a stack as deep as the directories, and a checkout can have a thousand.
    """
    todo = [top]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in found)
        except OSError:  # no directory, or one that cannot be read
            continue
        folders = [name for name, is_folder in entries if is_folder]
        yield folder, folders, [name for name, is_folder in entries if not is_folder]
        todo += [os.path.join(folder, each) for each in reversed(folders)]


def is_folder(path: str) -> bool:
    """Whether a directory itself is there, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
