"""Where links lead. Those of a checkout can lead anywhere on this machine; those of an image count from its root."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from builder.base.errors import SandboxError

_MOST_LINKS = 40  # that Linux follows for one path


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


def copy(
    source: str, target: str, *, follow: bool = False, skip: "Callable[[os.DirEntry[str]], bool]" = lambda _: False
) -> None:
    """Copy a directory into `target`, over its content; a link there is replaced. Links are copied as they are, or with
    `follow` as what they lead to. Nothing below a skipped entry is copied.

    As shutil.copytree, which needs a stack as deep as the directories.

    Raises:
        OSError: something cannot be read or written.
    """
    todo = [(source, target)]
    while todo:
        folder, into = todo.pop()
        os.makedirs(into, exist_ok=True)
        with os.scandir(folder) as found:
            for entry in found:
                place = os.path.join(into, entry.name)
                if skip(entry):
                    continue
                directory = entry.is_dir(follow_symlinks=follow)
                if not directory or os.path.islink(place):
                    with suppress(FileNotFoundError):
                        os.unlink(place)
                if directory:
                    todo.append((entry.path, place))
                    continue
                shutil.copy2(entry.path, place, follow_symlinks=follow)


def remove(top: str) -> None:
    """Remove a directory as far as it can be removed; a link to one stays. As shutil.rmtree, without a deep stack."""
    if os.path.islink(top):
        return
    for folder, folders, others in reversed(list(walk(top))):
        for each in others:
            with suppress(OSError):
                os.unlink(os.path.join(folder, each))
        for each in folders:
            with suppress(OSError):
                os.rmdir(os.path.join(folder, each))
    with suppress(OSError):
        os.rmdir(top)


def is_folder(path: str) -> bool:
    """Whether a directory itself is there, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def resolve(tree: str, path: str) -> str:
    """The host's path of what `path` means with `tree` as the root: links, absolute ones too, never lead out of it.

    What does not exist stays as it is written.

    Raises:
        SandboxError: the links form a circle.
    """
    todo = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        here = "/".join((tree, *done, part))
        if not os.path.islink(here):
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            hint = "check the links of that tree"
            raise SandboxError(f"symbolic links at {path} form a circle", where=tree, hint=hint)
        text = os.readlink(here)
        if text.startswith("/"):
            done.clear()
        todo.extend(text.split("/")[::-1])
    return "/".join((tree, *done))
