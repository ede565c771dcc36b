"""The base addresses of distribution mirrors, where `mirror://<name>/` is on this machine.

The first of these that names any counts: the environment (BUILDER_MIRROR_<NAME>, separated by spaces), `[mirrors]` of
the user's settings, and for `debian` the configuration of apt. The repository names none, because each machine reaches
other mirrors.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping

from builder.base import outside

_APT_SECONDS = 20


class Mirrors(Mapping[str, tuple[str, ...]]):
    """Base addresses by mirror name, in order of preference. apt is asked only when a name is looked up.

    settings: `[mirrors]` of the settings file.
    """

    def __init__(self, settings: Mapping[str, tuple[str, ...]], environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._environ = environ
        self._found: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> tuple[str, ...]:
        with self._lock:
            if name not in self._found:
                self._found[name] = self._find(name)
        if not self._found[name]:
            raise KeyError(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._settings, *(["debian"] if "debian" in self else [])]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _find(self, name: str) -> tuple[str, ...]:
        said = self._environ.get(variable(name), "").split()
        if said or name in self._settings:
            return _bases(said or self._settings[name])
        return _bases(_from_apt(self._environ)) if name == "debian" else ()


def variable(name: str) -> str:
    """The environment variable that names a mirror's bases."""
    return "BUILDER_MIRROR_" + name.upper().replace("-", "_")


def _bases(addresses: Iterable[str]) -> tuple[str, ...]:
    """Addresses that can be a mirror's root, each once, with no slash at the end."""
    plain = (address.rstrip("/") for address in addresses)
    return tuple(dict.fromkeys(each for each in plain if each.startswith(("https://", "http://"))))


def _from_apt(environ: Mapping[str, str]) -> list[str]:
    """The archives of origin Debian in the configuration of apt; none where there is no apt.

    Before its first update apt knows no origins; then every archive whose address ends in `/debian` counts.
    """
    rows = _ask_apt(environ, "$(REPO_URI) $(ORIGIN)")
    if found := [address for address, _, origin in rows if origin == "Debian" and _is_main(address)]:
        return found
    rows = _ask_apt(environ, "$(REPO_URI)", "--no-release-info")
    return [address for address, _, _ in rows if address.rstrip("/").endswith("/debian")]


def _ask_apt(environ: Mapping[str, str], wanted: str, *options: str) -> list[tuple[str, str, str]]:
    """The lines of its answer, each parted at the first space."""
    words = ("indextargets", *options, "--format", wanted, "Created-By: Packages")
    env = outside.environment("APT_CONFIG", environ=environ)
    try:
        done = outside.run("apt-get", *words, env=env, seconds=_APT_SECONDS)
    except OSError:
        return []
    return [line.partition(" ") for line in done.stdout.decode("utf-8", "replace").splitlines()]


def _is_main(address: str) -> bool:
    """Whether an address is of the main archive: the security archive has the same origin, but another `pool/`."""
    return not address.rstrip("/").endswith("-security")
