"""Writing an image as an OCI image layout (image-spec v1.1), and its layer as a file of its own.

    out/openresty/
      layer.tar.gz           the layer, for stacking on a base by other tools (a hard link to the blob)
      oci/
        oci-layout           the layout's version
        index.json           one manifest, named by the image's version
        blobs/sha256/        manifest, config, and the layers: base first, the image's own layer last

Everything is canonical JSON and every time is 0, so the same layers and recipe give the same bytes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from builder import canonical, digest, units
from builder.oci.compress import THREADS, Blob
from builder.oci.config import ARCHITECTURES, PREFIX, SIZES, About, annotations, config_of
from builder.oci.entry import Entry
from builder.oci.folder import replacing

LAYOUT = "oci"
_TYPE = "application/vnd.oci.image"
_SUFFIX = {"gzip": "gz", "zstd": "zst"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """A layer to write: sorted entries, and what the image's history calls it."""

    entries: Sequence[Entry]
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tarball:
    """A layer that is there: the path of a .tar.gz that is used byte for byte."""

    path: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A layer of an image that was written before, taken over: path of its blob, what it is, "gzip" or "zstd"."""

    path: str
    title: str
    blob: Blob
    compression: str


Layer = Composed | Tarball | Kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was made. Paths are below the target folder. `layers` are base first; the last one is the image's own."""

    layout: str
    layer_file: str
    manifest: str  # SHA-256 (hex)
    reference: str
    layers: tuple[Blob, ...]

    @property
    def layer(self) -> Blob:
        return self.layers[-1]


def write(
    target: str,
    layers: Sequence[Layer],
    about: About | Callable[[tuple[Blob, ...]], About],
    *,
    compression: str = "gzip",
    threads: int = THREADS,
) -> Written:
    """Make the folder `target` ("out/openresty") the image, in one step: until then the old one stays.

    The last layer is the image's own. `compression` is "gzip" or "zstd" and is for composed layers only. `about` may be
    a function of the layers that were made: what an image says of itself can depend on their digests.

    Raises:
        MachineError: the folder cannot be written. StoreError: a file changed meanwhile. ArchiveError: a damaged base.
    """
    with replacing(target) as folder:
        blobs = os.path.join(folder, LAYOUT, "blobs", "sha256")
        os.makedirs(blobs)
        made = [_layer(blobs, each, compression, threads) for each in layers]
        if not isinstance(about, About):
            about = about(tuple(made))
        manifest = _describe(folder, blobs, [*zip(layers, made, strict=True)], about, compression)
        name = f"layer.tar.{_suffix(layers[-1], compression)}"
        os.link(os.path.join(blobs, made[-1].digest), os.path.join(folder, name))
    return Written(
        layout=os.path.join(target, LAYOUT), layer_file=os.path.join(target, name), manifest=manifest,
        reference=about.version, layers=tuple(made),
    )  # fmt: skip


def _suffix(layer: Layer, compression: str) -> str:
    if isinstance(layer, Kept):
        return _SUFFIX[layer.compression]
    return _SUFFIX["gzip" if isinstance(layer, Tarball) else compression]


def _layer(blobs: str, layer: Layer, compression: str, threads: int) -> Blob:
    """Put a layer among the blobs under its digest."""
    from builder.oci import base, compress, tar  # noqa: PLC0415 - an image that is only labelled anew needs none of it

    staged = os.path.join(blobs, "layer")
    if isinstance(layer, Kept):
        blob = layer.blob
        os.link(layer.path, staged)
    elif isinstance(layer, Tarball):
        blob = base.measure(layer.path)
        shutil.copyfile(layer.path, staged)
    else:
        with open(staged, "xb") as file, compress.KINDS[compression](file, threads=threads) as compressor:
            tar.write(layer.entries, compressor.write)
            blob = compressor.close()
    os.rename(staged, os.path.join(blobs, blob.digest))
    return blob


