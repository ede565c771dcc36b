"""The running gateway of a project: one at a time, and a second command finds the first.

    out/run/
      lock          locked (flock) as long as it runs
      reloading     locked (flock) by a reload; the next one waits
      state.json    how it was started, and its processes with the times at which they began
      conf/ home/   see place.py
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import Struct, to_builtins

from builder.base import textfile
from builder.base.errors import RefusedError
from builder.run.rootfs import Rootfs
from builder.run.serving.listening import Listener, Listening
from builder.run.serving.place import Place
from builder.run.serving.tree import Process

_STATE = "state.json"
_START = "start it: builder run --policy FILE"


class Instance(Struct, frozen=True, kw_only=True):
    """A running gateway. tools: the tool root with the launcher of sandboxes, "" for the system's."""

    builder: Process
    nginx: Process
    tools: str
    place: Place

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = to_builtins(self)
        return found

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Instance":
        """Raises LookupError, TypeError or ValueError for what `to_dict` did not make."""
        place = dict(value["place"])
        listening = dict(place["listening"])
        for name in ("http", "https"):
            listening[name] = tuple(Listener(**each) for each in listening[name])
        rootfs = {**place["rootfs"], "command": tuple(place["rootfs"]["command"])}
        place |= {
            "listening": Listening(**listening),
            "rootfs": Rootfs(**rootfs),
            "stand_ins": tuple(place["stand_ins"]),
        }
        return cls(
            builder=Process(**value["builder"]),
            nginx=Process(**value["nginx"]),
            tools=str(value["tools"]),
            place=Place(**place),
        )

    def write(self) -> None:
        """Say to other commands that it runs."""
        path = os.path.join(self.place.folder, _STATE)
        with textfile.replaced(path) as file:
            file.write(json.dumps(self.to_dict(), indent=2, sort_keys=True).encode())


@contextmanager
def claim(folder: str) -> Iterator[None]:
    """Be the one that runs the gateway of this project until the block ends.

    Raises:
        RefusedError: another one runs.
    """
    os.makedirs(folder, exist_ok=True)
    lock = _lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        forget(folder)  # of one that was killed
        yield
        forget(folder)
    except BlockingIOError:
        raise _taken(folder) from None
    finally:
        os.close(lock)


@contextmanager
def one_reload(folder: str) -> Iterator[None]:
    """Wait until no other reload is at work, and be the only one until the block ends."""
    lock = _lock(folder, "reloading")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lock(folder: str, name: str = "lock") -> int:
    path = os.path.join(folder, name)
    if os.path.islink(path):
        raise RefusedError(
            "it is a link, which the builder did not make", where=path, hint="remove it, then run the command again"
        )
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _taken(folder: str) -> RefusedError:
    where = ""
    with suppress(OSError, LookupError, TypeError, ValueError):
        found = _read(folder)
        where = f", process {found.builder.pid}, at {found.place.listening.urls()[0].split()[0]}"
    hint = "end it with Ctrl-C, or have it take what you edited: builder run --reload"
    return RefusedError(f"the gateway of this project runs already{where}", where=folder, hint=hint)


def forget(folder: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _STATE))


def running(folder: str) -> Instance:
    """The gateway of this project that runs now.

    Raises:
        RefusedError: none runs, or it has not started up yet.
    """
    try:
        lock = _lock(folder)
    except FileNotFoundError:
        raise RefusedError("no gateway of this project runs", where=folder, hint=_START) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _alive(folder)
    finally:
        os.close(lock)
    raise RefusedError("no gateway of this project runs", where=folder, hint=_START)


def _alive(folder: str) -> Instance:
    try:
        found = _read(folder)
    except (OSError, LookupError, TypeError, ValueError):
        raise RefusedError(
            "the gateway of this project is just starting, or ending", where=folder, hint="try again"
        ) from None
    if not found.nginx.alive():
        raise RefusedError(f"its nginx, process {found.nginx.pid}, has ended", where=folder, hint=_START)
    return found


def _read(folder: str) -> Instance:
    with open(os.path.join(folder, _STATE), encoding="utf-8") as file:
        return Instance.from_dict(json.load(file))
