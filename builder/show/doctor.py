"""Whether this machine can build: one function a question, each with an answer and, when it is not "ok", what to do.

A check takes a `Machine` and changes nothing but a file that it makes and removes. Without
`online` none opens a socket.
"""

import importlib.util
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Literal

from msgspec import Struct

from builder.base import addresses, outside, settings, units
from builder.base.errors import SandboxError
from builder.base.settings import Settings
from builder.fetch import Mirrors
from builder.sandbox import cgroup, seccomp
from builder.sandbox.refusal import refusal

Level = Literal["ok", "warn", "bad"]
_GIB = 1 << 30
_SPACES = {
    "user": 0x10000000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "mount": 0x20000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
}
# Asks for namespaces one after the other, and prints the number of each error, 0 for none.
_ASK = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
print(*(ctypes.get_errno() if libc.unshare(int(flag)) else 0 for flag in sys.argv[1:]))
"""
_SECONDS = 10  # for a server's answer
_SKEW = 300  # seconds that a clock may differ
_BORN = 1_700_000_000  # November 2023: no clock that is right shows less


class Answer(Struct, frozen=True):
    """An answer: level, subject, state, and the next step."""

    level: Level
    what: str
    detail: str
    next: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.what}: {self.detail}" + (f"; next: {self.next}" if self.next else "")


class Machine(Struct, frozen=True, kw_only=True):
    """The subjects of the checks. root: the project, "" for none. store: there or not.
    program: how bubblewrap is started, empty when it is not here yet."""

    root: str
    store: str
    settings: Settings
    program: tuple[str, ...] = ()
    online: bool = True


def namespaces(_machine: Machine) -> list[Answer]:
    """Each kind of namespace, asked for in a process of its own."""
    words = ("-I", "-S", "-c", _ASK, *map(str, _SPACES.values()))
    done = outside.run(sys.executable, *words, env=outside.environment())
    errors = dict(zip(_SPACES, map(int, done.stdout.split()), strict=True))
    refused = {kind: error for kind, error in errors.items() if error}
    if not refused:
        return [Answer("ok", "namespaces", ", ".join(errors))]
    why = refusal(f"bwrap: Creating new namespace failed: {os.strerror(next(iter(refused.values())))}")
    return [Answer("bad", "namespaces", f"{', '.join(refused)} refused: {why.message}", why.hint)]


def sandbox(machine: Machine) -> list[Answer]:
    """A sandbox as builds have it, with nothing in it."""
    if not machine.program:
        return [Answer("ok", "sandbox", "not tried: bubblewrap is fetched by the first build")]
    from builder.sandbox.bwrap import Bubblewrap  # noqa: PLC0415 - for this check alone

    try:
        Bubblewrap(machine.program).probe()
    except SandboxError as error:
        return [Answer("bad", "sandbox", error.message, error.hint)]
    return [
        Answer("ok", "sandbox", f"bubblewrap, {'of the system' if len(machine.program) == 1 else 'of the tool set'}")
    ]


def filter_of_calls(_machine: Machine) -> list[Answer]:
    """The system call filter: whether the kernel has filters, and whether we know this machine's numbers."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        known = "\nSeccomp:" in file.read()
    if not known:
        return [Answer("bad", "system calls", "the kernel has no seccomp", "use a kernel with CONFIG_SECCOMP_FILTER")]
    if not seccomp.program(seccomp.NETWORK):
        return [
            Answer(
                "warn",
                "system calls",
                f"no filter for {os.uname().machine}",
                "build hostile sources on x86_64 or aarch64",
            )
        ]
    return [Answer("ok", "system calls", "filtered")]


def memory_limit(_machine: Machine) -> list[Answer]:
    """Which of the two ways limits.memory is kept in."""
    place = cgroup.find()
    if place.path:
        return [Answer("ok", "limits.memory", f"kept by the kernel, in groups below {place.path}")]
    return [Answer("ok", "limits.memory", f"counted four times a second: {place.reason}")]


def disks(machine: Machine) -> list[Answer]:
    """Room and kind of the file systems of store and images."""
    found = [_disk("store", machine.store)]
    if machine.root:
        found.append(_disk("out", os.path.join(machine.root, "out")))
    parts = [path for name in ("trees", "files", "tmp") if os.path.isdir(path := os.path.join(machine.store, name))]
    if len({os.stat(path).st_dev for path in parts}) > 1:
        hint = "keep the store on one, or name another (--store, BUILDER_STORE)"
        found.append(Answer("bad", "store", "its directories lie on several file systems", hint))
    return found


def _disk(what: str, path: str) -> Answer:
    there = _nearest(path)
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    move = "name a store elsewhere (--store, BUILDER_STORE)" if what == "store" else "build with --out DIR elsewhere"
    if disk.f_flag & os.ST_RDONLY or not _writable(there):
        return Answer("bad", what, f"{path} cannot be written", move)
    if what == "store" and disk.f_flag & os.ST_NOEXEC:
        return Answer("bad", what, f"{path} is mounted noexec: tools cannot run from there", move)
    text = f"{units.size(free)} free at {path}"
    if free < _GIB or (disk.f_files and disk.f_favail < 10_000):
        return Answer(
            "bad", what, f"{text}, {disk.f_favail} more files", f"free some space there, run `builder gc`, or {move}"
        )
    level: Level = "warn" if free < 5 * _GIB else "ok"
    return Answer(level, what, text, "a first build of an image needs about 5 GB" if level == "warn" else "")