def _describe(folder: str, blobs: str, layers: list[tuple[Layer, Blob]], about: About, compression: str) -> str:
    """Write config, manifest, index and layout; the manifest's digest."""
    config = _put(blobs, config_of([(each.title, blob) for each, blob in layers], about))
    kinds = {"gz": "gzip", "zst": "zstd"}
    manifest = _put(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": {"mediaType": f"{_TYPE}.config.v1+json", **config},
            "layers": [
                {
                    "mediaType": f"{_TYPE}.layer.v1.tar+{kinds[_suffix(layer, compression)]}",
                    "digest": f"sha256:{blob.digest}",
                    "size": blob.size,
                }
                for layer, blob in layers
            ],
            "annotations": annotations(about),
        },
    )
    _json(
        os.path.join(folder, LAYOUT, "index.json"),
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.index.v1+json",
            "manifests": [
                {
                    "mediaType": f"{_TYPE}.manifest.v1+json",
                    **manifest,
                    "platform": {"architecture": ARCHITECTURES[about.platform], "os": "linux"},
                    "annotations": {f"{PREFIX}ref.name": about.version},
                }
            ],
        },
    )
    _json(os.path.join(folder, LAYOUT, "oci-layout"), {"imageLayoutVersion": "1.0.0"})
    return str(manifest["digest"]).removeprefix("sha256:")


def read(target: str) -> Written:
    """What lies in the folder of an image that `write` made, from its own documents.

    Raises:
        OSError, ValueError, LookupError: it is not there, or not an image of ours.
    """
    layout = os.path.join(target, LAYOUT)
    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        entry = json.load(file)["manifests"][0]
    manifest, config = documents(layout)
    sizes = config["config"]["Labels"][SIZES].split()
    made = [
        Blob(
            digest=layer["digest"].removeprefix("sha256:"),
            size=layer["size"],
            diff_id=diff_id.removeprefix("sha256:"),
            diff_size=int(size),
        )
        for layer, diff_id, size in zip(manifest["layers"], config["rootfs"]["diff_ids"], sizes, strict=True)
    ]
    kind = manifest["layers"][-1]["mediaType"].rsplit("+", 1)[1]
    return Written(
        layout=layout, layer_file=os.path.join(target, f"layer.tar.{_SUFFIX[kind]}"), manifest=entry["digest"].removeprefix("sha256:"),
        reference=entry["annotations"][f"{PREFIX}ref.name"], layers=tuple(made),
    )  # fmt: skip


def kept(target: str) -> list[Kept]:
    """The layers of the image in the folder `target`, base first, to be written again with other labels.

    Raises:
        OSError, ValueError, LookupError: it is not there, not an image of ours, or a blob is not what its name says.
    """
    written = read(target)
    manifest, config = documents(written.layout)
    made = []
    for blob, layer, history in zip(written.layers, manifest["layers"], config["history"], strict=True):
        path = os.path.join(written.layout, "blobs", "sha256", blob.digest)
        if digest.of_file(path) != blob.digest:
            raise ValueError(f"{path} is damaged")
        made.append(Kept(path=path, title=history["comment"], blob=blob, compression=layer["mediaType"].rsplit("+", 1)[1]))
    return made


def documents(layout: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and config of an OCI image layout with one image (image-spec v1.1: image-layout.md)."""

    def blob(name: str) -> dict[str, Any]:
        with open(os.path.join(layout, "blobs", *name.split(":")), encoding="utf-8") as file:
            return dict(json.load(file))

    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    manifest = blob(index["manifests"][0]["digest"])
    return manifest, blob(manifest["config"]["digest"])


def _put(blobs: str, value: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON blob; its descriptor without the media type."""
    data = canonical.encode(value)
    name = hashlib.sha256(data).hexdigest()
    _bytes(os.path.join(blobs, name), data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def _json(path: str, value: dict[str, Any]) -> None:
    _bytes(path, canonical.encode(value))


def _bytes(path: str, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def describe(written: Written, about: About) -> str:
    """What was made and how to use it, for people."""
    reference = f"oci:{written.layout}:{written.reference}"
    layer = written.layer
    total = sum(blob.size for blob in written.layers)
    return "\n".join(
        (
            f"layer     sha256:{layer.diff_id} ({units.size(layer.diff_size)}, {units.size(layer.size)} compressed)",
            f"file      {written.layer_file}",
            f"image     {written.layout} ({units.size(total)} compressed)",
            f"manifest  sha256:{written.manifest}",
            "",
            f"inspect   skopeo inspect {reference}",
            f"run       podman run --rm {reference}",
            f"Docker    skopeo copy {reference} docker-daemon:{about.name}:{written.reference}",
        )
    )
