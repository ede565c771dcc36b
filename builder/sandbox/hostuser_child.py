"""Makes a user namespace that belongs to another user: a program of its own, started as root by `hostuser.py`.

Arguments: the number of that user, the table of the namespace, and the number of a socket that the namespace's descriptor
is sent to. It imports nothing of ours. The user keeps root's capabilities while it makes the namespace, so it works
where plain users may make none, and where root is one without CAP_SYS_ADMIN (containers).
"""

import ctypes
import os
import signal
import socket
import sys

_SET_DUMPABLE, _SET_KEEPCAPS = 4, 8  # linux/prctl.h
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, linux/capability.h
_NEW_USER = 0x10000000  # CLONE_NEWUSER, linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    user, table, answer = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _become(user)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _call("unshare", _NEW_USER)
        os.write(tell, b".")
        signal.pause()
    os.close(tell)
    try:
        if os.read(told, 1):
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
                    file.write(table)
            with open(f"/proc/{child}/ns/user", "rb") as found, socket.socket(fileno=answer) as sock:
                socket.send_fds(sock, [b"."], [found.fileno()])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _become(user: int) -> None:
    """Change the user and keep the capabilities; and own what /proc says of us."""
    _call("prctl", _SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, and the same for the numbers above 31
    _call("capget", header, words)
    words[0], words[3] = words[1], words[4]
    _call("capset", header, words)
    _call("prctl", _SET_DUMPABLE, 1, 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:  # in bubblewrap's words: `refusal` knows these
        what = "Creating new namespace failed" if problem.filename == "unshare" else f"setting up uid map, {problem.filename}"
        sys.exit(f"bwrap: {what}: {problem.strerror}")
