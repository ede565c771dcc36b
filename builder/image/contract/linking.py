"""Which libraries a program gets inside an image: musl's dynamic loader, acted out on the image's entries.

Source: musl 1.2.5, ldso/dynlink.c (`load_library`, `fixup_rpath`, `path_open`). Its rules differ from glibc's:
- RPATH and RUNPATH mean the same, and a library's needs are looked for in those of the files that needed it, too.
- After them come the directories of /etc/ld-musl-ARCH.path, or /lib, /usr/local/lib and /usr/lib. There is no cache.
- libc.*, libpthread.*, librt.*, libm.*, libdl.*, libutil.*, libxnet.* are the loader itself, whatever they are called.
- $ORIGIN is the only variable; a run path with another one is not searched at all. For a library it is
  the directory that it was found in, links not followed; for a program the directory of the file itself.
LD_LIBRARY_PATH has no part in it: a program with capabilities ignores it, and an image must not need it.
"""

import posixpath
import re
from collections.abc import Mapping

from msgspec import Struct

from builder.image.contract.elf import Elf
from builder.image.contract.rootfs import Rootfs, read

DEFAULT_PATH = ("/lib", "/usr/local/lib", "/usr/lib")
_ITSELF = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_ORIGIN = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")


class Loaded(Struct, frozen=True, kw_only=True):
    """The result of a start: libraries in order of loading, and (path of the file that
    needs it, name) of those missing."""

    libraries: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]


def expanded(elf: Elf, folder: str) -> tuple[str, ...]:
    """The run paths of a file in `folder` ("usr/lib"), absolute where they use $ORIGIN;
    none when one cannot be expanded."""
    found = tuple(_ORIGIN.sub("/" + folder, path) for path in elf.run_paths)
    return () if any("$" in path for path in found) else found


def system_path(rootfs: Rootfs, machine: str) -> tuple[str, ...]:
    """The directories that are searched last."""
    path = rootfs.file(f"etc/ld-musl-{machine}.path")
    if path is None:
        return DEFAULT_PATH
    text = read(rootfs.entries[path]).decode("utf-8", "replace")
    return tuple(part for part in re.split(r"[:\n]", text) if part)


def load(rootfs: Rootfs, elves: Mapping[str, Elf], start: str) -> Loaded:
    """The libraries that the loader finds for a program; or for a library, as if it were
    loaded by a program without run paths."""
    return _Loader(rootfs, elves, start).load()


def locate(rootfs: Rootfs, elves: Mapping[str, Elf], program: str, name: str) -> str | None:
    """The file that the running program gets when it opens the library `name` (dlopen)."""
    place = _Loader(rootfs, elves, program).find(name, program)
    return place[0] if place else None


class _Loader:
    def __init__(self, rootfs: Rootfs, elves: Mapping[str, Elf], start: str) -> None:
        self._rootfs = rootfs
        self._elves = elves
        self._start = start
        self._folders = {start: posixpath.dirname(start)}  # file -> directory that it was found in
        self._needed_by: dict[str, str] = {}
        self._last = system_path(rootfs, elves[start].machine)

    def load(self) -> Loaded:
        found: list[str] = []
        missing: list[tuple[str, str]] = []
        names: set[str] = set()
        queue = [self._start]
        for path in queue:
            for name in self._elves[path].needed:
                if _ITSELF.match(name) or name in names or name == self._elves[self._start].interpreter:
                    continue
                place = self.find(name, path)
                if place is None:
                    missing.append((path, name))
                    continue
                names.add(name)
                library, folder = place
                if library not in self._folders:
                    self._folders[library] = folder
                    self._needed_by[library] = path
                    queue.append(library)
                    found.append(library)
        return Loaded(libraries=tuple(found), missing=tuple(missing))

    def find(self, name: str, wanted_by: str) -> tuple[str, str] | None:
        """(file, directory that it was found in) of what `name` stands for when `wanted_by` needs it."""
        if "/" in name:
            return self._usable(posixpath.dirname(name), posixpath.basename(name))
        folders: list[str] = []
        owner: str | None = wanted_by
        while owner is not None:  # up to the program: each library but the first was needed by one before it
            folders += expanded(self._elves[owner], self._folders[owner])
            owner = self._needed_by.get(owner)
        candidates = (self._usable(folder, name) for folder in (*folders, *self._last))
        return next((each for each in candidates if each), None)

    def _usable(self, folder: str, name: str) -> tuple[str, str] | None:
        found = self._rootfs.file(f"{folder}/{name}")
        if found is None or found not in self._elves or self._elves[found].machine != self._elves[self._start].machine:
            return None
        return found, folder.strip("/")
