"""The root file system of a built image, unpacked once: `builder test` and `builder run` start programs in it.

    out/rootfs/                     locked (flock) while a directory is made or removed; other commands wait
      gateway-test-4f2c.../         one directory an image and state: named by the digests of its layers
        root/                       the layers laid over one another, the lowest first
        used                        locked (flock, shared) by every command that runs something in `root`
      .gateway-test-4f2c.../        being made; what a killed process left is removed by the next one

A directory that is there is whole: it is made under another name and renamed. Older states of the same image are
removed when no command uses them. The digest of what the layers unpacked to is remembered
in the user's cache, where no checkout
writes: a directory that was changed since, or was not unpacked here, is unpacked anew. A layer's
bytes are checked against their digest and unpacked as `builder.fetch.unpack` does it, so nothing
of a layer can lead out of its directory; whiteouts (image-spec v1.1, layer.md) are obeyed. Of
modes only the executable bit stays, and owners and capabilities are those of the user that
unpacks: in the sandbox everything belongs to its user.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import Struct

from builder.base import canonical, digest, within
from builder.base.errors import ArchiveError, MachineError, StoreError
from builder.cache import memo
from builder.fetch import unpack
from builder.image.oci import image as oci
from builder.image.oci import index
from builder.store.remove import remove_tree
from builder.tree import nar

FORMAT = 1
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KEPT = re.compile(r"[^.].*-[0-9a-f]{16}")  # names below out/rootfs/: "gateway-0123456789abcdef"
_MADE = re.compile(rf"\.{_KEPT.pattern}")  # while it is made or removed
_MOST_USERS = 2**32 - 1  # that number itself means "leave as it is" to the kernel
_NOWHERE = "/nonexistent"
_HINT = "remove the image's directory and run the command again: the image is written anew"


class Account(Struct, frozen=True):
    """A user of the image by number, and its home directory (passwd(5))."""

    uid: int
    gid: int
    home: str


class Rootfs(Struct, frozen=True, kw_only=True):
    """An unpacked image. root: its directory. env, command, user: those of its config (image-spec v1.1, config.md)."""

    root: str
    env: Mapping[str, str]
    command: tuple[str, ...]
    user: str

    def account(self) -> Account:
        """The numbers of the config's user; 65534 for root or no user at all: nginx is to see a plain user."""
        name, _, group = self.user.partition(":")
        gid = _number(group)
        for line in self._lines("etc/passwd"):
            fields = line.split(":")
            if len(fields) < 6 or name not in (fields[0], fields[2]):
                continue
            uid, own = _number(fields[2]), _number(fields[3])
            if uid and own is not None:
                return Account(uid, own if gid is None else gid, fields[5])
        if uid := _number(name):
            return Account(uid, uid if gid is None else gid, _NOWHERE)
        return Account(65534, 65534, _NOWHERE)

    def host_path(self, path: str) -> str:
        """Where a path of the image lies on the host, links followed inside of it."""
        return within.resolve(self.root, path)

    def _lines(self, path: str) -> list[str]:
        found = self.host_path(path)
        if not os.path.isfile(found):
            return []
        with open(found, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def has(self, path: str) -> bool:
        """Whether there is something at a path of the image, links followed inside of it."""
        return os.path.exists(self.host_path(path))

    def program(self, name: str) -> str:
        """The path in the image of a program that its PATH leads to; "" when there is none."""
        for folder in self.env.get("PATH", "").split(":"):
            found = self.host_path(f"{folder}/{name}")
            if folder.startswith("/") and os.path.isfile(found) and os.stat(found).st_mode & 0o111:
                return f"{folder}/{name}"
        return ""


def _number(text: str) -> int | None:
    """The number of a user or group; None for a text that is none."""
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_USERS))
    return int(text) if plain and int(text) < _MOST_USERS else None


@contextmanager
def unpacked(target: str, above: str, cache_dir: str) -> Iterator[Rootfs]:
    """The root file system of the image in the directory `target` ("out/gateway"), unpacked
    below `above` ("out/rootfs").

    cache_dir: where it is remembered what layers unpack to. The directory stays as it is
    until the block ends, whatever other commands build meanwhile.

    Raises:
        ArchiveError: a layer is not what its name says, is damaged or hostile.
        MachineError: the directory cannot be written.
    """
    layout = os.path.join(target, oci.LAYOUT)
    manifest, config = index.documents(layout)
    layers = [str(each["digest"]) for each in manifest["layers"]]
    name = os.path.basename(os.path.normpath(target))
    place = os.path.join(os.path.abspath(above), f"{name}-{_key(layers)}")
    used = _claim(place, name, [index.blob_path(layout, each) for each in manifest["layers"]], cache_dir)
    try:
        yield _rootfs(os.path.join(place, "root"), config.get("config", {}))
    finally:
        os.close(used)  # lets go of the lock


def _key(layers: list[str]) -> str:
    return digest.to_hex(canonical.key([FORMAT, *layers]))[:16]


