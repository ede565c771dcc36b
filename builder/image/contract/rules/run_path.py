"""Rule `run-path`: the directories in which programs and libraries look for libraries are
in the image, and are fixed places.

A relative or empty run path is searched below the working directory in which the program is
started: any user who can write there can put a library into it. With set-user-id or file
capabilities, musl ignores a program's run paths that use $ORIGIN.
"""

import posixpath
from collections.abc import Iterator

from builder.image.contract import linking
from builder.image.contract.elf import Elf
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image
from builder.image.oci import capability
from builder.image.oci.entry import Entry

RULE = "run-path"
_SET_ID = 0o6000


def check(image: Image) -> Iterator[Finding]:
    for path, each in image.elves.items():
        for message, hint in _problems(image, image.rootfs.entries[path], each):
            yield Finding(rule=RULE, path=path, message=message, hint=hint)


def _problems(image: Image, entry: Entry, elf: Elf) -> Iterator[tuple[str, str]]:
    folders = linking.expanded(elf, posixpath.dirname(entry.path))
    if elf.run_paths and not folders:
        yield (
            f"its run path {':'.join(elf.run_paths)} has a variable that musl does not know",
            "use $ORIGIN or an absolute path",
        )
    for written, folder in zip(elf.run_paths, folders, strict=False):
        if not folder.startswith("/"):
            yield (
                f"its run path '{written}' is relative to the working directory in which it is started",
                "use an absolute path",
            )
        elif not image.rootfs.is_folder(folder):
            yield (
                f"its run path {written} is not a directory of the image",
                "link without it, or add what belongs there",
            )
    gains = entry.mode & _SET_ID or any(name == capability.XATTR for name, _ in entry.xattrs)
    if gains and elf.interpreter and any("$" in written for written in elf.run_paths):
        yield "it has capabilities, so musl ignores its run paths with $ORIGIN", "link it with an absolute run path"
