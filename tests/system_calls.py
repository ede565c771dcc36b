"""System calls (x86_64) that a build may not make, how each is refused, and a probe in perl that tries them all.

None of them does harm where it is allowed: arguments are empty, or wrong in what is looked at after the permission.
"""

import errno
from collections.abc import Mapping

# Name -> arguments of perl's syscall(), the number first.
CALLS: Mapping[str, str] = {
    # by the filter, as if the kernel had none
    "io_uring_setup": "425, 1, $room", "clone3": "435, 0, 0", "memfd_create": "319, $room, 0", "memfd_secret": "447, 0",
    "modify_ldt": "154, 0, $room, 16",
    # by the filter
    "add_key": "248, 0, 0, 0, 0, 0", "request_key": "249, 0, 0, 0, 0", "keyctl": "250, 0, -3, 0", "bpf": "321, 0, $room, 64",
    "perf_event_open": "298, $room, 0, -1, -1, 0", "userfaultfd": "323, 1", "fanotify_init": "300, 0x200, 0",
    "syslog": "103, 3, $room, 16", "ptrace": "101, 0, 0, 0, 0", "process_vm_readv": "310, $$, 0, 0, 0, 0, 0",
    "process_vm_writev": "311, $$, 0, 0, 0, 0, 0", "pidfd_getfd": "438, -1, 0, 0", "kcmp": "312, $$, $$, 0, 0, 0",
    "quotactl": "179, 0x80000400, 0, 0, $room", "quotactl_fd": "443, 0, 0x80000700, 1000, $room",
    "mbind": "237, 0, 0, 0, 0, 0, 0", "set_mempolicy": "238, 0, 0, 0", "get_mempolicy": "239, 0, 0, 0, 0, 0",
    "migrate_pages": "256, 0, 0, 0, 0", "move_pages": "279, 0, 0, 0, 0, 0, 0", "set_mempolicy_home_node": "450, 0, 0, 0, 0",
    "unshare of users": "272, 0x10000000", "clone of users": "56, 0x10000011, 0, 0, 0, 0",
    # by the filter, for some arguments
    "personality of 32 bits": "135, 8", "personality without random addresses": "135, 0x40000",
    "personality whose pages can be executed": "135, 0x400000",
    "a large shared segment": "29, 0, 65537, 01600", "a larger shared segment": "29, 0, 1 << 32, 01600",
    "netlink: audit": "41, 16, 3, 9", "netlink: xfrm": "41, 16, 3, 6", "netlink: events of devices": "41, 16, 3, 15",
    "netlink: generic": "41, 16, 3, 16", "netlink: netfilter": "41, 16, 3, 12",
    "socket: packet": "41, 17, 3, 0", "socket: cryptography": "41, 38, 5, 0", "socket: vsock": "41, 40, 1, 0",
    "socket: key management": "41, 15, 3, 2", "socket: bluetooth": "41, 31, 3, 0", "socket: xdp": "41, 44, 3, 0",
    "socketpair: tipc": "53, 30, 1, 0, $room", "socketpair: vsock": "53, 40, 1, 0, $room",
}  # fmt: skip
# Refused by the kernel, since a build has no capabilities: EPERM, or ENOSYS where the kernel was built without.
KERNELS: Mapping[str, str] = {
    "mount": "165, $tmpfs, $root, $tmpfs, 0, 0", "umount2": "166, $root, 2", "chroot": "161, $root", "fsopen": "430, $tmpfs, 0",
    "open_tree, a copy": "428, -100, $root, 1", "kexec_load": "246, 0, 0, 0, 0", "kexec_file_load": "320, -1, -1, 0, 0, 4",
    "init_module": "175, 0, 0, 0", "finit_module": "313, -1, 0, 0", "delete_module": "176, 0, 0", "reboot": "169, 0, 0, 0, 0",
    "swapon": "167, 0, 0", "acct": "163, 0", "iopl": "172, 3", "open_by_handle_at": "304, -100, $handle, 0",
    "sethostname": "170, $root, 1", "a device": "133, $device, 060666, 0x700",
}  # fmt: skip
ABSENT = ("io_uring_setup", "clone3", "memfd_create", "memfd_secret", "modify_ldt")
# Refused by another error than EPERM: one that says why, and that programs know from kernels that were built without.
OTHERWISE = {
    **dict.fromkeys(ABSENT, errno.ENOSYS),
    **dict.fromkeys(("a large shared segment", "a larger shared segment"), errno.EINVAL),
    **{name: errno.EPROTONOSUPPORT for name in CALLS if name.startswith("netlink: ")},
    **{name: errno.EACCES for name in CALLS if name.startswith("socket: ")},
    **{name: errno.EOPNOTSUPP for name in CALLS if name.startswith("socketpair: ")},
}
EXPECTED = {name: OTHERWISE.get(name, errno.EPERM) for name in CALLS}
# What builds need stays allowed.
ALLOWED: Mapping[str, str] = {
    "which personality": "135, 0xffffffff", "the usual personality": "135, 0", "netlink: routes": "41, 16, 3, 0",
    "a local socket": "41, 1, 1, 0", "a pair of sockets": "53, 1, 1, 0, $room", "a small shared segment": "29, 0, 65536, 01600",
    "a shared segment is removed": "31, $last, 0, 0", "a child": "57",
}
_SETTING = (
    'my ($room, $root, $tmpfs, $device) = ("\\0" x 4096, "/", "tmpfs", "/tmp/device");'
    ' my $handle = pack("LlQ", 8, 1, 0); my $last = 0; $| = 1;'
)


def probe(calls: Mapping[str, str]) -> str:
    """Perl source that makes the calls and prints a line for each: what it was, a tab, the number of its error or 0."""
    lines = []
    for name, arguments in calls.items():
        lines.append(f"$last = syscall({arguments}); $error = $last == -1 ? $! + 0 : 0; ")
        lines.append("exit 0 if $last == 0;\n" if name == "a child" else "\n")
        lines.append(f'print "{name}\\t$error\\n";\n')
    return _SETTING + "\n" + "".join(lines)


def answers(text: str) -> dict[str, int]:
    """What the probe printed, as values."""
    found = dict(line.split("\t") for line in text.splitlines() if "\t" in line)
    return {name: int(error) for name, error in found.items()}