def _rootfs(root: str, config: Mapping[str, Any]) -> Rootfs:
    return Rootfs(
        root=root, env=dict(each.partition("=")[::2] for each in config.get("Env", ())),
        command=(*config.get("Entrypoint", ()), *config.get("Cmd", ())), user=str(config.get("User", "")),
    )


def _claim(place: str, name: str, blobs: list[str], cache_dir: str) -> int:
    """Have the directory `place`, locked as used; the lock's descriptor."""
    above, known = os.path.dirname(place), f"rootfs-{place.rpartition('-')[2]}"
    try:
        os.makedirs(above, exist_ok=True)
        lock = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _sweep(above)
            if os.path.lexists(place) and not _is_unchanged(place, memo.read(cache_dir, known)):
                _discard_changed(place)
            if not os.path.lexists(place):
                memo.write(cache_dir, known, _make(place, blobs))
            _remove_older(place, name)
            used = _open_used(place)
            fcntl.flock(used, fcntl.LOCK_SH)
            return used
        finally:
            os.close(lock)
    except OSError as error:
        hint = "free space or permissions there"
        raise MachineError(f"the image cannot be unpacked: {error.strerror}", where=place, hint=hint) from error


def _sweep(above: str) -> None:
    """Remove what was being made when a process was killed. The lock is held, so no command is at work on it."""
    for each in os.listdir(above):
        if _MADE.fullmatch(each):
            remove_tree(os.path.join(above, each))


def _is_unchanged(place: str, tree: str | None) -> bool:
    root = os.path.join(place, "root")
    try:
        if not (within.is_folder(place) and within.is_folder(root)):  # a checkout can bring a link that leads out of it
            return False
        return tree is not None and tree == nar.hash_tree(root)
    except (OSError, StoreError):
        return False


def _discard_changed(place: str) -> None:
    try:
        _discard(place)
    except BlockingIOError as error:
        hint = "end the `builder run` or `builder test` that uses it, then run the command again"
        message = "the unpacked image was changed, or not unpacked here, and another command uses it"
        raise MachineError(message, where=place, hint=hint) from error


def _discard(place: str) -> None:
    """Remove an unpacked image. The lock of the directory above is held.

    Raises:
        BlockingIOError: a command uses it.
    """
    if not within.is_folder(place):
        remove_tree(place)
        return
    used = _open_used(place)
    try:
        fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}")
        os.rename(place, hidden)
        remove_tree(hidden)
    finally:
        os.close(used)


def _open_used(place: str) -> int:
    path = os.path.join(place, "used")
    if os.path.islink(path):  # brought by a checkout: no command made it
        os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _remove_older(place: str, name: str) -> None:
    """Remove other states of the same image that no command uses."""
    above, keep = os.path.split(place)
    for each in os.listdir(above):
        if each == keep or not _KEPT.fullmatch(each) or each.rpartition("-")[0] != name:
            continue
        with suppress(BlockingIOError):
            _discard(os.path.join(above, each))


def _make(place: str, blobs: list[str]) -> str:
    """Unpack the layers to `place`; the digest of the tree that they are together."""
    staged = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}")
    root = os.path.join(staged, "root")
    try:
        os.makedirs(root)
        for number, blob in enumerate(blobs):
            layer = os.path.join(staged, f"layer-{number}")
            os.mkdir(layer)
            _check(blob)
            unpack.unpack(blob, "layer.tar", layer, strip=0, limits=unpack.Limits())
            lay_over(layer, root)
            remove_tree(layer)
        tree = nar.hash_tree(root)
        os.rename(staged, place)
        return tree
    finally:
        remove_tree(staged)


def _check(blob: str) -> None:
    if digest.of_file(blob) != os.path.basename(blob):
        raise ArchiveError("the layer is not what its name says", where=blob, hint=_HINT)


def lay_over(upper: str, lower: str) -> None:
    """Move what the directory `upper` holds over what `lower` holds, as a layer lies on those below it.

    Directories merge, anything else replaces what is there, and a whiteout removes it. No link is followed.

    Raises:
        ArchiveError: a whiteout that names no file.
    """
    todo = [(upper, lower)]
    while todo:
        above, below = todo.pop()
        with os.scandir(above) as found:
            # Whiteouts come first: they are about the lower one alone.
            entries = sorted(found, key=lambda entry: not entry.name.startswith(_WHITEOUT))
        for entry in entries:
            if entry.name.startswith(_WHITEOUT):
                _wipe(below, entry.name)
                continue
            target = os.path.join(below, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                remove_tree(target)
                os.rename(entry.path, target)
                continue
            if not within.is_folder(target):
                remove_tree(target)
                os.mkdir(target)
            todo.append((entry.path, target))


def _wipe(folder: str, whiteout: str) -> None:
    if whiteout == _OPAQUE:
        for each in os.listdir(folder):
            remove_tree(os.path.join(folder, each))
        return
    name = whiteout.removeprefix(_WHITEOUT)
    if name in ("", ".", "..") or name.startswith(_WHITEOUT):
        raise ArchiveError(f"the layer has a whiteout '{whiteout}', which names no file", where=folder, hint=_HINT)
    remove_tree(os.path.join(folder, name))
