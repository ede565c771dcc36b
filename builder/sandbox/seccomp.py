"""The system call filter of every sandbox: a classic BPF program (seccomp(2), linux/filter.h, linux/seccomp.h).

Namespaces leave gaps that a filter closes. AF_VSOCK and other rare socket families reach out of a network namespace; a
new user namespace inside gives a build powers over mounts again; keys of the kernel belong to the host's user; a setuid
file is one on the host, too. In the chroot sandbox, which has no network namespace, the filter is what denies the
network.
"""

import errno
import os
import struct
from collections.abc import Mapping, Sequence

from msgspec import Struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD+W+ABS, BPF_JMP+..., BPF_RET
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_*
_NUMBER, _MACHINE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32  # offsets in struct seccomp_data; low halves of arguments
_X32 = 0x40000000
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_TYPING = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: these type into the terminal that a shell shares with its caller
LOCAL = (1,)  # AF_UNIX
NETWORK = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: a network namespace holds these


class _Machine(Struct, frozen=True):
    audit: int  # AUDIT_ARCH_* of linux/audit.h
    calls: Mapping[str, int]  # <asm/unistd.h>


_MACHINES = {
    "x86_64": _Machine(0xC000003E, {
        "ioctl": 16, "shmget": 29, "socket": 41, "socketpair": 53, "clone": 56, "kill": 62, "ptrace": 101,
        "syslog": 103, "personality": 135, "modify_ldt": 154, "quotactl": 179, "mbind": 237, "set_mempolicy": 238,
        "get_mempolicy": 239, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256,
        "unshare": 272, "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
        "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "quotactl_fd": 443, "memfd_secret": 447,
        "set_mempolicy_home_node": 450,
    }),
    "aarch64": _Machine(0xC00000B7, {
        "ioctl": 29, "quotactl": 60, "personality": 92, "unshare": 97, "syslog": 116, "ptrace": 117, "kill": 129,
        "shmget": 194, "socket": 198, "socketpair": 199, "add_key": 217, "request_key": 218, "keyctl": 219,
        "clone": 220, "mbind": 235, "get_mempolicy": 236, "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239,
        "perf_event_open": 241, "fanotify_init": 262, "process_vm_readv": 270, "process_vm_writev": 271,
        "kcmp": 272, "memfd_create": 279, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425, "clone3": 435,
        "pidfd_getfd": 438, "quotactl_fd": 443, "memfd_secret": 447, "set_mempolicy_home_node": 450,
    }),
}  # fmt: skip
# docs/decisions/15-system-calls.md has the reason for each.
# These are said to be absent, so that programs use the older calls.
_ABSENT = ("io_uring_setup", "clone3", "memfd_create", "memfd_secret", "modify_ldt")
_DENIED = (
    "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "fanotify_init", "syslog",
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "quotactl", "quotactl_fd",
    "mbind", "set_mempolicy", "get_mempolicy", "migrate_pages", "move_pages", "set_mempolicy_home_node",
)  # fmt: skip
_PERSONALITIES = (0, 0xFFFFFFFF)  # PER_LINUX, and the question which one it is
_NETLINK, _NETLINK_ROUTE = 16, 0
_MOST_SHARED = 64 << 10  # bytes of a System V segment: perhaps no process has it mapped, so a sample may not see it
# Calls that give a file its mode: number -> (argument with the flags of open(2) or None, argument with the mode). mkdir
# is not among them: the kernel ignores setuid and setgid bits there. The mode of openat2 lies in memory, out of sight.
_MODES: Mapping[str, Mapping[int, tuple[int | None, int]]] = {
    "x86_64": {  # open, creat, chmod, fchmod, mknod, openat, mknodat, fchmodat, fchmodat2
        2: (1, 2), 85: (None, 1), 90: (None, 1), 91: (None, 1), 133: (None, 1), 257: (2, 3), 259: (None, 2),
        268: (None, 2), 452: (None, 2),
    },
    # mknodat, fchmod, fchmodat, openat, fchmodat2
    "aarch64": {33: (None, 2), 52: (None, 1), 53: (None, 2), 56: (2, 3), 452: (None, 2)},
}  # fmt: skip
_OPENAT2 = 437  # on both
_ATTRIBUTES = {"x86_64": (188, 189, 190, 463), "aarch64": (5, 6, 7, 463)}  # setxattr, lsetxattr, fsetxattr, setxattrat
_MAKES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: without them open(2) has no mode, and its register holds anything
_SET_ID = 0o6000  # S_ISUID, S_ISGID

