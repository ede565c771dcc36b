"""File capabilities in the form that the kernel reads from the attribute `security.capability`.

Source: linux/capability.h, `struct vfs_cap_data` of VFS_CAP_REVISION_2, which is what `setcap CAP+ep FILE` writes: 20 bytes
in little-endian order, the revision with the "effective" flag, then permitted and inheritable sets, low 32 bits first.
(Revision 3 adds the root user of a user namespace, which an image cannot know.)
"""

import struct
from collections.abc import Iterable

XATTR = "security.capability"
_REVISION_2 = 0x02000000
_EFFECTIVE = 0x000001

# Place in the list is the capability's number.
NAMES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
        "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
        "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
        "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
        "CHECKPOINT_RESTORE",
    )
)  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def encode(names: Iterable[str]) -> bytes:
    """The attribute's value that permits `names` and makes them effective. An unknown name is a KeyError."""
    bits = 0
    for name in names:
        bits |= 1 << _NUMBERS[name]
    return struct.pack("<5I", _REVISION_2 | _EFFECTIVE, bits & 0xFFFFFFFF, 0, bits >> 32, 0)
