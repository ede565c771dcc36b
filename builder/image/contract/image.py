"""The image as the rules see it: its files, read once."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from msgspec import Struct

from builder.image.contract import elf, linking, trace
from builder.image.contract.elf import Elf
from builder.image.contract.finding import Finding
from builder.image.contract.linking import Loaded
from builder.image.contract.rootfs import Rootfs, read
from builder.image.contract.trace import Trace
from builder.image.oci.entry import Entry

BUILD_PATHS = ("/build/", "/output/", "/sources/")  # where a sandbox has its work, its output and its sources
_LUA = ".lua"
_DAMAGED = (
    "correct it in its package, or leave it out; where the store is damaged: `builder store verify --remove`, "
    "then build again"
)


class Image(Struct, frozen=True, kw_only=True, dict=True):
    """rootfs: the files that a container sees. elves: programs and libraries by path.
    damaged: findings of files that are neither.

    lua: path -> source, of the modules that use FFI. traces: places of the build that files name.
    machine: the processor ("x86_64", "aarch64").
    """

    rootfs: Rootfs
    machine: str
    elves: dict[str, Elf]
    lua: dict[str, bytes]
    traces: tuple[Trace, ...]
    damaged: tuple[Finding, ...]

    @cached_property
    def programs(self) -> dict[str, Loaded]:
        """Programs that musl's loader starts, with what it finds for each."""
        return {
            path: linking.load(self.rootfs, self.elves, path) for path, each in self.elves.items() if each.interpreter
        }


def survey(layers: Iterable[Sequence[Entry]], *, machine: str, build_paths: Iterable[str] = BUILD_PATHS) -> Image:
    """Read every file of the image, base layer first. OSError: a file cannot be read."""
    rootfs = Rootfs(layers)
    search = trace.Search(build_paths)
    elves: dict[str, Elf] = {}
    lua: dict[str, bytes] = {}
    traces: list[Trace] = []
    damaged: list[Finding] = []
    for entry in rootfs.files():
        data = read(entry)
        traces.extend(search.find(entry.path, data))
        if entry.path.endswith(_LUA) and b"ffi" in data:
            lua[entry.path] = data
        try:
            found = elf.read(data)
        except elf.DamagedError as error:
            message = f"the file looks like a program but cannot be read: {error}"
            damaged.append(Finding(rule="damaged", path=entry.path, message=message, hint=_DAMAGED))
        else:
            if found:
                elves[entry.path] = found
    return Image(rootfs=rootfs, machine=machine, elves=elves, lua=lua, traces=tuple(traces), damaged=tuple(damaged))
