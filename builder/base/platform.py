"""The platforms: what images are for (host platform) and where builds run (build platform). One table for all."""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct


class Platform(Struct, frozen=True, kw_only=True):
    """machine: as uname(2) and the contract call the processor. oci: as Go, and so the image specification, calls it."""

    machine: str
    oci: str

    @property
    def name(self) -> str:
        """As recipes, lock and `--platform` have it: processor, kernel, C library."""
        return f"{self.machine}-linux-musl"


_ALL = (Platform(machine="x86_64", oci="amd64"), Platform(machine="aarch64", oci="arm64"))
PLATFORMS: Mapping[str, Platform] = MappingProxyType({each.name: each for each in _ALL})
DEFAULT = _ALL[0].name  # the host platform when none is named
BUILD = _ALL[0].name  # the only one that there are tools for
