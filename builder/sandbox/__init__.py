"""Isolated runs: a value (`SandboxSpec`) holds all that a build sees, and a `Sandbox` runs it.

`find` picks the adapter: bubblewrap in new namespaces, or the weaker `chroot` when it is asked for by name.
"""

from builder.sandbox.listing import tree_listing
from builder.sandbox.mounts import Mounts, plan_mounts
from builder.sandbox.port import Outcome, Sandbox, limit_error
from builder.sandbox.spec import Mount, SandboxSpec, describe

__all__ = [
    "Mount", "Mounts", "Outcome", "Sandbox", "SandboxSpec", "describe", "find", "limit_error", "plan_mounts",
    "tree_listing",
]  # fmt: skip

KINDS = ("auto", "chroot")  # for `find`


def find(kind: str, tools: str = "", *, scratch: str = "", self_exe: str = "") -> Sandbox:
    """The sandbox of a kind. tools: directory of the tool root, which holds the pinned bubblewrap.

    scratch, self_exe: see `chroot.Chroot`. An adapter is imported only when it is found.

    Raises:
        SandboxError: this machine has no such sandbox.
    """
    if kind == "chroot":
        from builder.sandbox.chroot import Chroot  # noqa: PLC0415 - only the one that is asked for

        return Chroot(scratch, self_exe=self_exe)
    assert kind == "auto", kind
    from builder.sandbox.bwrap import Bubblewrap  # noqa: PLC0415
    from builder.sandbox.program import find_program  # noqa: PLC0415

    return Bubblewrap(find_program(tools))
