"""The user of the host that a build belongs to when root starts it: one that owns nothing.

    in the sandbox      on the host
    1000                65530, the user of builds
    0                   65529, unused: the kernel mounts no terminals (devpts) where there is no 0
    65534               0: while bubblewrap sets up, it may pass root's own directories

So the host's device nodes, and all else of root's that a build sees, do not belong to it. systemd sets 65520 to 65533 aside
as unused (systemd.io/UIDS-GIDS). One user namespace with this table serves all sandboxes of a run: they join it, which its
owner may, and that is the user of builds.

Root of a container without such users is a plain user of the host, and is treated as one.
"""

import os
import socket
import subprocess
import sys

from builder import outside
from builder.sandbox import environment, refusal

ID = 65530  # of the user and of its group
_TABLE = f"{environment.UID} {ID} 1\n0 {ID - 1} 1\n65534 0 1\n"
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostuser_child.py")


def exists() -> bool:
    """Whether we are root and can give builds a user of their own."""
    return os.geteuid() == 0 and all(map(has_both, map(_text, ("/proc/self/uid_map", "/proc/self/gid_map"))))


def has_both(table: str) -> bool:
    """Whether a table of users (user_namespaces(7): first inside, first outside, how many) has the two numbers."""
    rows = [[int(word) for word in line.split()] for line in table.splitlines()]
    return any(first < ID < first + count for first, _, count in rows)


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def namespace() -> int:
    """A descriptor of a new user namespace. Raises SandboxError when this machine refuses it."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            argv = [sys.executable, "-I", "-S", _CHILD, str(ID), _TABLE, str(theirs.fileno())]
            env = outside.environment()
            with outside.start(argv, env=env, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
                said = child.communicate()[1]
        _, found, _, _ = socket.recv_fds(ours, 1, 1)
    if not found:
        raise refusal.refusal(said.decode(errors="replace"))
    os.set_inheritable(found[0], False)
    return found[0]
