"""Reads the message of bubblewrap when it cannot make a sandbox, and names the cause on this machine.

The texts are bubblewrap's own (bubblewrap.c, bind-mount.c, network.c; 0.4 to 0.11), the kernel's words after a colon.
"""

import re
from collections.abc import Callable

from builder.base.errors import SandboxError

_CHROOT = "or, as root, use the weaker --sandbox chroot"
_USER = (
    r"[Cc]reating new namespace failed|[Nn]o permissions to create new namespace|[Uu]nshare user ns"
    r"|clone\(CLONE_NEWUSER\)"
)
_UID_MAP = r"[Ss]etting up [ug]id map|[Ll]oopback: Failed RTM_NEWADDR|error writing to [ug]id_map"
_MOUNT = r"Failed to make / (?:recursively )?slave|[Pp]ivot_root|Failed to mount tmpfs"
_OPTION = r"Unknown option (\S+)"
_SOURCE = r"Can't find source path ([^:]+)"

Setting = Callable[[str], str]


def setting(name: str) -> str:
    """A kernel setting's value (sysctl(8) name with dots), or "" when the kernel has none of that name."""
    try:
        with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def refusal(text: str, setting: Setting = setting) -> SandboxError:
    """The error for a message of `bwrap`. Every text names the cause and a remedy."""
    said = _said(text)
    if re.search(_USER, said):
        return _namespaces(said, setting)
    if re.search(_UID_MAP, said):
        return _apparmor(said, setting)
    if "mount proc" in said:
        return _error(
            "the kernel refuses a new /proc, because this container hides parts of its own", said,
            "start the container with --security-opt systempaths=unconfined",
        )
    if re.search(_MOUNT, said):
        return _error(
            "the kernel refuses to mount in a new namespace", said,
            "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
        )
    return _other(said)


def _namespaces(said: str, setting: Setting) -> SandboxError:
    if setting("user.max_user_namespaces") == "0":
        return _error(
            "the kernel refuses user namespaces: user.max_user_namespaces is 0", said,
            "sysctl -w user.max_user_namespaces=15000",
        )
    if "No space left" in said:
        return _error(
            "the kernel refuses user namespaces: there are as many as user.max_user_namespaces allows", said,
            "raise it with sysctl -w user.max_user_namespaces=N",
        )
    if setting("kernel.unprivileged_userns_clone") == "0":
        return _error(
            "the kernel refuses user namespaces: kernel.unprivileged_userns_clone is 0", said,
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )
    return _error(
        "the kernel refuses user namespaces, as in many containers", said,
        "start the container with --security-opt seccomp=unconfined (or --cap-add SYS_ADMIN)",
    )


def _apparmor(said: str, setting: Setting) -> SandboxError:
    if setting("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return _error(
            "AppArmor refuses user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1", said,
            "install the system's bubblewrap and its AppArmor profile, "
            "or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return _error(
        "the kernel refuses to set up a user namespace", said,
        "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    )


def _other(said: str) -> SandboxError:
    if found := re.search(_OPTION, said):
        return SandboxError(
            f"this bubblewrap is too old: it does not know {found.group(1)}", where="bwrap",
            hint="install bubblewrap 0.4 or newer, or remove it so that the pinned one is used",
        )
    if found := re.search(_SOURCE, said):
        return SandboxError(
            f"{found.group(1)} is to be mounted in the sandbox but is not there", where="bwrap",
            hint="the store may be damaged: builder store verify",
        )
    return _error("bubblewrap cannot make the sandbox", said, "see whether it runs by hand")


def _error(message: str, said: str, hint: str) -> SandboxError:
    return SandboxError(f"{message} ({said})", where="bwrap", hint=f"{hint}; {_CHROOT}")


def _said(text: str) -> str:
    """The last line of bubblewrap's own, without its name."""
    lines = [line.removeprefix("bwrap: ") for line in text.splitlines() if line.startswith("bwrap: ")]
    return lines[-1] if lines else text.strip().rpartition("\n")[2] or "it said nothing"
