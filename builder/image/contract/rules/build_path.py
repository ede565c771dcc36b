"""Rule `build-path`: no file names a place of the build, which does not exist where the image runs."""

from collections.abc import Iterator

from builder.base.units import counted
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image

RULE = "build-path"
_HINT = "strip it, or map the prefix (-ffile-prefix-map, a configure option)"


def check(image: Image) -> Iterator[Finding]:
    for each in image.traces:
        more = f", {counted(each.count, 'place')}" if each.count > 1 else ""
        yield Finding(
            rule=RULE, path=each.path, message=f"names {each.needle} of the build: '{each.text}'{more}", hint=_HINT
        )
