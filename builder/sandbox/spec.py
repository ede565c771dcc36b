"""A sandbox as data: its files, its command, its limits. Nothing here starts anything."""

import shlex
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field

from builder.base import environment
from builder.recipe.recipe import Limits

OPEN_FILES = 1024


class Mount(Struct, frozen=True):
    """A directory or file of the host at a path of the sandbox. A writable one is a directory."""

    source: str
    target: str
    writable: bool = False


class SandboxSpec(Struct, frozen=True, kw_only=True):
    """All that one run sees. Paths are absolute and plain; nothing of the host's environment is inherited.

    mounts: read-only unless they say so. No path lies below another one.
    links: path of a symbolic link -> its text. files: path of a file -> its text, read-only. folders: empty ones.
    env: the complete environment. limits: MiB of memory in all, processes at a time, seconds.
    pass_fds: open descriptors that the command inherits under the same numbers (a jobserver's pipe).
    interactive: terminal, standard input and output are the caller's, and no limit of time holds.
    network: the machine's own network is in sight, and no limit of time holds: for a server. A build never has it.
    errors_fd: standard error goes here and not to the log. open_files: at a time and a process.
    as_caller: on the host the command belongs to the caller, even to root, whose files it reads: for servers and tests.
    Otherwise the command of root belongs to a user of its own (`hostuser`), and so do the files that it leaves.

    Every sandbox also has /proc, /dev, and the writable directories /tmp and /dev/shm, which are empty at the start.
    """

    mounts: tuple[Mount, ...]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=lambda: environment.BASE_FILES)
    folders: tuple[str, ...] = ()
    workdir: str = environment.BUILD
    hostname: str = environment.HOSTNAME
    uid: int = environment.UID
    gid: int = environment.GID
    limits: Limits = field(default_factory=Limits)
    interactive: bool = False
    pass_fds: tuple[int, ...] = ()
    network: bool = False
    errors_fd: int | None = None
    open_files: int = OPEN_FILES
    as_caller: bool = False

    @property
    def timed(self) -> bool:
        """Whether the limit of time holds."""
        return not self.interactive and not self.network

    def __post_init__(self) -> None:
        paths = [each.target for each in self.mounts] + [*self.links, *self.files, *self.folders]
        known = set(paths)
        assert self.argv, "a sandbox runs something"
        ours = (self.uid, self.gid) == (environment.UID, environment.GID)
        assert self.as_caller or ours, "a build's user has a fixed number"
        assert all(map(_is_plain, paths)), "absolute paths without '..', '.' or doubled slashes"
        assert len(paths) == len(known), "one thing at a path"
        assert not any(parent in known for path in paths for parent in parents(path)), "one thing is not inside another"


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return path.startswith("/") and not {"", ".", ".."}.intersection(parts[1:]) and "\0" not in path


def parents(path: str) -> Iterator[str]:
    """The directories above a plain path, the nearest first, without "/"."""
    while (path := path.rpartition("/")[0]) != "":
        yield path


def by_target(mounts: Iterable[Mount]) -> list[Mount]:
    return sorted(mounts, key=lambda mount: mount.target)


def describe(spec: SandboxSpec) -> list[str]:
    """The sandbox in lines for people, in a fixed order."""
    return [
        *(f"{_access(each)} {each.target} is {each.source}" for each in by_target(spec.mounts)),
        *(f"link      {path} -> {text}" for path, text in sorted(spec.links.items())),
        *(f"file      {path}, {len(text.encode())} bytes" for path, text in sorted(spec.files.items())),
        *(f"directory {path}, empty" for path in sorted(spec.folders)),
        "writable  /tmp and /dev/shm, empty, in memory",
        "network   " + ("the machine's" if spec.network else "none"),
        f"user      {spec.uid}:{spec.gid} on host {spec.hostname}, umask {environment.UMASK:04o}",
        f"limits    {spec.limits.memory} MiB of memory, {spec.limits.processes} processes, {_time(spec)}, "
        f"{spec.open_files} open files",
        *(f"variable  {name}={shlex.quote(value)}" for name, value in sorted(spec.env.items())),
        f"runs in   {spec.workdir}",
        f"runs      {shlex.join(spec.argv)}",
    ]


def _access(mount: Mount) -> str:
    return "writable " if mount.writable else "read-only"


def _time(spec: SandboxSpec) -> str:
    return f"{spec.limits.seconds} seconds" if spec.timed else "no limit of time"
