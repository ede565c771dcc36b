"""Trees as hard links, which make up a root where nothing can be mounted.

A linked file is the store's own file, so the build's user must not be able to change it: a file that this user owns, or
that others may write, is copied instead, and so is one on another file system or with too many links.
"""

import errno
import os
import shutil
import stat

from builder.base import environment
from builder.tree import nar

_COPY_INSTEAD = (errno.EXDEV, errno.EMLINK, errno.EPERM)


def place(source: str, target: str) -> None:
    """Makes `target` look like `source`, a file, symbolic link or directory; directories get mode 0755.

    Raises:
        UnfitError: directories are nested too deep.
    """
    found = os.lstat(source)
    if stat.S_ISDIR(found.st_mode):
        make_folder(target)
        _fill(source, target)
    else:
        _leaf(source, target, found)


def make_folder(path: str) -> None:
    """Makes a directory of mode 0755, whatever the umask is, and its parents; nothing if it is there."""
    try:
        os.mkdir(path)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        os.mkdir(path)
    except FileExistsError:
        return
    os.chmod(path, 0o755)  # noqa: S103 - like the directories of any root


def _fill(source: str, target: str) -> None:
    for path, entry in nar.below(source):
        if entry.is_dir(follow_symlinks=False):
            make_folder(f"{target}/{path}")
        else:
            _leaf(entry.path, f"{target}/{path}", entry.stat(follow_symlinks=False))


def _leaf(source: str, target: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
    elif found.st_uid == environment.UID or found.st_mode & 0o022 or not _link(source, target):
        shutil.copyfile(source, target, follow_symlinks=False)
        os.chmod(target, found.st_mode & 0o755)


def _link(source: str, target: str) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _COPY_INSTEAD:
            raise
        return False
    return True


def hand_over(folder: str, uid: int, gid: int) -> None:
    """Gives `folder` and all that is in it to a user, before a build runs there.

    A file with several names is replaced by a copy first: its other name may lie in the store.
    """
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                _make_own(name, descriptor, found)
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, gid)


def _make_own(name: str, folder: int, found: os.stat_result) -> None:
    spare = f".{name}.own"
    with (
        open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as old,
        open(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder), "wb") as new,
    ):
        shutil.copyfileobj(old, new)
        os.fchmod(new.fileno(), stat.S_IMODE(found.st_mode))
        os.utime(new.fileno(), ns=(found.st_mtime_ns, found.st_mtime_ns))
    os.rename(spare, name, src_dir_fd=folder, dst_dir_fd=folder)
