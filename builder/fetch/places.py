"""The places to try for a source, in order: its locations, the user's directories, the archive of last resort."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from builder.base.addresses import host, shown
from builder.fetch.mirrors import variable
from builder.fetch.wanted import Unavailable, Wanted

SNAPSHOT = "20261123T000000Z"  # the last state of the archive that has every file that recipes name
LAST_RESORT = "debian-archive"  # the mirror that keeps all files for good, a directory for each state


class Place(Struct, frozen=True):
    """kind: "http", "pypi", "folder" or "unknown" (a mirror without a base). address: URL, location or directory."""

    kind: str
    address: str

    @property
    def whole(self) -> str:
        """The part that many files share: the host, the index, the directory, the mirror."""
        if self.kind in ("http", "unknown"):
            return host(self.address)
        return "the package index" if self.kind == "pypi" else self.address

    @property
    def shown(self) -> str:
        return self.address if self.kind == "folder" else shown(self.address)


def places(
    wanted: Wanted, mirrors: Mapping[str, tuple[str, ...]], folders: Iterable[str], snapshot: str = SNAPSHOT
) -> list[Place]:
    """All places, each once."""
    source = wanted.source
    found = [place for location in source.locations for place in _of_location(location, mirrors)]
    found += local(folders)
    if wanted.snapshot:
        debian = "mirror://debian/"
        paths = [each.removeprefix(debian) for each in source.locations if each.startswith(debian)]
        found += [Place("http", f"{base}/{snapshot}/{path}") for path in paths for base in mirrors.get(LAST_RESORT, ())]
    return list(dict.fromkeys(found))


def local(folders: Iterable[str]) -> list[Place]:
    """The places that need no network."""
    return [Place("folder", folder) for folder in folders]


def no_base(address: str) -> Unavailable:
    """The answer of a mirror without a base."""
    name = host(address)
    cause = f"no address of the mirror '{name}' is known"
    return Unavailable(f"{cause}: set {variable(name)}, or [mirrors] {name} in the settings file", cause=cause)


def _of_location(location: str, mirrors: Mapping[str, tuple[str, ...]]) -> list[Place]:
    scheme, _, rest = location.partition("://")
    if scheme == "pypi":
        return [Place("pypi", location)]
    if scheme != "mirror":
        return [Place("http", location)]
    name, _, path = rest.partition("/")
    return [Place("http", f"{base}/{path}") for base in mirrors.get(name, ())] or [Place("unknown", location)]
