"""Trees put together and taken apart on disk: joining for tools, splitting a build's output into its parts.

Files are hard links where the file system allows it. Files of the store are read-only and canonical already, so a link
has the bytes and the mode that a copy would have.
"""

import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from builder.base import globs
from builder.base.errors import RefusedError
from builder.tree import nar

NOWHERE: Mapping[str, str] = {}


class Part(Struct, frozen=True):
    """One tree to join: `label` names it in errors, `into` is the directory in the result ("" is the root)."""

    label: str
    path: str
    into: str = ""


def join(
    parts: Iterable[Part], target: str, *, include: Sequence[str] = (), exclude: Sequence[str] = (),
    move: Mapping[str, str] = NOWHERE,
) -> None:
    """Make `target` (an empty directory) the union of `parts`, without the paths that the globs leave out.

    move: path -> its path in the result; the entries below move with it, and the longest of several that fit counts.
    The globs see the paths before that.

    Raises:
        RefusedError: two parts have different things at one path.
    """
    owners: dict[str, Part] = {}
    folders: dict[str, Part] = {}
    moved = {_plain(old): new for old, new in move.items()}
    for part in parts:
        into = _plain(part.into)
        for inside, entry in _files(part.path):
            path = f"{into}/{inside}" if into else inside
            if (include and not globs.matches(path, include)) or globs.matches(path, exclude):
                continue
            path = _moved(path, moved)
            place = os.path.join(target, path)
            if path in owners:
                _must_agree(path, place, entry.path, owners[path], part)
                continue
            if path in folders:
                raise _collision(path, folders[path], part, "it is a directory in one of them only")
            _make_folders(target, os.path.dirname(path), part, owners, folders)
            owners[path] = part
            _link(entry.path, place)


def _plain(path: str) -> str:
    """A relative path in its plain form, without "." and doubled slashes; "" for the top."""
    found = posixpath.normpath(path)
    return "" if found == "." else found


def _moved(path: str, move: Mapping[str, str]) -> str:
    for old in sorted(move, key=len, reverse=True):
        if path == old or path.startswith(old + "/"):
            return posixpath.normpath(move[old] + path[len(old):])
    return path


def _make_folders(target: str, path: str, part: Part, owners: Mapping[str, Part], folders: dict[str, Part]) -> None:
    """Make a directory and those above it, never through another part's entry, which may be a link to anywhere."""
    if not path or path in folders:
        return
    if path in owners:
        raise _collision(path, owners[path], part, "it is a directory in one of them only")
    _make_folders(target, os.path.dirname(path), part, owners, folders)
    os.mkdir(os.path.join(target, path))
    folders[path] = part


def _files(directory: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Every entry but the directories below `directory`, with its path from there, in sorted order."""
    return (found for found in nar.below(directory) if not found[1].is_dir(follow_symlinks=False))


def _must_agree(path: str, place: str, other: str, first: Part, second: Part) -> None:
    one, two = os.lstat(place), os.lstat(other)
    if stat.S_ISLNK(one.st_mode) and stat.S_ISLNK(two.st_mode):
        same = os.readlink(place) == os.readlink(other)
    else:
        alike = stat.S_IFMT(one.st_mode) == stat.S_IFMT(two.st_mode) and not (one.st_mode ^ two.st_mode) & stat.S_IXUSR
        same = alike and _content(place) == _content(other)
    if not same:
        raise _collision(path, first, second, "they differ")


def _collision(path: str, first: Part, second: Part, how: str) -> RefusedError:
    return RefusedError(
        f"{first.label} and {second.label} both have {path}, and {how}",
        where=path,
        hint="leave it out of one of them with `exclude` in its recipe",
    )


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _link(source: str, target: str) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    try:
        os.link(source, target)
    except OSError:  # another file system, or too many links
        shutil.copy2(source, target)


def add_files(target: str, *, files: Mapping[str, str], programs: Mapping[str, str], links: Mapping[str, str]) -> None:
    """Write small files, executable files and symbolic links into a tree; each replaces a file or link that is there.

    Raises:
        RefusedError: something is in the way.
    """
    for path, text in (*files.items(), *programs.items()):
        place = _fresh(target, path)
        with open(place, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(place, 0o755 if path in programs else 0o644)
    for path, to in links.items():
        os.symlink(to, _fresh(target, path))


def _fresh(target: str, path: str) -> str:
    """The place of `path`, with nothing there and directories above it; a link above it could lead out of the tree."""
    names = path.split("/")
    for count in range(1, len(names)):
        folder = "/".join(names[:count])
        place = os.path.join(target, folder)
        if not os.path.lexists(place):
            os.mkdir(place)
        elif names[count - 1] == ".." or os.path.islink(place) or not os.path.isdir(place):
            raise _in_the_way(path, folder, "not a directory")
    place = os.path.join(target, path)
    if os.path.isdir(place) and not os.path.islink(place):
        raise _in_the_way(path, path, "a directory")
    if os.path.lexists(place):
        os.unlink(place)
    return place


def _in_the_way(path: str, other: str, what: str) -> RefusedError:
    return RefusedError(
        f"cannot be added: {other} is {what} in the joined tree",
        where=path,
        hint=f"take another path in the recipe, or leave {other} out with `exclude`",
    )


def split(output: str, parts: Mapping[str, Sequence[str]], into: Mapping[str, str]) -> None:
    """Move files of `output` that match a part's globs to that part's directory; directories that this empties go."""
    for path, entry in list(_files(output)):
        for name, patterns in parts.items():
            if globs.matches(path, patterns):
                place = os.path.join(into[name], path)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.rename(entry.path, place)
                _prune(os.path.dirname(entry.path), output)
                break


def _prune(folder: str, top: str) -> None:
    """Remove `folder` and its parents up to `top` as far as they are empty."""
    while folder != top and not os.listdir(folder):
        os.rmdir(folder)
        folder = os.path.dirname(folder)


def copy_links(source: str, target: str) -> None:
    """Make `target` a second name of the tree `source` of a store: directories are made anew, files are hard links."""
    # copytree is recursive, but trees of a store are not too deep for it.
    shutil.copytree(source, target, symlinks=True, copy_function=_link)
