"""The documents that describe an image: config, labels and annotations (image-spec v1.1: config.md, annotations.md)."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from builder.base.platform import PLATFORMS
from builder.image.oci.compress import Blob
from builder.recipe.image import Config, Healthcheck

EPOCH = "1970-01-01T00:00:00Z"
PREFIX = "org.opencontainers.image."
LOCK = "builder.lock"  # label: the digest of the lock
SIZES = "builder.layer-sizes"  # label: bytes of the uncompressed layers, base first
_NANOSECONDS = 1_000_000_000


class About(Struct, frozen=True, kw_only=True):
    """The image's description: platform as in the lock, package versions by name, digest of
    lock.toml ("sha256-...")."""

    name: str
    version: str
    platform: str
    config: Config
    packages: Mapping[str, str] = field(default_factory=dict)
    lock: str = ""


def config_of(layers: Iterable[tuple[str, Blob]], about: About) -> dict[str, Any]:
    """The image's config (image-spec v1.1, config.md) for (title, blob) pairs of its layers."""
    layers = list(layers)
    return {
        "created": EPOCH,
        "architecture": PLATFORMS[about.platform].oci,
        "os": "linux",
        "config": _execution(about, [blob.diff_size for _, blob in layers]),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{blob.diff_id}" for _, blob in layers]},
        "history": [{"created": EPOCH, "created_by": "builder", "comment": title} for title, _ in layers],
    }


def annotations(about: About) -> dict[str, str]:
    """Annotations of the manifest (image-spec v1.1, annotations.md)."""
    return {f"{PREFIX}title": about.name, f"{PREFIX}version": about.version, f"{PREFIX}created": EPOCH}


def _labels(about: About, sizes: list[int]) -> dict[str, str]:
    mine = {f"{PREFIX}title": about.name, f"{PREFIX}version": about.version, f"{PREFIX}ref.name": about.version}
    lock = {LOCK: about.lock} if about.lock else {}
    mine[SIZES] = " ".join(map(str, sizes))
    packages = {f"builder.package.{name}": version for name, version in about.packages.items()}
    return mine | packages | lock | dict(about.config.labels)


def _execution(about: About, sizes: list[int]) -> dict[str, Any]:
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
        "Labels": _labels(about, sizes),
    }
    return {key: value for key, value in wanted.items() if value}


def _healthcheck(check: Healthcheck | None) -> dict[str, Any]:
    """Docker's form: words run without a shell, times in nanoseconds; "NONE" says that there is no check."""
    if check is None:
        return {}
    if check.test == ("NONE",):
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *check.test],
        "Interval": check.interval * _NANOSECONDS,
        "Timeout": check.timeout * _NANOSECONDS,
        "StartPeriod": check.start_period * _NANOSECONDS,
        "Retries": check.retries,
    }
