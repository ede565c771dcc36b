"""Rule `needed`: every library that a program or library needs is found by musl's loader."""

import posixpath
from collections.abc import Iterator

from builder.image.contract import linking
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image

RULE = "needed"


def check(image: Image) -> Iterator[Finding]:
    told: set[tuple[str, str]] = set()
    reached = set(image.programs)
    for loaded in image.programs.values():
        reached.update(loaded.libraries)
        for missing in loaded.missing:
            if missing not in told:
                told.add(missing)
                yield _finding(image, *missing)
    for path in image.elves.keys() - reached:
        for missing in _missing_later(image, path):
            if missing not in told:
                told.add(missing)
                yield _finding(image, *missing)


def _missing_later(image: Image, path: str) -> Iterator[tuple[str, str]]:
    """Symbols that a library lacks which no program needs: one program that could load it
    (dlopen) with everything is enough."""
    for owner, name in linking.load(image.rootfs, image.elves, path).missing:
        if not any(_provided(image, program, name) for program in image.programs):
            yield owner, name


def _provided(image: Image, program: str, name: str) -> bool:
    """Whether a program has loaded `name` already, or its run paths lead to it."""
    names = {posixpath.basename(each) for each in image.programs[program].libraries}
    names |= {name for each in (program, *image.programs[program].libraries) for name in image.elves[each].needed}
    folders = linking.expanded(image.elves[program], posixpath.dirname(program))
    return name in names or any(image.rootfs.file(f"{folder}/{name}") in image.elves for folder in folders)


def _finding(image: Image, path: str, name: str) -> Finding:
    elsewhere = sorted(each for each in image.rootfs.entries if posixpath.basename(each) == posixpath.basename(name))
    hint = (
        f"it is at {elsewhere[0]}: link with that directory as run path"
        if elsewhere
        else "add the package that has it to the image"
    )
    return Finding(
        rule=RULE, path=path, message=f"needs {name}, which musl's loader does not find in the image", hint=hint
    )
