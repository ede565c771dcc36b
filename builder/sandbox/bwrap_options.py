"""The options of bubblewrap (bwrap(1)) for a spec: a pure function, but for the names in this machine's /proc."""

import functools
import os
from collections.abc import Mapping

from msgspec import Struct

from builder.sandbox.spec import SandboxSpec, by_target, parents

IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the sandbox
# Files of /proc about the whole machine: the user's keys; and timers, pages and memory of the kernel, whose modes let
# only the machine's root in, so also a run that belongs to root. Hiding each costs 0.1 ms of a start.
_KEYS = ("key-users", "keys")
_ROOTS = (
    "kcore", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo", "sysrq-trigger",
    "timer_list", "vmallocinfo",
)  # fmt: skip
_ISOLATION = (
    "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--cap-drop", "ALL",
)  # fmt: skip


class Descriptors(Struct, frozen=True):
    """Descriptors that bubblewrap reads and writes. status: its status lines. files: path -> content.

    filter: the system call filter, if there is one for this machine. users: the user namespace to join, if there is
    one.
    """

    options: int
    status: int
    files: Mapping[str, int]
    filter: tuple[int, ...]
    users: tuple[int, ...] = ()

    def all(self) -> tuple[int, ...]:
        return (self.options, self.status, *self.files.values(), *self.filter, *self.users)


def options(spec: SandboxSpec, theirs: Descriptors) -> list[str]:
    """Bubblewrap's options, in the order in which it obeys them."""
    found = [*_ISOLATION, *(() if spec.network else ("--unshare-net",)), "--json-status-fd", str(theirs.status)]
    # Bubblewrap leaves the descriptor of a user namespace open for the command, but closes one that it waits on.
    joined = [word for each in theirs.users for word in ("--userns", str(each), "--block-fd", str(each))]
    found += joined or ["--unshare-user"]
    found += [word for each in theirs.filter for word in ("--seccomp", str(each))]
    found += ["--uid", str(spec.uid), "--gid", str(spec.gid), "--hostname", spec.hostname, "--chdir", spec.workdir]
    found += _own_folders(keys_only=bool(theirs.users))
    # Made by name, because versions differ in the modes of directories that they make on the way.
    for path in _folders(spec):
        found += ["--dir", path]
    for each in by_target(spec.mounts):
        found += ["--bind" if each.writable else "--ro-bind", each.source, each.target]
    for path, text in sorted(spec.links.items()):
        found += ["--symlink", text, path]
    for path, descriptor in sorted(theirs.files.items()):
        found += ["--file", str(descriptor), path]
    for name, value in sorted(spec.env.items()):
        found += ["--setenv", name, value]
    return [*found, "--remount-ro", "/"]


def _own_folders(*, keys_only: bool) -> list[str]:
    """/proc is read-only, because the files in /proc/sys belong to root's own user, which a server of root runs as."""
    found = ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    for path in _hidden(keys_only):  # no device can be opened on a mount that is not --dev-bind
        found += ["--ro-bind", "/dev/null", path]
    for path in IN_MEMORY:
        found += ["--tmpfs", path]
    return [*found, "--remount-ro", "/dev"]


@functools.cache
def _hidden(keys_only: bool) -> list[str]:
    """Files of /proc to hide from builds; kernels differ in which they have."""
    names = _KEYS if keys_only or os.geteuid() != 0 else _KEYS + _ROOTS
    return [path for name in names if os.path.exists(path := f"/proc/{name}")]


def _folders(spec: SandboxSpec) -> list[str]:
    """Directories to make: the empty ones, and all parents of mounts, links and files; parents come first."""
    found = set(spec.folders)
    for path in (*(each.target for each in spec.mounts), *spec.links, *spec.files, *spec.folders):
        found.update(parents(path))
    return sorted(found)
