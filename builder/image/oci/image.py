"""Writing an image as an OCI image layout (image-spec v1.1), and its layer as a file of its own.

    out/openresty/
      layer.tar.gz           the layer, for stacking on a base by other tools (a hard link to the blob)
      oci/
        oci-layout           the layout's version
        index.json           the image's manifest, named by its version, and its companions (see `index`)
        blobs/sha256/        manifest, config, and the layers: base first, the image's own layer last; companions' blobs

Everything is canonical JSON and every time is 0, so the same layers and recipe give the same bytes.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from builder.base import canonical, digest, textfile, units
from builder.base.errors import RefusedError
from builder.base.platform import PLATFORMS
from builder.base.replace import replacing, stranger
from builder.image.oci import index
from builder.image.oci.compress import THREADS, Blob
from builder.image.oci.config import PREFIX, SIZES, About, annotations, config_of
from builder.image.oci.entry import Entry
from builder.image.oci.index import DAMAGED, TYPE, documents

LAYOUT = "oci"
_BLOBS = f"{LAYOUT}/blobs/sha256"
# Paths of the builder's files below an image's directory.
FILES = re.compile(r"oci/(oci-layout|index\.json|blobs/sha256/([0-9a-f]{64}|layer))|layer\.tar\.(gz|zst)")
_SUFFIX = {"gzip": "gz", "zstd": "zst"}


class Composed(Struct, frozen=True, kw_only=True):
    """A layer to write: sorted entries, and what the image's history calls it."""

    entries: Sequence[Entry]
    title: str


class Tarball(Struct, frozen=True, kw_only=True):
    """A layer that is there: the path of a .tar.gz that is used byte for byte."""

    path: str
    title: str


class Kept(Struct, frozen=True, kw_only=True):
    """A layer of an image that was written before, taken over: path of its blob, what it is, "gzip" or "zstd"."""

    path: str
    title: str
    blob: Blob
    compression: str


Layer = Composed | Tarball | Kept


class Written(Struct, frozen=True, kw_only=True):
    """An image that was written. Paths are below the target directory. layers: base first;
    the last one is the image's own."""

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
    """Make the directory `target` ("out/openresty") the image, in one step: until then the old one stays.

    The last layer is the image's own. `compression` is "gzip" or "zstd" and is for composed layers only. `about` may be
    a function of the layers that were made, since its labels can depend on their digests.

    Raises:
        MachineError: the directory cannot be written. StoreError: a file changed meanwhile.
        ArchiveError: a damaged base.
        RefusedError: the files there were not written by the builder.
    """
    if stranger(target, FILES) is None and _is_foreign(target):
        hint = "move it to another place, then run the command again"
        raise RefusedError("it holds what another program made, so it is not replaced", where=target, hint=hint)
    with replacing(target, FILES) as folder:
        blobs = os.path.join(folder, _BLOBS)
        os.makedirs(blobs)
        made = [_layer(blobs, each, compression, threads) for each in layers]
        if not isinstance(about, About):
            about = about(tuple(made))
        kinds = [_compression(each, compression) for each in layers]
        titles = [each.title for each in layers]
        found, beside, manifest = _documents([*zip(titles, made, kinds, strict=True)], about, target)
        for path, data in found.items():
            with open(os.path.join(folder, path), "xb") as file:
                file.write(data)
        for path in beside:
            with suppress(FileExistsError):  # it is one of the image's, too
                os.link(path, os.path.join(blobs, os.path.basename(path)))
        name = f"layer.tar.{_SUFFIX[kinds[-1]]}"
        os.link(os.path.join(blobs, made[-1].digest), os.path.join(folder, name))
    return Written(
        layout=os.path.join(target, LAYOUT), layer_file=os.path.join(target, name), manifest=manifest,
        reference=about.version, layers=tuple(made),
    )  # fmt: skip


def is_ours(target: str, *, whole: bool = True) -> bool:
    """Whether a directory is an image that `write` made, without foreign files; without `whole`, a part of one.

    Raises:
        OSError: it cannot be looked at.
    """
    if stranger(target, FILES) is not None:
        return False
    return not whole or (os.path.isfile(os.path.join(target, LAYOUT, "oci-layout")) and not _is_foreign(target))


def _is_foreign(target: str) -> bool:
    """Whether there are files and no image, or a readable image without our layer file
    beside it and without our label on it."""
    if not os.path.isdir(os.path.join(target, LAYOUT)):
        return os.path.isdir(target) and bool(os.listdir(target))
    if any(os.path.lexists(os.path.join(target, f"layer.tar.{suffix}")) for suffix in _SUFFIX.values()):
        return False
    try:
        _, config = documents(os.path.join(target, LAYOUT))
        return SIZES not in (config.get("config", {}).get("Labels") or {})
    except DAMAGED:
        return False


