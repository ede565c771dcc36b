"""A pinned layer that is not what the pinned outputs give: it is composed again in memory
and compared, without writing it.

Only where the store has all outputs and archives; that they are what their names say is for tree-bytes to tell.
"""

import hashlib
from collections.abc import Iterable, Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules.stale_output import request_of
from builder.base.errors import BuilderError
from builder.base.units import counted
from builder.image import compose
from builder.image.compose import Request
from builder.image.oci import base, tar
from builder.image.oci.entry import Entry
from builder.image.oci.image import Composed
from builder.lock.lock import LockedLayer

ID = "image-bytes"
_REMEDY = "take back the change of lock.toml; if the image is to change, remove its output there and run `{command}`"


def check(context: Context) -> Iterator[Finding]:
    for image in context.images:
        pinned = image.outputs.get(context.platform)
        request = request_of(context, image)
        if pinned is None or request is None or request.key() != pinned.key or not _here(context, request):
            continue
        place = f"image {image.name} in {image.profile}"
        remedy = _REMEDY.format(command=context.builds(image.name, (image.profile,)))
        try:
            made = composed(context, request)
        except BuilderError as error:
            yield Finding(ID, place, f"it cannot be composed again: {error.message}", error.hint or remedy)
            continue
        for key, reason in _differences(pinned, made):
            yield Finding(ID, f"{place}, {key}", reason, remedy)


def _here(context: Context, request: Request) -> bool:
    trees = all(context.store.has_tree(request.trees[name]["out"]) for name in request.packages)
    return trees and not compose.absent(request, context.store)


def composed(context: Context, request: Request) -> LockedLayer:
    """The layer as the lock would pin it now."""
    *below, own = [_measured(each) for each, _ in compose.layers(request, context.store)]
    return LockedLayer(key=request.key(), layer=own[0], size=own[1], base=tuple(digest for digest, _ in below))


def _measured(layer: compose.Layer) -> tuple[str, int]:
    """SHA-256 (hex) and size of a layer's uncompressed tar."""
    if isinstance(layer, Composed):
        return _digest(layer.entries)
    blob = base.measure(layer.path)
    return blob.diff_id, blob.diff_size


def _digest(entries: Iterable[Entry]) -> tuple[str, int]:
    """SHA-256 (hex) and size of the tar of some entries."""
    hasher = hashlib.sha256()
    size = 0

    def sink(data: bytes) -> None:
        nonlocal size
        size += len(data)
        hasher.update(data)

    tar.write(entries, sink)
    return hasher.hexdigest(), size


def _differences(pinned: LockedLayer, made: LockedLayer) -> Iterator[tuple[str, str]]:
    """(key of the lock, reason) of what composing gives otherwise."""
    if pinned.layer != made.layer:
        yield "layer", f"the lock pins {pinned.layer}, but composing gives {made.layer}"
    if pinned.size != made.size:
        yield "size", f"the lock pins {counted(pinned.size, 'byte')}, but composing gives {counted(made.size, 'byte')}"
    if pinned.base != made.base:
        one, other = ", ".join(pinned.base) or "none", ", ".join(made.base) or "none"
        yield "base", f"the lock pins {one}, but composing gives {other}"


RULE = Rule(ID, "a pinned layer is not what its packages' outputs give", check)
