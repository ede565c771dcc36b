"""Rule `writable`: only owner and group can write, but for directories like /tmp where the
sticky bit keeps files apart."""

from collections.abc import Iterator

from builder.image.contract.finding import Finding
from builder.image.contract.image import Image
from builder.image.oci.entry import DIR, LINK

RULE = "writable"
_OTHERS = 0o002
_STICKY = 0o1000


def check(image: Image) -> Iterator[Finding]:
    for path, each in image.rootfs.entries.items():
        if each.kind != LINK and each.mode & _OTHERS and not (each.kind == DIR and each.mode & _STICKY):
            hint = (
                "take the right away, or set 1777" if each.kind == DIR else "take the right away in the image's `mode`"
            )
            yield Finding(rule=RULE, path=path, message=f"everybody can write to it (mode {each.mode:04o})", hint=hint)
