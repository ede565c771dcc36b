"""The index of an image layout: a list of descriptors (image-spec v1.1: image-layout.md,
image-index.md, descriptor.md).

The first one is the image that `image.write` made. Companions may stand behind it:
artifacts whose `subject` is the image (a bill of materials, a signature) and manifests of
other platforms. They stay for as long as they are about this very image, or were made from
the same lock; the rest is dropped, so that an index never mixes what belongs to two locks.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from builder.base import canonical, digest, textfile
from builder.base.errors import ArchiveError
from builder.image.oci.config import LOCK

FILE = "index.json"
TYPE = "application/vnd.oci.image"
# The errors of reading an image that is not as it was written: its documents can hold anything.
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArchiveError)

Descriptor = Mapping[str, Any]


class Companion(Struct, frozen=True, kw_only=True):
    """A descriptor behind the image's, and the paths of its blobs."""

    descriptor: Descriptor
    blobs: tuple[str, ...]


def encode(descriptors: Sequence[Descriptor]) -> bytes:
    """The index that names `descriptors`, the image's first."""
    return canonical.encode({"schemaVersion": 2, "mediaType": f"{TYPE}.index.v1+json", "manifests": list(descriptors)})


def read(layout: str) -> list[dict[str, Any]]:
    """The descriptors of a layout, the image's first.

    Raises:
        DAMAGED: there is no index, or one without an image.
    """
    found = list(map(dict, _json(os.path.join(layout, FILE))["manifests"]))
    if not found:
        raise ValueError(f"{layout} has no image")
    return found


def documents(layout: str, descriptor: Descriptor | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and config of `descriptor`, else of the layout's image.

    Raises:
        DAMAGED: they are not there, or not such documents.
    """
    manifest = _json(blob_path(layout, descriptor or read(layout)[0]))
    return manifest, _json(blob_path(layout, manifest["config"]))


def blob_path(layout: str, descriptor: Descriptor) -> str:
    """The path of the blob that a descriptor names.

    Raises:
        DAMAGED: it names none.
    """
    algorithm, _, name = descriptor["digest"].partition(":")
    if algorithm != "sha256" or not digest.is_hex(name):
        raise ValueError(f"{descriptor['digest']} is no SHA-256")
    return os.path.join(layout, "blobs", algorithm, name)


def companions(layout: str, image: Descriptor, lock: str) -> list[Companion]:
    """The companions in a layout that stay beside `image`, made from `lock`; none where the layout cannot be read."""
    try:
        others = read(layout)[1:]
    except DAMAGED:
        return []
    found: list[Companion] = []
    for each in others:
        subjects = {image["digest"], *(one.descriptor["digest"] for one in found)}
        try:
            if each["digest"] not in subjects and _stays(layout, each, image, lock, subjects):
                canonical.encode(each)  # it must be writable again
                found.append(Companion(descriptor=each, blobs=_blobs(layout, each)))
        except DAMAGED:
            continue
    return found


def _stays(layout: str, descriptor: Descriptor, image: Descriptor, lock: str, subjects: set[str]) -> bool:
    manifest, config = (
        documents(layout, descriptor) if "platform" in descriptor else (_json(blob_path(layout, descriptor)), {})
    )
    if "subject" in manifest:
        return manifest["subject"]["digest"] in subjects
    return bool(descriptor["platform"] != image["platform"] and config["config"]["Labels"][LOCK] == lock)


def _blobs(layout: str, descriptor: Descriptor) -> tuple[str, ...]:
    """The blobs of a manifest, each of which is what its digest says.

    Raises:
        DAMAGED: one is absent or damaged.
    """
    manifest = _json(blob_path(layout, descriptor))
    paths = [blob_path(layout, each) for each in (descriptor, manifest["config"], *manifest["layers"])]
    for path in dict.fromkeys(paths):
        if os.path.realpath(path) != os.path.join(os.path.realpath(layout), os.path.relpath(path, layout)):
            raise ValueError(f"{path} is a link")
        if not os.path.isfile(path) or digest.of_file(path) != os.path.basename(path):
            raise ValueError(f"{path} is damaged")
    return tuple(dict.fromkeys(paths))


def _json(path: str) -> dict[str, Any]:
    return dict(json.loads(textfile.read(path)))
