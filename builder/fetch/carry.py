"""Archives of the store as files of a directory, to be carried to a machine without network (`fetch --to`).

No entry of the directory is followed or replaced: a file is made under another name and renamed when it is complete. An
entry with the name of a source stays. If it is not that source's file, the file is named by its SHA-256, under which
`--distdir` looks first.
"""

import hashlib
import os
import shlex
import stat
from collections.abc import Mapping
from typing import BinaryIO

from builder.base import digest, textfile
from builder.base.errors import MachineError, StoreError, UsageError
from builder.fetch.wanted import Pinned, Wanted
from builder.store import Store


def carry(store: Store, folder: str, found: Mapping[Wanted, Pinned]) -> list[str]:
    """Copy the archive of each source to `folder`. Returns one line for each that lies there under its SHA-256 only.

    Raises:
        UsageError: the directory is a link, or something else has the SHA-256 as its name.
        StoreError: an archive of the store is damaged.
        MachineError: the directory cannot be written.
    """
    _make(folder)
    notes = []
    had: dict[str, str] = {}  # name -> SHA-256
    # Sources without a pinned SHA-256 come first: they need their name.
    for each, pin in sorted(found.items(), key=lambda item: item[0].source.sha256 is not None):
        sha256, name = pin.sha256, each.source.filename
        assert sha256 is not None, "the fetcher measures every file"
        plain = name not in ("", ".", "..") and "/" not in name
        if plain and had.setdefault(name, sha256) == sha256 and _place(store, folder, name, sha256):
            continue
        if not _place(store, folder, sha256, sha256):
            path = os.path.join(folder, sha256)
            hint = f"remove it: rm -r {shlex.quote(path)}"
            raise UsageError("something else has the name of an archive", where=path, hint=hint)
        notes.append(f"{each.title}: another file has the name {name}, so its archive is there as {sha256}")
    return notes


def _make(folder: str) -> None:
    if os.path.islink(folder):
        hint = f"name the directory itself: --to {shlex.quote(os.path.realpath(folder))}"
        raise UsageError("the directory to copy to is a symbolic link", where=folder, hint=hint)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        message = f"could not make the directory: {error.strerror}"
        raise MachineError(message, where=folder, hint="name another one") from error


def _place(store: Store, folder: str, name: str, sha256: str) -> bool:
    """Copy the archive to a name; False when another entry has that name."""
    target = os.path.join(folder, name)
    if os.path.lexists(target):
        return stat.S_ISREG(os.lstat(target).st_mode) and digest.of_file(target) == sha256
    try:
        with textfile.replaced(target, os.path.join(folder, f".{sha256}.part"), durable=True) as file:
            _copy(store.file_path(sha256), file, sha256)
    except OSError as error:
        hint = "check its permissions and the space that is left, then run the command again"
        raise MachineError(f"could not write {name}: {error.strerror}", where=folder, hint=hint) from error
    return True


def _copy(source: str, target: BinaryIO, sha256: str) -> None:
    hasher = hashlib.sha256()
    with open(source, "rb") as reader:
        while chunk := reader.read(digest.CHUNK):
            hasher.update(chunk)
            target.write(chunk)
    if hasher.hexdigest() != sha256:
        hint = "run `builder store verify --remove`, then this command again"
        raise StoreError("an archive of the store is damaged", where=source, hint=hint)
