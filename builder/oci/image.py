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
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder import canonical, units
from builder.image import Config, Healthcheck
from builder.oci import base, compress, tar
from builder.oci.compress import Blob
from builder.oci.entry import Entry
from builder.oci.folder import replacing

LAYOUT = "oci"
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64-linux-musl": "amd64", "aarch64-linux-musl": "arm64"}  # as Go names them (image-spec, config.md)
_PREFIX = "org.opencontainers.image."
_TYPE = "application/vnd.oci.image"
_SUFFIX = {"gzip": "gz", "zstd": "zst"}
_NANOSECONDS = 1_000_000_000


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
class About:
    """What the image is: platform as in the lock, package versions by name, digest of lock.toml ("sha256-...")."""

    name: str
    version: str
    platform: str
    config: Config
    packages: Mapping[str, str] = field(default_factory=dict)
    lock: str = ""


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
    target: str, layers: Sequence[Composed | Tarball], about: About, *, compression: str = "gzip", threads: int = compress.THREADS
) -> Written:
    """Make the folder `target` ("out/openresty") the image, in one step: until then the old one stays.

    The last layer is the image's own. `compression` is "gzip" or "zstd" and is for composed layers only.

    Raises:
        MachineError: the folder cannot be written. StoreError: a file changed meanwhile. ArchiveError: a damaged base.
    """
    with replacing(target) as folder:
        blobs = os.path.join(folder, LAYOUT, "blobs", "sha256")
        os.makedirs(blobs)
        made = [_layer(blobs, each, compression, threads) for each in layers]
        manifest = _describe(folder, blobs, [*zip(layers, made, strict=True)], about, compression)
        name = f"layer.tar.{_suffix(layers[-1], compression)}"
        os.link(os.path.join(blobs, made[-1].digest), os.path.join(folder, name))
    return Written(
        layout=os.path.join(target, LAYOUT), layer_file=os.path.join(target, name), manifest=manifest,
        reference=about.version, layers=tuple(made),
    )  # fmt: skip


def _suffix(layer: Composed | Tarball, compression: str) -> str:
    return _SUFFIX["gzip" if isinstance(layer, Tarball) else compression]


def _layer(blobs: str, layer: Composed | Tarball, compression: str, threads: int) -> Blob:
    """Put a layer among the blobs under its digest."""
    staged = os.path.join(blobs, "layer")
    if isinstance(layer, Tarball):
        blob = base.measure(layer.path)
        shutil.copyfile(layer.path, staged)
    else:
        with open(staged, "xb") as file, compress.KINDS[compression](file, threads=threads) as compressor:
            tar.write(layer.entries, compressor.write)
            blob = compressor.close()
    os.rename(staged, os.path.join(blobs, blob.digest))
    return blob


def _describe(folder: str, blobs: str, layers: list[tuple[Composed | Tarball, Blob]], about: About, compression: str) -> str:
    """Write config, manifest, index and layout; the manifest's digest."""
    config = _put(blobs, config_of([(each.title, blob) for each, blob in layers], about))
    kinds = {"gz": "gzip", "zst": "zstd"}
    manifest = _put(blobs, {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}.manifest.v1+json",
        "config": {"mediaType": f"{_TYPE}.config.v1+json", **config},
        "layers": [
            {"mediaType": f"{_TYPE}.layer.v1.tar+{kinds[_suffix(layer, compression)]}", "digest": f"sha256:{blob.digest}", "size": blob.size}
            for layer, blob in layers
        ],
        "annotations": annotations(about),
    })
    _json(os.path.join(folder, LAYOUT, "index.json"), {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}.index.v1+json",
        "manifests": [{
            "mediaType": f"{_TYPE}.manifest.v1+json", **manifest,
            "platform": {"architecture": ARCHITECTURES[about.platform], "os": "linux"},
            "annotations": {f"{_PREFIX}ref.name": about.version},
        }],
    })
    _json(os.path.join(folder, LAYOUT, "oci-layout"), {"imageLayoutVersion": "1.0.0"})
    return str(manifest["digest"]).removeprefix("sha256:")


def config_of(layers: Iterable[tuple[str, Blob]], about: About) -> dict[str, Any]:
    """The image's config (image-spec v1.1, config.md) for (title, blob) pairs of its layers."""
    layers = list(layers)
    return {
        "created": EPOCH,
        "architecture": ARCHITECTURES[about.platform],
        "os": "linux",
        "config": _execution(about),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{blob.diff_id}" for _, blob in layers]},
        "history": [{"created": EPOCH, "created_by": "builder", "comment": title} for title, _ in layers],
    }


def annotations(about: About) -> dict[str, str]:
    """Annotations of the manifest (image-spec v1.1, annotations.md)."""
    return {f"{_PREFIX}title": about.name, f"{_PREFIX}version": about.version, f"{_PREFIX}created": EPOCH}


def _labels(about: About) -> dict[str, str]:
    mine = {f"{_PREFIX}title": about.name, f"{_PREFIX}version": about.version, f"{_PREFIX}ref.name": about.version}
    lock = {"builder.lock": about.lock} if about.lock else {}
    return mine | {f"builder.package.{name}": version for name, version in about.packages.items()} | lock | dict(about.config.labels)


def _execution(about: About) -> dict[str, Any]:
    """How a container runs; what the recipe leaves open is absent, so that the runtime's own default holds."""
    config = about.config
    wanted = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.ports},
        "Env": [f"{name}={value}" for name, value in sorted(config.env.items())],
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "WorkingDir": config.working_dir,
        "StopSignal": config.stop_signal,
        "Healthcheck": _healthcheck(config.healthcheck),
        "Labels": _labels(about),
    }
    return {key: value for key, value in wanted.items() if value}


def _healthcheck(check: Healthcheck | None) -> dict[str, Any]:
    """Docker's form: words run without a shell, times in nanoseconds."""
    if check is None:
        return {}
    return {
        "Test": ["CMD", *check.test],
        "Interval": check.interval * _NANOSECONDS,
        "Timeout": check.timeout * _NANOSECONDS,
        "StartPeriod": check.start_period * _NANOSECONDS,
        "Retries": check.retries,
    }


def _put(blobs: str, value: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON blob; its descriptor without the media type."""
    data = canonical.encode(value)
    digest = hashlib.sha256(data).hexdigest()
    _bytes(os.path.join(blobs, digest), data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _json(path: str, value: dict[str, Any]) -> None:
    _bytes(path, canonical.encode(value))


def _bytes(path: str, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def describe(written: Written, about: About) -> str:
    """What was made and how to use it, for people."""
    reference = f"oci:{written.layout}:{written.reference}"
    total = sum(blob.size for blob in written.layers)
    return "\n".join((
        f"layer     sha256:{written.layer.diff_id} ({units.size(written.layer.diff_size)}, {units.size(written.layer.size)} compressed)",
        f"file      {written.layer_file}",
        f"image     {written.layout} ({units.size(total)} compressed)",
        f"manifest  sha256:{written.manifest}",
        "",
        f"inspect   skopeo inspect {reference}",
        f"run       podman run --rm {reference}",
        f"Docker    skopeo copy {reference} docker-daemon:{about.name}:{written.reference}",
    ))
