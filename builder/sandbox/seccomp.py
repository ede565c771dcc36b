"""The system call filter of every sandbox: a classic BPF program (seccomp(2), linux/filter.h, linux/seccomp.h).

Namespaces leave gaps that a filter closes. AF_VSOCK and other rare socket families reach out of a network namespace; a
new user namespace inside gives a build powers over mounts again; keys of the kernel belong to the host's user; a setuid
file is one on the host, too. In the chroot sandbox, which has no network namespace, the filter is what denies the network.
"""

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD+W+ABS, BPF_JMP+..., BPF_RET
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_*
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data; low halves of the arguments
_X32 = 0x40000000
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_TYPING = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: these type into the terminal that a shell shares with its caller
LOCAL = (1,)  # AF_UNIX
NETWORK = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: a network namespace holds these


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int  # AUDIT_ARCH_* of linux/audit.h
    calls: Mapping[str, int]  # <asm/unistd.h>


_MACHINES = {
    "x86_64": _Machine(0xC000003E, {
        "ioctl": 16, "socket": 41, "clone": 56, "kill": 62, "ptrace": 101, "add_key": 248, "request_key": 249,
        "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "userfaultfd": 323,
        "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438,
    }),
    "aarch64": _Machine(0xC00000B7, {
        "ioctl": 29, "unshare": 97, "ptrace": 117, "kill": 129, "socket": 198, "add_key": 217, "request_key": 218,
        "keyctl": 219, "clone": 220, "perf_event_open": 241,
        "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "userfaultfd": 282,
        "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438,
    }),
}  # fmt: skip
# Asked for and not there, so that programs take the older way: its arguments lie in memory, out of a filter's sight.
_ABSENT = ("io_uring_setup", "clone3")
_DENIED = ("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd")
# Calls that give a file its mode: number -> (argument with the flags of open(2) or None, argument with the mode). mkdir
# is not among them: the kernel ignores setuid and setgid bits there. The mode of openat2 lies in memory, out of sight.
_MODES: Mapping[str, Mapping[int, tuple[int | None, int]]] = {
    "x86_64": {  # open, creat, chmod, fchmod, mknod, openat, mknodat, fchmodat, fchmodat2
        2: (1, 2), 85: (None, 1), 90: (None, 1), 91: (None, 1), 133: (None, 1), 257: (2, 3), 259: (None, 2), 268: (None, 2),
        452: (None, 2),
    },
    "aarch64": {33: (None, 2), 52: (None, 1), 53: (None, 2), 56: (2, 3), 452: (None, 2)},  # mknodat, fchmod, fchmodat, openat, fchmodat2
}  # fmt: skip
_OPENAT2 = 437  # on both
_ATTRIBUTES = {"x86_64": (188, 189, 190, 463), "aarch64": (5, 6, 7, 463)}  # setxattr, lsetxattr, fsetxattr, setxattrat
_MAKES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: without them open(2) is given no mode, and its register holds anything
_SET_ID = 0o6000  # S_ISUID, S_ISGID
_OTHERS_PROCESSES = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd")

_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(families: Sequence[int], *, shared: bool = False, machine: str = "") -> bytes:
    """The filter as an array of struct sock_filter; empty when we do not know this machine's numbers.

    families: address families that socket(2) may have. shared: other processes of the same user are in sight, so
    reaching into them and signalling all of them are denied.
    """
    machine = machine or os.uname().machine
    known = _MACHINES.get(machine)
    if known is None:
        return b""
    calls = known.calls
    steps: list[_Step] = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, known.audit), _give(KILL), (_LOAD, 0, 0, _NUMBER)]
    if known is _MACHINES["x86_64"]:
        steps += [(_AT_LEAST, 0, 1, _X32), _give(KILL)]
    for name in _ABSENT:
        steps += [(_EQUAL, 0, 1, calls[name]), _fail(errno.ENOSYS)]
    for name in _DENIED + (_OTHERS_PROCESSES if shared else ()):
        steps += [(_EQUAL, 0, 1, calls[name]), _fail(errno.EPERM)]
    for name in ("unshare", "clone"):
        steps += _call(calls[name], [(_ANY_BIT, 0, 1, _NEW_USER), _fail(errno.EPERM)])
    steps += _without_set_id(machine)
    typing = [step for each in _TYPING for step in ((_EQUAL, 0, 1, each), _fail(errno.EPERM))]
    steps += _call(calls["ioctl"], typing, _SECOND)
    if shared:
        steps += _call(calls["kill"], [(_EQUAL, 0, 1, 0xFFFFFFFF), _fail(errno.EPERM)])
    allowed = [step for family in families for step in ((_EQUAL, 0, 1, family), _give(ALLOW))]
    steps += _call(calls["socket"], [*allowed, _fail(errno.EACCES)])
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, _give(ALLOW)])


def _call(number: int, rules: Sequence[_Step], argument: int = _FIRST) -> list[_Step]:
    """Steps for one call that look at one of its arguments; when none of them decides, the call is allowed."""
    return [(_EQUAL, 0, len(rules) + 2, number), (_LOAD, 0, 0, argument), *rules, _give(ALLOW)]


def _without_set_id(machine: str) -> list[_Step]:
    """Steps that keep a build from making setuid and setgid files, and files with access lists or other attributes.

    Where the host can reach such a file, by a descriptor that the build was given or by a folder, its bits would count.
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


def _give(action: int) -> _Step:
    return (_RETURN, 0, 0, action)


def _fail(error: int) -> _Step:
    return _give(ERRNO | error)
