"""The platforms that images are for (host platform) and that builds run on (build platform). One table for all."""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct


class Platform(Struct, frozen=True, kw_only=True):
    """machine: the processor's name in uname(2) and in the contract. oci: its name in image indexes."""

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
