"""A control group for each run, where the kernel allows one (version 2, cgroups(7)): the kernel then limits the memory,
and also counts memory that no sample sees.

    GROUP                a group that was delegated to builder: its controllers are given to its children
    ├── ...              the group that builder runs in, as its session or service was started
    ├── builder-PID-0    or, where that was GROUP itself, the one that builder has moved to
    └── builder-PID-N    one run: memory.max, no swap, all of it ends together; removed when the run has ended

A group belongs to one manager (systemd, "Control Group APIs and Delegation"), so none is made below a group that is not
delegated. A plain user's is one that the user may write to; root's belongs to root and has the mark that systemd gives
with Delegate=. A group with processes hands no controllers on: if builder is alone in a marked one, it moves to a group
below; it does not move the processes of others. Version 1 has no delegation and is not used. Groups of a killed builder
are removed by the next one.
"""

import contextlib
import itertools
import os
import re
import time

from msgspec import Struct

from builder.recipe.recipe import Limits
from builder.sandbox.processes import MIB, below, read_parents

_NAME = re.compile(r"builder-(\d+)-\d+")
_COUNT = itertools.count(1)
_MARKS = ("trusted.delegate", "user.delegate")
_RECLAIMED = ("file", "slab_reclaimable")  # of memory.stat: a cache that can be dropped


class Place(Struct, frozen=True):
    """Where groups can be made: path of a directory, or "" and why not. ready: whether it hands memory on by now."""

    path: str
    reason: str = ""
    ready: bool = True


def find(mounts: str = "/proc/self/mountinfo", own: str = "/proc/self/cgroup") -> Place:
    """The nearest delegated group, from builder's own upwards, that hands memory on, or can (`take`)."""
    try:
        with open(mounts, encoding="utf-8") as file:
            roots = [line.split()[4] for line in file if " - cgroup2 " in line]
        with open(own, encoding="utf-8") as file:
            groups = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    except OSError as error:
        return Place("", f"{error.filename}: {error.strerror}")
    if not roots or not groups:
        return Place("", "control groups of version 2 are not mounted")
    if "memory" not in _words(f"{roots[0]}/cgroup.controllers"):
        return Place("", "version 2 has no memory controller here; version 1, which cannot be delegated, holds it")
    path = roots[0] + groups[0].rstrip("/")
    reason = "no group with a memory controller is delegated to this user"
    while path.startswith(roots[0]):
        if _is_ours(path) and "memory" in _words(f"{path}/cgroup.subtree_control"):
            return Place(path)
        if _is_marked(path) and _is_ours(path) and "memory" in _words(f"{path}/cgroup.controllers"):
            if not (others := _others(path)):
                return Place(path, ready=False)
            reason = f"{path} is delegated but cannot be divided, because process {others[0]} is in it, too"
        path = os.path.dirname(path)
    return Place("", reason)


def take(place: Place) -> str:
    """Make a place ready; its path, "" when there is none. Groups of killed builders are removed.

    Raises:
        OSError: the kernel refuses it.
    """
    if not place.path:
        return ""
    if not place.ready:
        if _words(f"{place.path}/cgroup.procs"):
            _move_down(place.path)
        _write(f"{place.path}/cgroup.subtree_control", "+memory")
        with contextlib.suppress(OSError):  # a group without that controller
            _write(f"{place.path}/cgroup.subtree_control", "+pids")
    _clean(place.path)
    return place.path


def _move_down(path: str) -> None:
    """Builder moves first, so that processes that it starts from then on are there, too."""
    down = f"{path}/builder-{os.getpid()}-0"
    os.mkdir(down)
    _write(f"{down}/cgroup.procs", str(os.getpid()))
    for each in _words(f"{path}/cgroup.procs"):
        with contextlib.suppress(ProcessLookupError):
            _write(f"{down}/cgroup.procs", each)


def _is_ours(path: str) -> bool:
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            return os.stat(path).st_uid == 0 and _is_marked(path)
        return False
    return os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)


def _is_marked(path: str) -> bool:
    with contextlib.suppress(OSError):
        return any(mark in os.listxattr(path) and os.getxattr(path, mark) == b"1" for mark in _MARKS)
    return False


def _others(path: str) -> list[str]:
    """Processes in a group, without builder and its children."""
    found = set(_words(f"{path}/cgroup.procs")) - {str(os.getpid())}
    if found:
        found -= {os.path.basename(each) for each in below(os.getpid(), read_parents)}
    return sorted(found)


def _words(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


class Group:
    """A group for one run, made below a place and removed by `remove`. Raises OSError if it cannot be made."""

    def __init__(self, place: str) -> None:
        self.path = f"{place}/builder-{os.getpid()}-{next(_COUNT)}"
        os.mkdir(self.path)

    def limit(self, limits: Limits) -> None:
        """Limit the memory of all processes together, and the number of tasks as `rlimits` does. Raises OSError."""
        self._write("memory.max", str(limits.memory * MIB))
        self._write("memory.oom.group", "1")
        for name, value in (("memory.swap.max", "0"), ("pids.max", str(4 * limits.processes + 1024))):
            with contextlib.suppress(OSError):  # a kernel without swap, a group without that controller
                self._write(name, value)

    def enter(self, pid: int) -> None:
        """Put a process in; its future children will be in, too. Raises OSError."""
        self._write("cgroup.procs", str(pid))

    def memory(self) -> int:
        """Bytes in use, without caches that the kernel would drop. Raises OSError."""
        with open(f"{self.path}/memory.stat", encoding="ascii") as file:
            stat = {name: int(value) for name, value in map(str.split, file)}
        used = int(_words(f"{self.path}/memory.current")[0])
        return used - sum(stat.get(name, 0) for name in _RECLAIMED) + stat.get("shmem", 0)  # `file` counts shmem, too

    def is_full(self) -> bool:
        """Whether the kernel ended the run because it used too much memory."""
        words = _words(f"{self.path}/memory.events")
        return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Ends all processes in the group, and removes it; if that fails, the next run does it."""
        _remove(self.path)

    def _write(self, name: str, value: str) -> None:
        _write(f"{self.path}/{name}", value)


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _remove(path: str) -> None:
    for _ in range(50):
        with contextlib.suppress(OSError), open(f"{path}/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:  # a process that was killed is not gone yet
            time.sleep(0.01)
        else:
            return


def _clean(place: str) -> None:
    """Remove the groups of killed builders."""
    for name in os.listdir(place):
        if (found := _NAME.fullmatch(name)) and not os.path.exists(f"/proc/{found.group(1)}"):
            _remove(f"{place}/{name}")
