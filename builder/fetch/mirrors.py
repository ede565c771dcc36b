"""Where `mirror://<name>/` is on this machine: the base addresses of distribution mirrors.

In this order, the first that says anything: the environment (BUILDER_MIRROR_<NAME>, separated by spaces), `[mirrors]`
of the user's settings, and for `debian` the configuration of apt. None of it is in this repository: which mirror a
machine can reach is its own business.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping

from builder.base import outside

_APT = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages")
_APT_SECONDS = 20
_ONE_LINE = re.compile(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S+")  # sources.list(5), one-line style


class Mirrors(Mapping[str, tuple[str, ...]]):
    """Base addresses by mirror name, in order of preference. Nothing is asked before a name is looked up.

    settings: `[mirrors]` of the settings file. apt: the folder of apt's configuration, for tests.
    """

    def __init__(
        self, settings: Mapping[str, tuple[str, ...]], environ: Mapping[str, str] = os.environ, apt: str = "/etc/apt"
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._apt = apt
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
        return _bases(_from_apt(self._environ) or _from_files(self._apt)) if name == "debian" else ()


def variable(name: str) -> str:
    """The environment variable that names a mirror's bases."""
    return "BUILDER_MIRROR_" + name.upper().replace("-", "_")


def _bases(addresses: Iterable[str]) -> tuple[str, ...]:
    """Addresses that can be a mirror's root, each once, with no slash at the end."""
    plain = (address.rstrip("/") for address in addresses)
    return tuple(dict.fromkeys(each for each in plain if each.startswith(("https://", "http://"))))


def _from_apt(environ: Mapping[str, str]) -> list[str]:
    """What apt has configured with the origin Debian; nothing when there is no apt, or it knows no index yet."""
    try:
        done = outside.run(*_APT, env=outside.environment("APT_CONFIG", environ=environ), seconds=_APT_SECONDS)
    except OSError:
        return []
    pairs = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    return [pair[0] for pair in pairs if len(pair) == 2 and pair[1] == "Debian" and _is_main(pair[0])]


def _is_main(address: str) -> bool:
    """Whether it is the main archive: the security archive has the same origin, but another `pool/`."""
    return not address.rstrip("/").endswith("-security")


def _from_files(folder: str) -> list[str]:
    """What apt's source files name. They do not tell the origin, so only a root called `debian` counts."""
    more = os.path.join(folder, "sources.list.d")
    names = sorted(os.listdir(more)) if os.path.isdir(more) else []
    found = _one_line(_text(os.path.join(folder, "sources.list")))
    for name in names:
        if name.endswith(".list"):
            found += _one_line(_text(os.path.join(more, name)))
    for name in names:
        if name.endswith(".sources"):
            found += _stanzas(_text(os.path.join(more, name)))
    return [address for address in found if address.rstrip("/").endswith("/debian")]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _one_line(text: str) -> list[str]:
    return [found.group(1) for line in text.splitlines() if (found := _ONE_LINE.match(line))]


def _stanzas(text: str) -> list[str]:
    """Addresses of a deb822 file (sources.list(5)): stanzas of `Name: value`, a value goes on over indented lines."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = []
    for stanza in re.split(r"\n\s*\n", re.sub(r"\n[ \t]+(?=\S)", " ", lines)):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza.lower(), re.MULTILINE))
        if fields.get("enabled", "yes").strip() not in ("no", "false", "0", "off", "without", "disable"):
            found += fields.get("uris", "").split()
    return found
