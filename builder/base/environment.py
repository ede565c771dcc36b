"""The surroundings of every build besides its inputs. They are the same on every machine, and part of each key.

The wall clock is the host's: no namespace can fix it, so builds take `SOURCE_DATE_EPOCH` for a time. The executor says
how many processors a build may use (`CORES`, `MAKEFLAGS`); the number must not matter.
"""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from builder.base import canonical

HOSTNAME = "builder"
UID = 1000
GID = 1000
UMASK = 0o022
OPEN_FILES = 1024
BUILD = "/build"
OUTPUT = "/output"
SOURCES = "/sources"

BUILD_ENV: Mapping[str, str] = MappingProxyType({
    "HOME": BUILD,
    "LANG": "C",
    "LC_ALL": "C",
    "LOGNAME": "builder",
    "OUT": OUTPUT,
    "PATH": "/usr/bin:/bin",
    "SHELL": "/bin/sh",
    "SOURCE_DATE_EPOCH": "1",
    "TMPDIR": f"{BUILD}/tmp",  # noqa: S108 - inside the sandbox
    "TZ": "UTC",
    "USER": "builder",
})

BASE_FILES: Mapping[str, str] = MappingProxyType({
    "/etc/group": "root:x:0:\nbuilder:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost builder\n::1 localhost builder\n",
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "builder:x:1000:1000:builder:/build:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    ),
})


class Environment(Struct, frozen=True, kw_only=True, dict=True):
    """The surroundings of a build, as a value that any executor can make.

    variables: the whole environment, but for the executor's own. files: path -> text, read-only; they replace the
    inputs' files at these paths. uid, gid: of the one user. open_files: most open files of one process. build: a
    writable directory with src/ and tmp/, the home of the user. output: a writable directory for the result. sources:
    directory of the trees of the sources, by name. script: path of the build's script; argv: the command that runs it.
    workdir: the directory where it starts.
    """

    variables: Mapping[str, str] = BUILD_ENV
    files: Mapping[str, str] = BASE_FILES
    hostname: str = HOSTNAME
    uid: int = UID
    gid: int = GID
    umask: int = UMASK
    open_files: int = OPEN_FILES
    build: str = BUILD
    output: str = OUTPUT
    sources: str = SOURCES
    script: str = f"{BUILD}/.builder.sh"
    argv: tuple[str, ...] = ("/bin/sh", f"{BUILD}/.builder.sh")
    workdir: str = f"{BUILD}/src"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for canonical JSON."""
        return {**asdict(self), "variables": dict(self.variables), "files": dict(self.files), "argv": list(self.argv)}

    @cached_property
    def key(self) -> str:
        """Digest of all of it."""
        return canonical.key(self.as_dict())


STANDARD = Environment()
