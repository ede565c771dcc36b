"""Removing trees of any mode and depth: sandboxes and the store leave read-only, odd and deep ones."""

import os
import stat
from collections import Counter
from collections.abc import Iterable

from builder.store.trouble import trying

_LONG = 3000  # bytes of a path; the kernel takes 4096, and a name can add 256


def remove_tree(path: str | bytes) -> int:
    """Remove a file, link or directory with all below it; the bytes of disk freed. An absent one is no error.

    Links are removed, never followed.

    Raises:
        StoreError: something cannot be removed (another user's files, a mount point).
    """
    top = os.fsencode(path)
    with trying("remove a tree", os.fsdecode(path)):
        try:
            status = os.lstat(top)
        except FileNotFoundError:
            return 0
        if stat.S_ISDIR(status.st_mode):
            return _remove_folder(top)
        os.unlink(top)
        return _freed(status)


def _remove_folder(top: bytes) -> int:
    """Depth first with a stack of its own. A directory whose path gets too long is moved up to the top first."""
    freed = 0
    moved = 0
    stack = [(top, False)]
    while stack:
        path, emptied = stack.pop()
        if emptied:
            freed += _freed(os.lstat(path))
            os.rmdir(path)
            continue
        stack.append((path, True))
        size, folders = _empty(path)
        freed += size
        for folder in folders:
            if len(folder) > _LONG:
                moved += 1
                folder = _move_up(folder, top, moved)  # noqa: PLW2901
            stack.append((folder, False))
    return freed


def _empty(folder: bytes) -> tuple[int, list[bytes]]:
    """Remove all but the directories from `folder`: (bytes freed, the directories)."""
    os.chmod(folder, 0o700)
    freed = 0
    folders = []
    with os.scandir(folder) as scan:
        entries = list(scan)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
        else:
            freed += _freed(entry.stat(follow_symlinks=False))
            os.unlink(entry.path)
    return freed, folders


def _move_up(folder: bytes, top: bytes, number: int) -> bytes:
    os.chmod(folder, 0o700)  # its ".." entry changes
    target = os.path.join(top, b".up-%d-%s" % (number, os.urandom(8).hex().encode("ascii")))
    os.rename(folder, target)
    return target


def _freed(status: os.stat_result) -> int:
    return status.st_blocks * 512 if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode) else 0


def freed_by(paths: Iterable[str]) -> int:
    """The bytes of disk that removing all of `paths` would free, as of `remove_tree`. Nothing is changed.

    A directory that cannot be read counts as empty.
    """
    freed = 0
    links: Counter[tuple[int, int]] = Counter()  # of a file with several names, how many are below `paths`
    todo = list(map(os.fsencode, paths))
    while todo:
        path = todo.pop()
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                todo += [os.path.join(path, name) for name in os.listdir(path)]
        except OSError:
            continue
        links[file := (status.st_dev, status.st_ino)] += 1
        if stat.S_ISDIR(status.st_mode) or links[file] == status.st_nlink:
            freed += status.st_blocks * 512
    return freed
