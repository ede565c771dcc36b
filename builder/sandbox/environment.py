"""What every build finds around it: environment variables, user database, fixed names and numbers.

All of it is the same on every machine. What is here (but not `CORES`) belongs in a derivation's key. The wall clock is
the host's: no namespace can fix it, so builds take `SOURCE_DATE_EPOCH` for a time.
"""

from collections.abc import Mapping
from types import MappingProxyType

HOSTNAME = "builder"
UID = 1000
GID = 1000
UMASK = 0o022
BUILD = "/build"
OUTPUT = "/output"

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


def build_env(cores: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of one build. `CORES` is how many processors it may use; it must not reach an output."""
    return {**BUILD_ENV, "CORES": str(cores), **(extra or {})}
