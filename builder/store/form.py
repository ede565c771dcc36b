"""The canonical form of a tree in the store: files 0444 or 0555, directories 0555, times at second 1, nothing else.

Time is second 1 and not 0, as Nix does it: some programs take 0 for "no time".
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from builder.base.errors import StoreError
from builder.tree.nar import shown

FOLDER_MODE = 0o555
TIME = 1_000_000_000  # nanoseconds
_TIMES = (TIME, TIME)
_COPY = 1 << 30  # bytes of one sendfile(2)
_OF_THE_SYSTEM = {"security.selinux", "security.ima", "security.evm"}  # a security module labels all files

Linked = tuple[int, int, int, str]


class Settle:
    """A visitor that brings entries into canonical form before they are read; the top directory only by `close`."""

    def __init__(self, top: bytes) -> None:
        self._top = top
        self._root = os.geteuid() == 0

    def arrive(self, path: bytes, status: os.stat_result) -> os.stat_result:
        regular = stat.S_ISREG(status.st_mode)
        if regular and status.st_nlink > 1:
            status = _own_copy(path, status)
        if self._root and (status.st_uid or status.st_gid):
            os.chown(path, 0, 0, follow_symlinks=False)
            status = os.lstat(path)  # a change of owner clears setuid bits
        if stat.S_ISDIR(status.st_mode):
            if status.st_mode & 0o700 != 0o700:
                os.chmod(path, 0o700)
            return _without_attributes(path, status)
        status = _without_attributes(path, status)
        if regular:
            settle_mode(path, status)
        if status.st_mtime_ns != TIME:
            os.utime(path, ns=_TIMES, follow_symlinks=False)
        return status

    def leave(self, path: bytes) -> None:
        if path != self._top:
            close(path)


def close(folder: bytes) -> None:
    """Give a directory its final mode and time."""
    os.chmod(folder, FOLDER_MODE)
    os.utime(folder, ns=_TIMES)


def settle_mode(path: bytes, status: os.stat_result) -> None:
    wanted = _file_mode(status)
    if stat.S_IMODE(status.st_mode) != wanted:
        os.chmod(path, wanted)


class Check:
    """A visitor that changes nothing: `wrong` lists deviations from the canonical form that the NAR form does not show.

    owner: user id of the store. linked: (device, inode, number of names, entry) of files that have several names.
    """

    def __init__(self, top: bytes, owner: int) -> None:
        self._prefix = len(top) + 1
        self._owner = owner
        self.wrong: list[str] = []
        self.linked: list[Linked] = []

    def arrive(self, path: bytes, status: os.stat_result) -> os.stat_result:
        mode = stat.S_IMODE(status.st_mode)
        wanted = FOLDER_MODE if stat.S_ISDIR(status.st_mode) else _file_mode(status)
        if mode != wanted and not stat.S_ISLNK(status.st_mode):
            self._complain(path, f"has mode {mode:04o}, not {wanted:04o}")
        if status.st_mtime_ns != TIME:
            self._complain(path, "has another time than second 1")
        for text in strange(path, status, self._owner):
            self._complain(path, text)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            self.linked.append((status.st_dev, status.st_ino, status.st_nlink, self._name(path)))
        return status

    def leave(self, path: bytes) -> None:
        pass

    def _complain(self, path: bytes, what: str) -> None:
        self.wrong.append(f"{self._name(path)} {what}")

    def _name(self, path: bytes) -> str:
        return shown(path[self._prefix :]) or "the top"


def strange(path: str | bytes, status: os.stat_result, owner: int) -> Iterator[str]:
    """The deviations of an entry's owner and extended attributes. The group counts only where root owns the store."""
    if status.st_uid != owner or (owner == 0 and status.st_gid != 0):
        yield f"belongs to {status.st_uid}:{status.st_gid}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # the file system has none
        return
    if found := sorted(set(names) - _OF_THE_SYSTEM):
        yield f"has extended attributes: {', '.join(map(shown, found))}"


def refuse_link(path: bytes, status: os.stat_result) -> None:
    """Raises StoreError for a link: opening it as a tree would lead out of the store."""
    if stat.S_ISLNK(status.st_mode):
        raise StoreError(
            "a link cannot be a tree of its own",
            where=shown(path),
            hint="stage a directory that holds the link, or what the link points to",
        )


def _file_mode(status: os.stat_result) -> int:
    return 0o555 if status.st_mode & stat.S_IXUSR else 0o444


def _own_copy(path: bytes, status: os.stat_result) -> os.stat_result:
    """Replace a hard link by a copy: through another name of the file a tree in the store could be changed."""
    if not status.st_mode & stat.S_IRUSR:
        os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
    copy = path[: path.rindex(b"/") + 1] + b".own-" + os.urandom(8).hex().encode("ascii")
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        target = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(target, source, None, _COPY):
                pass
            os.fchmod(target, stat.S_IMODE(status.st_mode))
        finally:
            os.close(target)
    finally:
        os.close(source)
    os.rename(copy, path)
    return os.lstat(path)


def _without_attributes(path: bytes, status: os.stat_result) -> os.stat_result:
    """Remove extended attributes (access lists are some). Those that only the system may remove stay."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # the file system has none
        return status
    if not names:
        return status
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, status.st_mode & 0o777 | 0o600)  # removing user.* takes write permission
    for name in names:
        with suppress(OSError):
            os.removexattr(path, name, follow_symlinks=False)
    return os.lstat(path)
