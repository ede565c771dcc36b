"""The no-op in a few milliseconds: a stamp says that a command ended well and that nothing it depends on has changed.

A stamp belongs to one command line in one directory, with the environment and the Python that it was given. It holds a
fingerprint of everything that the answer depends on (recipes, lock, settings, directories of sources, out/, and the
builder's own code) and the text that the command prints when there is nothing to do. The fingerprint is over names,
sizes, inodes, and times in nanoseconds, of modification and of change of status: the kernel sets the latter itself, so
it cannot be set back.

A stamp vouches for the files as they were read, not as they are when the command ends: a `Watch` takes the fingerprint
of each path before it is read and again at the end, and leaves a stamp only where the two are equal. A file that
changed within the clock's tick before it was looked at could change again without a trace, so a look waits until all
files are older than that; where a file system's clock is so coarse that this takes long, the next run leaves the stamp.

This module is loaded by every start of `builder`: it imports next to nothing.
"""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

_TICK = 11_000_000  # nanoseconds; kernels stamp files by a clock of 10 ms a tick at the most
_COARSE = ((1_000_000_000, 2_000_000_000), (10_000_000, 10_000_000))  # times of whole seconds (ext3, FAT: two); exFAT
_LONG = 50_000_000  # nanoseconds: no command waits longer than that for a stamp
_MOST = 200  # stamps that are kept
_CACHES = "__pycache__"
_VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")  # besides all that are the builder's own

Fingerprint = tuple[str, set[int]]  # digest, and when the files changed, in nanoseconds


def sure_from(changed: int) -> int:
    """The time from which on a file that last changed at `changed` cannot change again and show the same time.

    Both in nanoseconds. A file system that keeps whole seconds is known by times without a fraction.
    """
    return changed + _TICK + next((grain for unit, grain in _COARSE if changed % unit == 0), 0)


def fingerprint(path: str) -> Fingerprint:
    """Digest over all files at or below `path`, and the times at which they changed, in nanoseconds.

    Of a path that ends in a slash, only the directory itself is listed, without those below it. A link counts as itself
    and as the file that it leads to.

    Raises:
        OSError: a file vanished meanwhile.
    """
    rows = [os.path.realpath(path)]
    changed: set[int] = set()
    deep, own = not path.endswith("/"), path == own_code()
    todo = [path]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=_name)
        except NotADirectoryError:
            _add(folder, os.stat(folder), rows, changed)
            continue
        except OSError:
            rows.append(f"{folder}\0absent")
            continue
        rows.append(f"{folder}\0directory")
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep and not (own and entry.name == _CACHES):
                    todo.append(entry.path)
                continue
            _add(entry.path, entry.stat(follow_symlinks=False), rows, changed)
            if entry.is_symlink():
                with contextlib.suppress(OSError):  # it leads nowhere
                    _add(f"{entry.path}\0target", os.stat(entry.path), rows, changed)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest(), changed


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _add(path: str, found: os.stat_result, rows: list[str], changed: set[int]) -> None:
    rows.append(f"{path}\0{found.st_mtime_ns}\0{found.st_size}\0{found.st_ino}\0{found.st_ctime_ns}")
    changed.add(found.st_ctime_ns)


class Watch:
    """The paths that a command reads, each with the fingerprint that it had before."""

    def __init__(self, known: Mapping[str, Fingerprint] = MappingProxyType({})) -> None:
        """known: fingerprints that were taken before anything was read."""
        self._known = known
        self._seen: dict[str, str] = {}
        self._sure = True

    def look(self, *paths: str) -> None:
        """Take the fingerprints of paths that are about to be read. Young files are waited for, but not for long."""
        if _left(changed := self._take(paths, self._known)) > 0:
            _wait(changed)
            self._sure = _left(self._take(paths)) <= 0 and self._sure

    def made(self, path: str) -> None:
        """Take the fingerprint of a path that this command has just written."""
        self._take((path,))

    def _take(self, paths: tuple[str, ...], known: Mapping[str, Fingerprint] = MappingProxyType({})) -> set[int]:
        times: set[int] = set()
        for path in paths:
            try:
                self._seen[path], changed = known.get(path) or fingerprint(path)
            except OSError:  # it is being changed; then it has another fingerprint at the end
                self._seen[path] = ""
            else:
                times |= changed
        return times

    def leave(self, argv: list[str], text: str) -> None:
        """Stamp a command that ended well, unless something that it looked at has changed since.

        A stamp that cannot be written costs time later, nothing else.
        """
        with contextlib.suppress(OSError):
            found = {path: fingerprint(path) for path in self._seen}
            marks = {path: mark for path, (mark, _) in found.items()}
            changed = set().union(*(times for _, times in found.values()))
            if not self._sure or marks != self._seen:
                return
            _wait(changed)
            if _left(changed) <= 0:
                _write(_file(argv), f"{_mark([*marks.values()], text)}\n" + "\n".join(marks) + f"\n\n{text}")


def _left(changed: set[int]) -> int:
    """Nanoseconds until files that changed at these times are old enough to be relied on; none is left from 0 on."""
    return max(map(sure_from, changed), default=0) - time.time_ns()


def _wait(changed: set[int]) -> None:
    left = _left(changed)
    if 0 < left < _LONG:
        time.sleep(left / 1e9)


def answer(argv: list[str], taken: dict[str, Fingerprint] | None = None) -> str | None:
    """The text that the command prints when there is nothing to do, if it ended well and nothing has changed since.

    None otherwise.

    taken: gets the fingerprints that this took, by path, for a `Watch`.
    """
    taken = {} if taken is None else taken
    try:
        with open(_file(argv), encoding="utf-8", errors="surrogateescape") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            expected, _, rest = file.read().partition("\n")
        paths, _, text = rest.partition("\n\n")
        for path in paths.split("\n"):
            taken[path] = fingerprint(path)
        return text if _mark([mark for mark, _ in taken.values()], text) == expected else None
    except OSError:  # there is no stamp, or a file vanished while it was looked at
        return None


def _mark(fingerprints: list[str], text: str) -> str:
    return hashlib.sha256("\n".join([*fingerprints, text]).encode("utf-8", "surrogateescape")).hexdigest()


def _file(argv: list[str]) -> str:
    """Where the stamp of a command line lies: one for each directory, environment, Python and set of installed
    packages."""
    home = os.environ.get("HOME") or os.path.expanduser("~")
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):  # as in `settings`
        cache = os.path.join(home, ".cache")
    names = sorted(name for name in os.environ if name in _VARIABLES or name.startswith("BUILDER_"))
    told = [
        os.getcwd(), own_code(), sys.version, *_installed(), *(f"{name}={os.environ[name]}" for name in names), "",
        *argv,
    ]
    name = hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(cache, "builder", "stamps", name)


def _installed() -> list[str]:
    """Directories of installed packages, each with the time at which a package was last added, removed or replaced."""
    found = (path for path in sys.path if path.endswith("-packages") and os.path.isdir(path))
    return [f"{path}\0{os.stat(path).st_mtime_ns}" for path in found]


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.replace(temporary, path)
    _forget_old(os.path.dirname(path))


def _forget_old(folder: str) -> None:
    """Remove the oldest stamps when there are many: of directories that are gone, of command lines that are not given
    again."""
    stamps = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(folder))
    for _, path in stamps[:-_MOST]:
        os.unlink(path)


def own_code() -> str:
    """The directory of the builder's own code: another builder is another answer."""
    return os.path.dirname(os.path.abspath(sys.modules["builder"].__file__ or ""))
