"""Removes the builder's own files from `out/` of a project: images, unpacked images, kept trees of failed builds,
results of tests, files of the gateway. Anything else there is the user's and stays, links too: none is followed.

A command at work holds a lock (`base.replace`, `rootfs`, `serving.instance`). All of them
are taken first, without waiting.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from builder.base import within
from builder.base.errors import RefusedError
from builder.image.oci import image
from builder.recipe.project import OWN
from builder.store.remove import freed_by, remove_tree

_HALF = re.compile(r"\.(.+)\.(?:new|old)")  # see `base.replace`
_LOCKS = ("lock", "reloading")  # of out/run: they stay, since a command that waits for one has it open


def clean(out: str, *, dry_run: bool = False) -> tuple[list[str], int]:
    """The paths that were removed, or with `dry_run` would be, and the bytes of disk that this frees.

    Raises:
        RefusedError: `out` is a link, or another command is using it.
        StoreError: something there cannot be removed.
    """
    if not os.path.lexists(out):
        return [], 0
    if not within.is_folder(out):
        raise RefusedError(
            "it is not a directory of this project", where=out, hint="remove it by hand if it is no longer needed"
        )
    with _alone(out):
        paths = list(_own(out))
        return paths, freed_by(paths) if dry_run else sum(map(remove_tree, paths))


def _own(out: str) -> Iterator[str]:
    for name in sorted(os.listdir(out)):
        path = os.path.join(out, name)
        if not within.is_folder(path):
            continue
        if name == "run":
            yield from (os.path.join(path, each) for each in sorted(os.listdir(path)) if each not in _LOCKS)
        elif name in OWN or image.is_ours(path) or _is_half_made(path):
            yield path


def _is_half_made(path: str) -> bool:
    """Whether a killed process left it, of an image or another directory of ours that was to be replaced."""
    found = _HALF.fullmatch(os.path.basename(path))
    return found is not None and (found[1] in OWN or image.is_ours(path, whole=False))


@contextmanager
def _alone(out: str) -> Iterator[None]:
    with ExitStack() as stack:
        end = "end the gateway with Ctrl-C, then run the command again"
        _hold(os.path.join(out, "run", "lock"), stack, "`builder run` is using it", end)
        again = "wait for it to end, then run the command again"
        _hold(out, stack, "a build is writing to it", again)
        rootfs = os.path.join(out, "rootfs")
        _hold(rootfs, stack, "an image is being unpacked there", again)
        for name in os.listdir(rootfs) if os.path.isdir(rootfs) else ():
            _hold(os.path.join(rootfs, name, "used"), stack, "`builder test` is using it", again)
        yield


def _hold(path: str, stack: ExitStack, message: str, hint: str) -> None:
    """Hold the lock at `path`, if there is one, until the stack ends."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # nothing is there, or a link, which is not the builder's
        return
    stack.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(message, where=path, hint=hint) from None
