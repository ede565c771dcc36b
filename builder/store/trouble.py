"""Errors of the operating system as StoreErrors, with the three parts of every error."""

import errno
import os
from types import TracebackType

from builder.base.errors import FEWER_FILES, StoreError
from builder.tree.nar import shown

_FULL = "free some space there or run `builder gc`, then run the command again: what was finished is kept"
_NAMED = "--store, BUILDER_STORE, or `store` in the settings file; the first of these counts"
ELSEWHERE = f"name a directory that you may write to: {_NAMED}"
_LOCKS = f"name a directory on a file system with file locks: {_NAMED}"
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: ELSEWHERE,
    errno.EPERM: ELSEWHERE,
    errno.EROFS: ELSEWHERE,
    errno.ENOTDIR: f"name a directory: {_NAMED}",
    errno.EXDEV: "make the tree in a directory from Store.stage(): renaming works within one file system only",
    errno.ENAMETOOLONG: f"name a directory with a shorter path: {_NAMED}",
    errno.ENOLCK: _LOCKS,
    errno.EOPNOTSUPP: _LOCKS,
    errno.EMFILE: FEWER_FILES,
    errno.EIO: "check the disk; then run `builder store verify`",
}
_ELSE = "run `builder store verify` to see whether the store is whole"


def explain(error: OSError, doing: str, where: str, otherwise: str = _ELSE) -> StoreError:
    """`doing` completes "could not ..."; `where` is used when the error names no file; `otherwise` is the remedy when
    the error suggests none."""
    place = error.filename if isinstance(error.filename, (str, bytes)) else where
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StoreError(
        f"could not {doing}: {reason}",
        where=shown(place),
        hint=_HINTS.get(error.errno or 0, otherwise),
    )


class trying:  # noqa: N801 - reads as a statement: with trying("write a record", path)
    """Context in which an OSError becomes a StoreError. A class, because it is entered on every look-up."""

    __slots__ = ("_doing", "_otherwise", "_where")

    def __init__(self, doing: str, where: str, otherwise: str = _ELSE) -> None:
        self._doing = doing
        self._where = where
        self._otherwise = otherwise

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise explain(error, self._doing, self._where, self._otherwise) from error
