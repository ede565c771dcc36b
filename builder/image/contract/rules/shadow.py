"""Rule `shadow`: a layer does not turn a directory of a layer below into something else, or
a link to a directory into a directory.

A layer's "bin/" on a base whose /bin is a link to /usr/bin replaces the link, and every program in it is gone.
"""

from collections.abc import Iterator

from builder.image.contract.finding import Finding
from builder.image.contract.image import Image
from builder.image.oci.entry import DIR, KIND_WORDS, LINK

RULE = "shadow"


def check(image: Image) -> Iterator[Finding]:
    for lower, upper in image.rootfs.replaced:
        if DIR in {lower.kind, upper.kind}:
            to = f" to {lower.target}" if lower.kind == LINK else ""
            message = (
                f"is {KIND_WORDS[lower.kind]}{to} in {lower.origin}, and {KIND_WORDS[upper.kind]} in {upper.origin}"
            )
            yield Finding(rule=RULE, path=upper.path, message=message, hint="install below the place that the base has")