def _compression(layer: Layer, wanted: str) -> str:
    if isinstance(layer, Kept):
        return layer.compression
    return "gzip" if isinstance(layer, Tarball) else wanted


def _layer(blobs: str, layer: Layer, compression: str, threads: int) -> Blob:
    """Put a layer among the blobs under its digest."""
    from builder.image.oci import base, compress, tar  # noqa: PLC0415 - a new label needs none of it

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


def _documents(
    layers: Sequence[tuple[str, Blob, str]], about: About, target: str
) -> tuple[dict[str, bytes], list[str], str]:
    """Layout's version, index, manifest and config by their paths below the image's directory; the
    paths of the blobs of the companions that lie in `target` and stay; the manifest's digest (hex).

    layers: title, blob and compression ("gzip", "zstd") of each.
    """
    found: dict[str, bytes] = {}

    def put(value: dict[str, Any]) -> dict[str, Any]:
        data = canonical.encode(value)
        name = hashlib.sha256(data).hexdigest()
        found[f"{_BLOBS}/{name}"] = data
        return {"digest": f"sha256:{name}", "size": len(data)}

    config = put(config_of([(title, blob) for title, blob, _ in layers], about))
    manifest = put({
        "schemaVersion": 2,
        "mediaType": f"{TYPE}.manifest.v1+json",
        "config": {"mediaType": f"{TYPE}.config.v1+json", **config},
        "layers": [
            {"mediaType": f"{TYPE}.layer.v1.tar+{compression}", "digest": f"sha256:{blob.digest}", "size": blob.size}
            for _, blob, compression in layers
        ],
        "annotations": annotations(about),
    })
    found[f"{LAYOUT}/oci-layout"] = canonical.encode({"imageLayoutVersion": "1.0.0"})
    image = {
        "mediaType": f"{TYPE}.manifest.v1+json",
        **manifest,
        "platform": {"architecture": PLATFORMS[about.platform].oci, "os": "linux"},
        "annotations": {f"{PREFIX}ref.name": about.version},
    }
    beside = index.companions(os.path.join(target, LAYOUT), image, about.lock)
    found[f"{LAYOUT}/{index.FILE}"] = index.encode([image, *(each.descriptor for each in beside)])
    return found, [path for each in beside for path in each.blobs], manifest["digest"].removeprefix("sha256:")


def read(target: str) -> Written:
    """The image in a directory that `write` made, from its own documents.

    Raises:
        DAMAGED: it is not there, or not an image of ours.
    """
    layout = os.path.join(target, LAYOUT)
    entry = index.read(layout)[0]
    manifest, config = documents(layout, entry)
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
        layout=layout, layer_file=os.path.join(target, f"layer.tar.{_SUFFIX[kind]}"),
        manifest=entry["digest"].removeprefix("sha256:"),
        reference=entry["annotations"][f"{PREFIX}ref.name"], layers=tuple(made),
    )  # fmt: skip


def kept(target: str) -> list[Kept]:
    """The layers of the image in the directory `target`, base first, to be written again with other labels.

    Raises:
        DAMAGED: it is not there, not an image of ours, or a layer is not what it is said to be.
    """
    from builder.image.oci.base import measure  # noqa: PLC0415 - imports what reads tarballs

    written = read(target)
    manifest, config = documents(written.layout)
    made = []
    for blob, layer, history in zip(written.layers, manifest["layers"], config["history"], strict=True):
        path = os.path.join(target, _BLOBS, blob.digest)
        compression = layer["mediaType"].rsplit("+", 1)[1]
        if not _is_plain(target, f"{_BLOBS}/{blob.digest}") or measure(path, compression) != blob:
            raise ValueError(f"{path} is damaged")
        made.append(Kept(path=path, title=history["comment"], blob=blob, compression=compression))
    return made


def is_written(target: str, layers: Sequence[Kept], about: About) -> bool:
    """Whether the directory `target` holds, byte for byte, what `write` would make of
    layers that lie there (see `kept`)."""
    found, _, _ = _documents([(each.title, each.blob, each.compression) for each in layers], about, target)
    own = layers[-1]
    layer_file = f"layer.tar.{_SUFFIX[own.compression]}"
    files = [*found, *(os.path.relpath(each.path, target) for each in layers), layer_file]
    if any(not _is_plain(target, path) for path in files):
        return False
    if any(textfile.read(os.path.join(target, path)) != data for path, data in found.items()):
        return False
    same = os.path.samefile(os.path.join(target, layer_file), own.path)
    return same or digest.of_file(os.path.join(target, layer_file)) == own.blob.digest


def _is_plain(target: str, path: str) -> bool:
    """Whether a path below `target` is a file there, and no link on the way leads elsewhere."""
    return os.path.isfile(os.path.join(target, path)) and os.path.realpath(os.path.join(target, path)) == os.path.join(
        os.path.realpath(target), path
    )


def describe(written: Written, about: About) -> str:
    """An image that was made and ways to use it, for people."""
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
