"""Directories that serve as `/` of the chroot sandbox, kept between runs because most of one is the tool root.

    <scratch>/root-<n>/           0700: closed to other users
      root/                       made of hard links (chroot_farm.py)
        usr/ lib/ ...             read-only mounts, symbolic links and files of the spec: owned by root, so not writable
        build/ output/            the caller's directories, moved here for the run and back after it
        tmp/ dev/shm/             emptied after every run
        dev/null ...              devices

A root is used by one run at a time. For the next run only the differences are removed and added.
"""

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator

from builder.base import environment
from builder.base.errors import SandboxError, StoreError
from builder.sandbox import chroot_farm
from builder.sandbox.spec import Mount, SandboxSpec
from builder.store.remove import remove_tree

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}  # Linux devices.txt
_EMPTIED = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the root

Thing = tuple[str, str]  # kind, and its content: a source, a link's text, a file's text


class Root:
    """One root directory. placed: path -> the thing that is there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.placed: dict[str, Thing] = {}

    def change(self, wanted: dict[str, Thing]) -> None:
        """Makes the root show `wanted` and nothing else."""
        if not os.path.exists(self.path):
            self._make()
        for path in sorted(self.placed, reverse=True):
            if wanted.get(path) != self.placed[path]:
                remove_tree(self.path + path)
                del self.placed[path]
                self._remove_empty(os.path.dirname(path))
        for path in sorted(wanted.keys() - self.placed.keys()):
            chroot_farm.make_folder(os.path.dirname(self.path + path))
            _put(self.path + path, wanted[path])
            self.placed[path] = wanted[path]

    def _make(self) -> None:
        chroot_farm.make_folder(self.path + "/dev")
        for name, (major, minor) in _DEVICES.items():
            _make_device(f"{self.path}/dev/{name}", os.makedev(major, minor))
        for each in _EMPTIED:
            _make_shared(self.path + each)

    def _remove_empty(self, path: str) -> None:
        while path != "/" and path not in self.placed:
            try:
                os.rmdir(self.path + path)
            except OSError:  # not empty
                return
            path = os.path.dirname(path)

    def remove(self) -> None:
        with contextlib.suppress(StoreError):
            remove_tree(os.path.dirname(self.path))

    def empty(self) -> None:
        """Empties the directories that every sandbox has."""
        for each in _EMPTIED:
            remove_tree(self.path + each)
            _make_shared(self.path + each)


def things(spec: SandboxSpec) -> dict[str, Thing]:
    """The things that a root must show for a spec, without its writable directories."""
    found: dict[str, Thing] = dict.fromkeys(spec.folders, ("folder", ""))
    found |= {each.target: ("tree", each.source) for each in spec.mounts if not each.writable}
    found |= {path: ("link", text) for path, text in spec.links.items()}
    return found | {path: ("file", text) for path, text in spec.files.items()}


class Roots:
    """The roots of one sandbox below `scratch`; safe to use from many threads."""

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self._idle: list[Root] = []

    @contextlib.contextmanager
    def lease(self, spec: SandboxSpec) -> Iterator[str]:
        """A root that shows the things of `spec`, with its writable directories in place; they move back at the end."""
        wanted = things(spec)
        root = self._take(wanted)
        try:
            root.change(wanted)
            with _moved_in(root.path, [each for each in spec.mounts if each.writable]):
                yield root.path
            root.empty()
        except BaseException:
            root.remove()
            raise
        with self._lock:
            self._idle.append(root)

    def _take(self, wanted: dict[str, Thing]) -> Root:
        """The idle root that needs the fewest changes, or a new one."""
        with self._lock:
            if self._idle:
                best = max(self._idle, key=lambda root: len(root.placed.items() & wanted.items()))
                self._idle.remove(best)
                return best
        return Root(tempfile.mkdtemp(prefix="root-", dir=self._scratch) + "/root")

    def close(self) -> None:
        with self._lock:
            roots, self._idle = self._idle, []
        for each in roots:
            each.remove()


@contextlib.contextmanager
def _moved_in(root: str, mounts: list[Mount]) -> Iterator[None]:
    """Moves the caller's directories into the root, gives them to the build's user, and moves them back in any case."""
    done: list[Mount] = []
    try:
        for each in mounts:
            chroot_farm.make_folder(os.path.dirname(root + each.target))
            _move(each.source, root + each.target)
            done.append(each)
            chroot_farm.hand_over(root + each.target, environment.UID, environment.GID)
        yield
    finally:
        for each in done:
            os.rename(root + each.target, each.source)


def _move(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        raise SandboxError(
            f"the build's directory cannot be moved into the sandbox: {error.strerror}", where=source,
            hint="the scratch directory of --sandbox chroot must lie on the file system of the store",
        ) from error


def _put(path: str, thing: Thing) -> None:
    kind, what = thing
    if kind == "tree":
        chroot_farm.place(what, path)
    elif kind == "link":
        os.symlink(what, path)
    elif kind == "file":
        with open(path, "x", encoding="utf-8") as file:
            file.write(what)
        os.chmod(path, 0o644)
    else:
        chroot_farm.make_folder(path)


def _make_shared(path: str) -> None:
    os.mkdir(path)
    os.chmod(path, 0o1777)  # noqa: S103 - as /tmp is everywhere; the root is closed to other users


def _make_device(path: str, device: int) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, device)
        os.chmod(path, 0o666)  # noqa: S103 - as these devices are everywhere
        with open(path, "rb"):
            pass
    except OSError as error:
        raise SandboxError(
            f"this machine refuses to make or open a device: {error.strerror}", where=path,
            hint="--sandbox chroot needs the capability MKNOD and a scratch directory not mounted with 'nodev'",
        ) from error