def _writable(folder: str) -> bool:
    """Whether a file can be made in a directory; the modes do not tell all."""
    try:
        tempfile.NamedTemporaryFile(prefix=".builder-doctor-", dir=folder).close()
    except OSError:
        return False
    return True


def _nearest(path: str) -> str:
    """The nearest directory on the way to a path that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def file_times(machine: Machine) -> list[Answer]:
    """How finely file systems keep times: an edit is noticed by them, among others."""
    found = []
    for what, path in (("project", machine.root), ("store", machine.store)):
        there = _nearest(path) if path else ""
        if not there or not _writable(there):
            continue
        with tempfile.NamedTemporaryFile(prefix=".builder-doctor-", dir=there) as file:
            os.utime(file.name, ns=(1_000_000_001, 1_000_000_001))
            exact = os.stat(file.name).st_mtime_ns % 1_000_000_000 != 0
        if exact:
            found.append(Answer("ok", f"file times ({what})", "finer than a second"))
        else:
            hint = (
                "after edits within one second of a build, run it with `touch lock.toml` first, or use another file "
                "system"
            )
            found.append(Answer("warn", f"file times ({what})", "whole seconds", hint))
    return found


def cores(machine: Machine) -> list[Answer]:
    """Processors that builds may use, and memory."""
    here = len(os.sched_getaffinity(0))
    wanted = machine.settings.cores or here
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{wanted} of {here}, {units.size(memory)} of memory"
    if wanted > here:
        return [Answer("warn", "cores", detail, f"set cores = {here} in {settings.path_of()}")]
    return [Answer("ok", "cores", detail)]


def mirror(machine: Machine) -> list[Answer]:
    """The Debian mirror that tools come from: known, and does it answer?"""
    bases = Mirrors(machine.settings.mirrors).get("debian", ())
    if not bases:
        hint = f"name one: BUILDER_MIRROR_DEBIAN=https://HOST/debian, or [mirrors] in {settings.path_of()}"
        return [Answer("bad", "mirror", "no Debian mirror is known: no variable, no setting, no apt", hint)]
    return [answer for base in bases for answer in _server(machine, "mirror", base, "dists/")]


def index(machine: Machine) -> list[Answer]:
    """pip, and the package index that it uses."""
    if importlib.util.find_spec("pip") is None:
        return [
            Answer("bad", "index", "this Python has no pip", f"{sys.executable} -m ensurepip, or install python3-pip")
        ]
    words = ("-I", "-m", "pip", "--disable-pip-version-check", "config", "get", "global.index-url")
    done = outside.run(sys.executable, *words, env=outside.environment("PIP_"))
    address = os.environ.get("PIP_INDEX_URL") or done.stdout.decode().strip()
    if not address:
        return [Answer("ok", "index", "pip's own: none is configured")]
    return _server(machine, "index", address.rstrip("/"), "")


def _server(machine: Machine, what: str, address: str, path: str) -> list[Answer]:
    """Whether a server answers, with anything at all, and what its clock says."""
    shown = addresses.shown(address)
    if not machine.online:
        return [Answer("ok", what, f"{shown}, not asked")]
    import requests  # noqa: PLC0415 - slow to import, and only here

    from builder.fetch.http import connecting  # noqa: PLC0415

    try:
        answer = requests.head(f"{address}/{path}", timeout=_SECONDS, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        why = connecting(error, _SECONDS) or type(error).__name__
        hint = (
            "check the address, the proxy (https_proxy) and the certificates (REQUESTS_CA_BUNDLE); --offline asks no "
            "server"
        )
        return [Answer("bad", what, f"{shown} does not answer: {why}", hint)]
    found = [Answer("ok", what, f"{shown} answers")]
    if "Date" in answer.headers:
        found += _skew(what, answer.headers["Date"])
    return found


def _skew(what: str, date: str) -> list[Answer]:
    try:
        seconds = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return []
    if abs(seconds) < _SKEW:
        return []
    return [
        Answer(
            "warn",
            "clock",
            f"{seconds:+.0f} s against the {what}'s",
            "set the clock: certificates are checked against it",
        )
    ]


def clock(machine: Machine) -> list[Answer]:
    """The clock against what is known to be past."""
    now = time.time()
    if now < _BORN:
        return [
            Answer("bad", "clock", time.strftime("%Y-%m-%d", time.gmtime(now)) + " is in the past", "set the clock")
        ]
    path = os.path.join(machine.root, "lock.toml")
    if machine.root and os.path.exists(path) and os.stat(path).st_mtime > now + _SKEW:
        return [
            Answer(
                "warn", "clock", "lock.toml was written in the future", f"set the clock, or `touch {shlex.quote(path)}`"
            )
        ]
    return [Answer("ok", "clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)))]


CHECKS: tuple[Callable[[Machine], list[Answer]], ...] = (
    namespaces, sandbox, filter_of_calls, memory_limit, disks, file_times, cores, clock, mirror, index,
)


def examine(machine: Machine) -> list[Answer]:
    """All answers, in the order of the checks."""
    return [answer for check in CHECKS for answer in check(machine)]
