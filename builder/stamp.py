"""The no-op in a few milliseconds: a stamp says that a command ended well and that nothing it depends on has changed.

A stamp belongs to one command line in one folder. It holds a fingerprint of everything that the answer depends on (recipes,
lock, settings, folders of sources, what was written to out/, and the builder's own code) and the text that the command
printed. The fingerprint is over names, sizes, inodes, and times in nanoseconds, of modification and of change of status:
the kernel sets the latter itself, so it cannot be set back. A file that changed within the clock's tick before the stamp
was made could change again without a trace; so the stamp is made only when all files are older than a tick.

This module is loaded by every start of `builder`: it imports next to nothing.
"""

import contextlib
import hashlib
import os
import sys
import time

_TICK = 11_000_000  # nanoseconds; kernels stamp files by a clock of 10 ms a tick at the most
_MOST = 200  # stamps that are kept
_ENVIRONMENT = ("BUILDER_STORE", "BUILDER_SETTINGS", "BUILDER_MIRROR_DEBIAN", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HOME")


def fingerprint(paths: list[str]) -> tuple[str, int]:
    """Digest over all files at or below `paths`, and the newest change time among them (nanoseconds)."""
    hasher = hashlib.sha256()
    newest = 0
    for path in paths:
        rows: list[str] = []
        _collect(path, rows)
        if rows:
            newest = max(newest, *(int(row.rsplit("\0", 1)[1]) for row in rows))
        hasher.update("\n".join(rows).encode("utf-8", "surrogateescape") + b"\n\n")
    return hasher.hexdigest(), newest


def _collect(path: str, rows: list[str]) -> None:
    try:
        entries = os.scandir(path)
    except NotADirectoryError:
        rows.append(_row(path, os.stat(path)))
        return
    except OSError:
        rows.append(f"{path}\0absent\0" + "0")
        return
    folders = []
    with entries:
        for entry in sorted(entries, key=_name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    folders.append(entry.path)
            else:
                rows.append(_row(entry.path, entry.stat(follow_symlinks=False)))
    for folder in folders:
        rows.append(f"{folder}/\0" + "0")
        _collect(folder, rows)


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _row(path: str, found: os.stat_result) -> str:
    return f"{path}\0{found.st_mtime_ns}\0{found.st_size}\0{found.st_ino}\0{found.st_ctime_ns}"


def _file(argv: list[str]) -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    told = [os.getcwd(), *argv, *(f"{name}={os.environ.get(name)}" for name in _ENVIRONMENT)]
    name = hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(cache, "builder", "stamps", name)


def answer(argv: list[str]) -> str | None:
    """What the command printed when it last ended well, if nothing has changed since; else None."""
    try:
        with open(_file(argv), encoding="utf-8", errors="surrogateescape") as file:
            expected, _, rest = file.read().partition("\n")
        paths, _, text = rest.partition("\n\n")
        return text if fingerprint(paths.split("\n"))[0] == expected else None
    except OSError:  # there is no stamp, or a file vanished while it was looked at
        return None


def write(argv: list[str], paths: list[str], text: str) -> None:
    """Stamp a command that has just ended well. A stamp that cannot be written costs time later, nothing else."""
    with contextlib.suppress(OSError):
        found, newest = fingerprint(paths)
        if time.time_ns() - newest < _TICK:
            time.sleep(_TICK / 1e9)
            again, newest = fingerprint(paths)
            if again != found or time.time_ns() - newest < _TICK:
                return
        path = _file(argv)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{found}\n" + "\n".join(paths) + "\n\n" + text)
        os.replace(temporary, path)
        _forget_old(os.path.dirname(path))


def _forget_old(folder: str) -> None:
    """Remove the oldest stamps when there are many: of folders that are gone, of command lines nobody gives again."""
    stamps = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(folder))
    for _, path in stamps[:-_MOST]:
        os.unlink(path)


def own_code() -> str:
    """The folder of the builder's own code: another builder is another answer."""
    return os.path.dirname(os.path.abspath(sys.modules[__name__].__file__ or ""))
