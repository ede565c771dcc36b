"""Rule `interpreter`: every program's loader is in the image, and every program is made for the image's machine."""

from collections.abc import Iterator

from builder.image.contract.finding import Finding
from builder.image.contract.image import Image

RULE = "interpreter"


def check(image: Image) -> Iterator[Finding]:
    yield from image.damaged
    for path, each in image.elves.items():
        if each.machine != image.machine:
            message = f"it is made for {each.machine}, the image is for {image.machine}"
            yield Finding(rule=RULE, path=path, message=message, hint="build its package for the image's platform")
        elif each.interpreter and not image.rootfs.file(each.interpreter):
            message = f"its loader {each.interpreter} is not in the image"
            yield Finding(rule=RULE, path=path, message=message, hint="add the package that has it (musl) to the base")
