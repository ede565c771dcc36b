"""Finds bubblewrap: the system's, else the pinned one of a tool root, started through that root's own loader.

Nothing has to be installed on the host. The tool root is Debian's layout: glibc and the libraries of `bwrap` lie in the
directories of their architecture.
"""

import functools
import os

from builder.base import outside, within
from builder.base.errors import SandboxError

_ARCHITECTURES = {  # machine -> loader, directory of libraries
    "x86_64": ("/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    "aarch64": ("/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
}


def find_program(tools: str = "", *, search: str | None = None) -> tuple[str, ...]:
    """The words that start bubblewrap. tools: directory of a tool root. search: the PATH to look on (default: ours).

    Raises:
        SandboxError: there is neither.
    """
    system = outside.find("bwrap", os.environ if search is None else {"PATH": search})
    if system is not None:
        return (system,)
    if not tools:
        hint = "install bubblewrap, or name the package `launcher` in the tool set: it holds a pinned one"
        raise SandboxError("there is no bubblewrap on this machine", where="bwrap", hint=hint)
    return _pinned(tools)


def _pinned(tools: str) -> tuple[str, ...]:
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        hint = "install bubblewrap on this machine"
        raise SandboxError(f"no pinned bubblewrap runs on {machine}", where=tools, hint=hint)
    loader, triplet = _ARCHITECTURES[machine]
    found = [within.resolve(tools, each) for each in (loader, "/usr/bin/bwrap")]
    if not all(map(os.path.isfile, found)):
        raise SandboxError(
            "the tool set holds no bubblewrap with its loader", where=tools,
            hint="add the packages bubblewrap and libc6 to the tool set, or install bubblewrap on this machine",
        )
    libraries = ":".join(within.resolve(tools, f"{folder}/{triplet}") for folder in ("/lib", "/usr/lib"))
    return (found[0], "--library-path", libraries, found[1])


@functools.cache
def from_within(program: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A pinned program's directory, and its words as they read from there; the system's own stays as it is, from "/".

    The first process of a sandbox is bubblewrap itself: its arguments can be read in /proc, and a build should not
    learn where the store lies on the host.
    """
    if len(program) == 1:
        return "/", program
    loader, option, libraries, launcher = program
    folders = libraries.split(":")
    tree = os.path.commonpath([loader, *folders, launcher])
    inside = [os.path.relpath(each, tree) for each in (loader, *folders, launcher)]
    return tree, (inside[0], option, ":".join(inside[1:-1]), inside[-1])
