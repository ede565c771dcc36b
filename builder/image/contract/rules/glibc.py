"""Rule `glibc`: nothing in the image belongs to glibc or was linked with it; one process
cannot have two C libraries."""

import posixpath
import re
from collections.abc import Iterator

from builder.image.contract.elf import Elf
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image

RULE = "glibc"
# Names of glibc's own files: its loader, and the libraries with its version numbers (libc.so.6, libdl.so.2 ...).
_LOADER = re.compile(r"ld-linux[-a-z0-9_]*\.so\.\d")
_LIBRARY = re.compile(
    r"lib(?:c|m|mvec)\.so\.6|lib(?:dl|nss_[a-z]+|resolv|thread_db)\.so\.2"
    r"|lib(?:pthread|nsl)\.so\.0|lib(?:rt|util|anl)\.so\.1"
)
_HINT = "build its package with the musl compiler"


def check(image: Image) -> Iterator[Finding]:
    for path in image.rootfs.entries:
        if _is_glibc(posixpath.basename(path)):
            yield Finding(rule=RULE, path=path, message="is a file of glibc", hint="leave it out of the image")
    for path, each in image.elves.items():
        for message in _ties(each):
            yield Finding(rule=RULE, path=path, message=message, hint=_HINT)


def _is_glibc(name: str) -> bool:
    return bool(_LOADER.fullmatch(name) or _LIBRARY.fullmatch(name))


def _ties(elf: Elf) -> Iterator[str]:
    """The plainest tie of one file to glibc: the others come with it."""
    if _is_glibc(posixpath.basename(elf.interpreter)):
        yield f"is started by glibc's loader {elf.interpreter}"
    elif names := [name for name in elf.needed if _is_glibc(name)]:
        yield f"needs glibc's {' and '.join(names)}"
    elif versions := [each for each in elf.versions if each.startswith("GLIBC_")]:
        yield f"needs symbols of glibc ({', '.join(versions)})"
    elif elf.glibc_tag:
        yield "has glibc in it (linked statically)"
