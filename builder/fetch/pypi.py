"""Files of a Python package index, fetched with pip, which knows its index, proxy and certificates.

A location is `pypi://<project>/<version>/<file>`. pip chooses by version and platform, so the wheel's own name is
turned into the options that make pip choose it on any machine (Binary distribution format, "File name convention").
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from builder.base import outside
from builder.base.addresses import scrubbed
from builder.base.digest import CHUNK
from builder.fetch.part import Part
from builder.fetch.unpack import Cancelled
from builder.fetch.wanted import Unavailable
from builder.progress.clean import clean

_SECONDS = 1800  # for one file
_POLL = 0.2
_NO_PIP = "this Python has no pip: run `python3 -m ensurepip`, or install the package python3-pip"
# The variables that pip reads: its own settings, proxies, certificates, and where its files are. -P and the missing
# PYTHON* keep everything but its own packages off its module path; -I would hide the user's packages, where pip may be.
_ENVIRONMENT = (
    "PIP_", "XDG_", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "ALL_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip
# The lines about its tries say more than the "No matching distribution found" at the end.
_BROKEN = re.compile(r"""after connection broken by '(\w+)\((?:.*\] |.*: |['"])?(.*)\)': /""")
_CONNECTING = {"SSLError": "could not connect securely", "ProxyError": "could not connect through the proxy"}
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_LOCATION = re.compile(rf"pypi://({_NAME})/([A-Za-z0-9._+!-]+)/([A-Za-z0-9._+!-]+)")


class Wheel(Struct, frozen=True, kw_only=True):
    """A wheel of an index, and the tags of its file name."""

    project: str
    version: str
    filename: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]


def parse(location: str) -> Wheel:
    """Read a location.

    Raises:
        Unavailable: it is not of the form above, or the file is no wheel (pip would run a source archive's code).
    """
    found = _LOCATION.fullmatch(location)
    if found is None:
        raise Unavailable("is not of the form pypi://PROJECT/VERSION/FILE")
    project, version, filename = found.groups()
    parts = filename.removesuffix(".whl").split("-")
    if not filename.endswith(".whl") or len(parts) not in (5, 6):
        raise Unavailable("is no wheel, and only wheels are fetched from a package index")
    pythons, abis, platforms = (tuple(part.split(".")) for part in parts[-3:])
    return Wheel(
        project=project, version=version, filename=filename, pythons=pythons, abis=abis, platforms=platforms
    )


def options(wheel: Wheel) -> list[str]:
    """The options of `pip download` with which this wheel fits, whatever machine pip runs on."""
    python = max(wheel.pythons, key=_age)
    found = ["--only-binary=:all:", "--ignore-requires-python"]
    found += ["--implementation", python[:2], "--python-version", _version(python)]
    found += [word for abi in wheel.abis for word in ("--abi", abi)]
    return found + [word for platform in wheel.platforms for word in ("--platform", platform)]


def download(location: str, sha256: str | None, part: Part, cancel: threading.Event) -> None:
    """Put the file into `part`.

    Raises:
        Unavailable: there is no pip, or pip could not get it.
        Cancelled: the run was cancelled.
    """
    wheel = parse(location)
    if sha256 is None:
        raise Unavailable("a file of a package index is fetched by its sha256 only: pin it")
    part.restart()
    with tempfile.TemporaryDirectory(prefix="pip-", dir=os.path.dirname(part.path)) as folder:
        _run(wheel, sha256, folder, cancel, part.announce)
        try:
            with open(os.path.join(folder, "files", wheel.filename), "rb") as file:
                while chunk := file.read(CHUNK):
                    part.write(chunk)
        except FileNotFoundError:
            raise Unavailable("pip downloaded another file") from None


def _run(wheel: Wheel, sha256: str, folder: str, cancel: threading.Event, grown: Callable[[int], object]) -> None:
    wants = os.path.join(folder, "requirements.txt")
    with open(wants, "w") as file:
        file.write(f"{wheel.project}=={wheel.version} --hash=sha256:{sha256}\n")
    argv = [
        sys.executable, "-P", "-W", "ignore", "-m", "pip", "download",
        "--no-deps", "--require-hashes", "--no-cache-dir", "--no-input",
        "--disable-pip-version-check", "--progress-bar", "off", "--quiet", "--retries", "2", *options(wheel),
        "--dest", os.path.join(folder, "files"), "--requirement", wants,
    ]
    with open(os.path.join(folder, "log"), "w+b") as log:
        code = _wait(argv, folder, log.fileno(), cancel.is_set, lambda: grown(_size(folder)))
        if code:
            log.seek(0)
            raise Unavailable(_reason(log.read(CHUNK).decode("utf-8", "replace"), code))


def _wait(argv: list[str], folder: str, log: int, cancelled: Callable[[], bool], tick: Callable[[], object]) -> int:
    """Run pip in a directory of its own to its end, unless the run is cancelled or it takes too long.

    tick: called several times a second.
    """
    env = outside.environment(*_ENVIRONMENT, more={"TMPDIR": folder})
    with outside.start(argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
        for _ in range(int(_SECONDS / _POLL)):
            try:
                return process.wait(_POLL)
            except subprocess.TimeoutExpired:
                tick()
                if cancelled():
                    process.terminate()
                    raise Cancelled from None
        process.kill()
    raise Unavailable(f"pip did not end within {_SECONDS} s")


def _size(folder: str) -> int:
    """Bytes of the largest file in the directories that pip makes: the download, or its copy at the end."""
    sizes = [0]
    for above, _, names in os.walk(folder):
        for name in names if above != folder else ():
            with suppress(OSError):  # pip has just moved it
                sizes.append(os.lstat(os.path.join(above, name)).st_size)
    return max(sizes)


def _reason(log: str, code: int) -> str:
    """The reason why pip failed: its last error line says most."""
    lines = [clean(scrubbed(line)).strip() for line in log.splitlines()]
    if any(line.endswith(": No module named pip") for line in lines):
        return _NO_PIP
    if broken := _BROKEN.search(log):
        cause = re.sub(r" \([^()]*$", "", broken[2].rstrip("\"')"))
        return f"pip: {_CONNECTING.get(broken[1], 'could not connect')}: {cause}"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    said = errors or [line for line in lines if line]
    return "pip: " + (said[-1][:300] if said else f"exit code {code}")


def _age(python: str) -> tuple[int, int]:
    """Sorts "py2", "py3", "cp311" by the version they name."""
    major, _, minor = _version(python).partition(".")
    return int(major), int(minor or 0)


def _version(python: str) -> str:
    digits = re.sub(r"\D", "", python) or "3"
    return digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
