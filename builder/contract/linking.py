"""Which libraries a program gets inside an image: musl's dynamic loader, acted out on the image's entries.

Source: musl 1.2.5, ldso/dynlink.c (`load_library`, `fixup_rpath`, `path_open`). Its rules differ from glibc's:
- RPATH and RUNPATH mean the same, and those of whoever needed a library count for what that library needs, too.
- After them come the folders of /etc/ld-musl-ARCH.path, or /lib, /usr/local/lib and /usr/lib. There is no cache.
- libc.*, libpthread.*, librt.*, libm.*, libdl.*, libutil.*, libxnet.* are the loader itself, whatever they are called.
- $ORIGIN is the only variable. A path with another one is not searched at all, nor is one with $ORIGIN in a program that
  gains rights when it starts (set-user-id, file capabilities).
LD_LIBRARY_PATH has no part in it: such a program ignores it, and an image must not need it.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.contract.elf import Elf
from builder.contract.rootfs import Rootfs, read

DEFAULT_PATH = "/lib:/usr/local/lib:/usr/lib"
_ITSELF = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_ORIGIN = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")


@dataclass(kw_only=True, slots=True)
class Loaded:
    """What a start of `program` maps. missing: (path of who needs it, name) pairs, in order."""

    program: str
    libraries: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


def expand(run_path: str, owner: str) -> str | None:
    """One run path of the file `owner` ("usr/lib/x.so") as an absolute one; None when it has a variable that is none."""
    found = _ORIGIN.sub("/" + posixpath.dirname(owner), run_path)
    return None if "$" in found else found


def system_path(rootfs: Rootfs, machine: str) -> tuple[str, ...]:
    """Folders that are searched last."""
    entry = rootfs.file(f"etc/ld-musl-{machine}.path")
    text = read(rootfs.entries[entry]).decode("utf-8", "replace") if entry else DEFAULT_PATH
    return tuple(part for part in re.split(r"[:\n]", text) if part)


def load(rootfs: Rootfs, elves: Mapping[str, Elf], program: str) -> Loaded:
    """What the loader finds for a program, or for a library that one loads later (with the library's own paths alone)."""
    loaded = Loaded(program=program)
    needed_by: dict[str, str] = {}
    by_name: dict[str, str] = {}
    queue = [program]
    for path in queue:
        for name in elves[path].needed:
            if _ITSELF.match(name) or name in by_name or f"/{name}" == elves[program].interpreter:
                continue
            found = find(rootfs, elves, name, path, needed_by)
            if found is None:
                loaded.missing.append((path, name))
            else:
                by_name[name] = found
                if found not in needed_by:
                    needed_by[found] = path
                    queue.append(found)
                    loaded.libraries.append(found)
    return loaded


def find(rootfs: Rootfs, elves: Mapping[str, Elf], name: str, wanted_by: str, needed_by: Mapping[str, str]) -> str | None:
    """The file that `name` stands for when `wanted_by` needs it; `needed_by` leads from libraries up to the program."""
    if "/" in name:
        return _usable(rootfs, elves, name, wanted_by)
    owner: str | None = wanted_by
    seen: set[str] = set()
    while owner is not None and owner not in seen:
        seen.add(owner)
        for run_path in elves[owner].run_paths:
            folder = expand(run_path, owner)
            if folder and (found := _usable(rootfs, elves, f"{folder}/{name}", wanted_by)):
                return found
        owner = needed_by.get(owner)
    for folder in system_path(rootfs, elves[wanted_by].machine):
        if found := _usable(rootfs, elves, f"{folder}/{name}", wanted_by):
            return found
    return None


def _usable(rootfs: Rootfs, elves: Mapping[str, Elf], path: str, wanted_by: str) -> str | None:
    found = rootfs.file(path)
    return found if found in elves and elves[found].machine == elves[wanted_by].machine else None
