"""Starting programs outside the sandbox: git, apt, pip, and those that set a sandbox up.

A checkout may be hostile, and it is the current directory of the command that looks at it. So a program is named by its
absolute path, found on the absolute entries of PATH alone; it runs in a directory that the checkout cannot write; and
of our environment it gets only what it needs. `PYTHONPATH`, `LD_PRELOAD` and `GIT_DIR`, for example, never reach one.
"""

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

_KEPT = ("HOME", "USER", "LOGNAME", "TMPDIR")
_SEARCHED = ("PATH", "LD_LIBRARY_PATH")  # lists of directories; an entry that is not absolute means the current one


def find(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The absolute path of a program on PATH; None when it is not there."""
    for folder in _absolute(environ.get("PATH", "")) or _absolute(os.defpath):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def environment(
    *prefixes: str, environ: Mapping[str, str] = os.environ, more: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The whole environment of a program: the basis of every one, the variables that begin with one of `prefixes`, and
    `more`."""
    found = {
        name: text for name, text in environ.items() if name in _KEPT or (prefixes and name.startswith(prefixes))
    }
    for name in _SEARCHED:
        found.pop(name, None)
        if entries := _absolute(environ.get(name, "")):
            found[name] = os.pathsep.join(entries)
    return {**found, "LC_ALL": "C", **more}


def start(argv: Iterable[str], *, env: Mapping[str, str], cwd: str = "/", **how: Any) -> "subprocess.Popen[bytes]":
    """Start a program; `how` has the arguments of `subprocess.Popen`. Its path is absolute, or read from `cwd` with a
    slash.

    Raises:
        OSError: it cannot be started.
    """
    import subprocess  # noqa: PLC0415 - a command that starts no program does without

    words = list(argv)
    assert "/" in words[0] and os.path.isabs(cwd), "nothing is searched for, least of all where the user stands"
    return subprocess.Popen(words, env=env, cwd=cwd, **how)


def run(
    name: str, *words: str, env: Mapping[str, str], stdin: bytes = b"", seconds: float | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end; `name` is an absolute path, or on the PATH of `env`.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be started.
        TimeoutError: it took longer than `seconds`, and was killed.
    """
    import subprocess  # noqa: PLC0415

    path = name if os.path.isabs(name) else find(name, env)
    if path is None:
        raise FileNotFoundError(f"there is no {name} on PATH")
    pipe = subprocess.PIPE
    with start([path, *words], env=env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"{name} took longer than {seconds:g} s") from error
            raise
    return subprocess.CompletedProcess([path, *words], process.returncode, out, err)


def _absolute(path: str) -> list[str]:
    return [entry for entry in path.split(os.pathsep) if entry.startswith("/")]
