"""Trees put together and taken apart on disk: joining for tools, splitting a build's output into its parts.

Files are hard links where the file system allows it. What lies in the store is read-only and canonical already, so a link
has the very bytes and mode that a copy would have.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import globs
from builder.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Part:
    """One tree to join: `label` names it in errors, `into` is the folder in the result ("" is the root)."""

    label: str
    path: str
    into: str = ""


def join(parts: Iterable[Part], target: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
    """Make `target` (an empty folder) the union of `parts`, but for what the globs leave out.

    Raises:
        RefusedError: two parts have different things at one path.
    """
    owners: dict[str, Part] = {}
    for part in parts:
        for path, entry in _walk(part.path, part.into):
            if (include and not globs.matches(path, include)) or globs.matches(path, exclude):
                continue
            place = os.path.join(target, path)
            if path in owners:
                _must_agree(path, place, entry.path, owners[path], part)
                continue
            owners[path] = part
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _link(entry.path, place)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Everything but folders below `folder`, with its path in the result, in sorted order."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, path)
        else:
            yield path, entry


def _must_agree(path: str, place: str, other: str, first: Part, second: Part) -> None:
    if os.path.islink(place) and os.path.islink(other):
        same = os.readlink(place) == os.readlink(other)
    else:
        same = not os.path.islink(place) and not os.path.islink(other) and Path(place).read_bytes() == Path(other).read_bytes()
    if not same:
        raise RefusedError(
            f"{first.label} and {second.label} both have {path}, and they differ",
            where=path,
            hint="leave it out of one of them with `exclude` in its recipe",
        )


def _link(source: str, target: str) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    try:
        os.link(source, target)
    except OSError:  # another file system, or too many links
        shutil.copy2(source, target)


def add_files(target: str, *, files: Mapping[str, str], programs: Mapping[str, str], links: Mapping[str, str]) -> None:
    """Write small files, executable files and symbolic links into a tree; each replaces what is there."""
    for path, text in (*files.items(), *programs.items()):
        place = _fresh(target, path)
        with open(place, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(place, 0o755 if path in programs else 0o644)
    for path, to in links.items():
        os.symlink(to, _fresh(target, path))


def _fresh(target: str, path: str) -> str:
    place = os.path.join(target, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    return place


def split(output: str, parts: Mapping[str, Sequence[str]], into: Mapping[str, str]) -> None:
    """Move files of `output` that match a part's globs to that part's folder; folders that this empties go."""
    for path, entry in list(_walk(output, "")):
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
    """Make `target` a second name of the tree `source`: folders are made anew, files are hard links."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link)
