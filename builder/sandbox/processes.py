"""The use of running sandboxes, read from /proc (proc(5)): resident memory and number of processes."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from msgspec import Struct

MIB = 1 << 20
_OWN = (b"RssAnon:", b"VmSwap:")  # not RssFile: pages of mapped files are a cache that can be dropped
# Bytes that a shared object may hold in the kernel, by the kind that /proc/PID/fd names. A pipe: two pages, since one
# user's larger ones have no more than 64 MiB in all (pipe(7), pipe-user-pages-soft). A socket: the largest buffer of
# one.
_BUFFERS = {"pipe": 8 << 10, "socket": 416 << 10}
_SHARE = 20  # slow readings take at most one part in so many of one core


class Usage(Struct, frozen=True):
    """memory: bytes. processes: how many, zombies included."""

    memory: int
    processes: int


def measure(folders: Iterable[str], extra: int = 0) -> Usage:
    """Sums over processes, each given by its directory below /proc. Those that end meanwhile do not count.

    extra: further bytes in use, as of files in memory and of objects that processes share.
    """
    used = [each for each in (_memory(folder, _OWN) for folder in folders) if each is not None]
    return Usage(sum(used) + extra, len(used))


class Shared:
    """The objects that the processes of one run share, each once: memory without a file by its whole size, since the
    process that filled it may have unmapped it; pipes and sockets by the bytes they may hold. Readings are spaced by
    their cost.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._size = 0

    def size(self, folders: Iterable[str]) -> int:
        """Bytes, of processes that are given by their directories below /proc."""
        start = time.monotonic()
        if start >= self._until:
            self._size = _shared(folders)
            end = time.monotonic()
            self._until = end + (end - start) * _SHARE
        return self._size


def _shared(folders: Iterable[str]) -> int:
    sizes: dict[str, int] = {}
    for folder in folders:
        try:
            for name, size in chain(_shared_memory(folder), _buffers(folder)):
                sizes[name] = max(size, sizes.get(name, 0))
        except OSError:  # it has ended, or a security module denies access: then shared memory counts as its own
            sizes[folder] = _memory(folder, (b"RssShmem:",)) or 0
    return sum(sizes.values())


def _memory(folder: str, counted: tuple[bytes, ...]) -> int | None:
    try:
        with open(f"{folder}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(counted))


def _shared_memory(folder: str) -> Iterator[tuple[str, int]]:
    """Shared mappings that no file is behind (proc(5), /proc/pid/maps: address mode offset device inode name)."""
    with open(f"{folder}/maps", "rb") as file:
        found = [line.split(None, 5) for line in file if b" (deleted)" in line]
    for span, mode, offset, device, inode, name in (each for each in found if len(each) == 6):
        if mode.endswith(b"s") and name.startswith((b"/dev/zero", b"/SYSV")):
            start, _, end = span.partition(b"-")
            yield f"{device.decode()} {inode.decode()} {offset.decode()}", int(end, 16) - int(start, 16)


def _buffers(folder: str) -> Iterator[tuple[str, int]]:
    """Pipes and sockets that a process has open, as /proc names them, "pipe:[123]"."""
    for number in os.listdir(f"{folder}/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"{folder}/fd/{number}")
            kind = name.partition(":")[0]
            if kind in _BUFFERS:
                yield name, _BUFFERS[kind]


def has_our_root(pid: int) -> bool:
    """Whether a process sees the caller's root: a sandbox's first process does until it is set up. Raises OSError."""
    return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))


def inside(init: int) -> list[str]:
    """Directories of all processes but the first, `init`, in its process namespace, through its own /proc.

    Raises:
        OSError: the kernel denies access to it.
    """
    proc = f"/proc/{init}/root/proc"
    return [f"{proc}/{name}" for name in os.listdir(proc) if name.isdigit() and name != "1"]


def in_memory_files(init: int, targets: Iterable[str]) -> int:
    """Bytes that the files below `targets`, file systems in memory as `init` sees them, take up. Raises OSError."""
    found = [os.statvfs(f"/proc/{init}/root{target}") for target in targets]
    return sum((each.f_blocks - each.f_bfree) * each.f_frsize for each in found)


def below(ancestor: int, parents: Callable[[], dict[int, int]] | None = None) -> list[str]:
    """Directories of all processes that descend from `ancestor`. parents: gives process -> parent of all."""
    children: dict[int, list[int]] = {}
    for pid, parent in (parents or TABLE.parents)().items():
        children.setdefault(parent, []).append(pid)
    found = [ancestor]
    for pid in found:
        found.extend(children.get(pid, ()))
    return [f"/proc/{pid}" for pid in found[1:]]


class Table:
    """Process -> parent of the whole machine: one reading serves all sandboxes; readings are spaced by their cost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._parents: dict[int, int] = {}

    def parents(self) -> dict[int, int]:
        with self._lock:
            start = time.monotonic()
            if start >= self._until:
                self._parents = read_parents()
                end = time.monotonic()
                self._until = end + max(0.1, (end - start) * _SHARE)
            return self._parents


TABLE = Table()


def read_parents() -> dict[int, int]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # After the name in parentheses, which may hold anything: state, parent (proc(5), /proc/pid/stat).
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    return found