_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(families: Sequence[int], *, shared: bool = False, machine: str = "") -> bytes:
    """The filter as an array of struct sock_filter; empty for machines whose numbers are unknown here.

    families: address families that socket(2) may have. shared: other processes of the same user are in sight, so
    signalling all of them is denied.
    """
    machine = machine or os.uname().machine
    known = _MACHINES.get(machine)
    if known is None:
        return b""
    calls = known.calls
    steps: list[_Step] = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, known.audit), _give(KILL), (_LOAD, 0, 0, _NUMBER)]
    if known is _MACHINES["x86_64"]:
        steps += [(_AT_LEAST, 0, 1, _X32), _give(KILL)]
    for names, error in ((_ABSENT, errno.ENOSYS), (_DENIED, errno.EPERM)):
        for name in filter(calls.__contains__, names):
            steps += [(_EQUAL, 0, 1, calls[name]), _fail(error)]
    for name in ("unshare", "clone"):
        steps += _call(calls[name], [(_ANY_BIT, 0, 1, _NEW_USER), _fail(errno.EPERM)])
    steps += _without_set_id(machine)
    typing = [step for each in _TYPING for step in ((_EQUAL, 0, 1, each), _fail(errno.EPERM))]
    steps += _call(calls["ioctl"], typing, _SECOND)
    if shared:
        steps += _call(calls["kill"], [(_EQUAL, 0, 1, 0xFFFFFFFF), _fail(errno.EPERM)])
    steps += _call(calls["personality"], [*_allowed(_PERSONALITIES), _fail(errno.EPERM)])
    high = [(_LOAD, 0, 0, _SECOND + 4), (_EQUAL, 1, 0, 0), _fail(errno.EINVAL)]
    steps += _call(calls["shmget"], [(_AT_LEAST, 0, 1, _MOST_SHARED + 1), _fail(errno.EINVAL), *high], _SECOND)
    steps += _call(calls["socketpair"], [*_allowed(LOCAL), _fail(errno.EOPNOTSUPP)])
    routes = [(_LOAD, 0, 0, _THIRD), *_allowed((_NETLINK_ROUTE,)), _fail(errno.EPROTONOSUPPORT)]
    netlink = [(_EQUAL, 0, len(routes), _NETLINK), *routes] if _NETLINK in families else []
    plain = [each for each in families if each != _NETLINK]
    steps += _call(calls["socket"], [*_allowed(plain), *netlink, _fail(errno.EACCES)])
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, _give(ALLOW)])


def _call(number: int, rules: Sequence[_Step], argument: int = _FIRST) -> list[_Step]:
    """Steps for one call that look at one of its arguments; when none of them decides, the call is allowed."""
    return [(_EQUAL, 0, len(rules) + 2, number), (_LOAD, 0, 0, argument), *rules, _give(ALLOW)]


def _without_set_id(machine: str) -> list[_Step]:
    """Steps that keep a build from making setuid and setgid files, and files with access lists or other attributes.

    Where the host can reach such a file, by a descriptor that the build was given or by a directory, its bits would
    count.
    """
    steps: list[_Step] = [(_EQUAL, 0, 1, _OPENAT2), _fail(errno.ENOSYS)]
    for number in _ATTRIBUTES[machine]:
        steps += [(_EQUAL, 0, 1, number), _fail(errno.EOPNOTSUPP)]
    for number, (flags, mode) in _MODES[machine].items():
        rules = [(_LOAD, 0, 0, _argument(mode)), (_ANY_BIT, 0, 1, _SET_ID), _fail(errno.EPERM)]
        if flags is not None:
            rules = [(_LOAD, 0, 0, _argument(flags)), (_ANY_BIT, 0, len(rules), _MAKES), *rules]
        steps += _call(number, rules)
    return steps


def _argument(number: int) -> int:
    return _FIRST + 8 * number


def _allowed(values: Sequence[int]) -> list[_Step]:
    """Steps that allow the call when the loaded argument is one of these values."""
    return [step for value in values for step in ((_EQUAL, 0, 1, value), _give(ALLOW))]


def _give(action: int) -> _Step:
    return (_RETURN, 0, 0, action)


def _fail(error: int) -> _Step:
    return _give(ERRNO | error)
