"""A process that starts programs, and ends them when it ends; for root it is another user, and first makes a user
namespace of that user. It is a program of its own, started by `hostuser.py`, and imports nothing of builder.

Arguments: the number of that user ("" for the caller), the table of the namespace, the umask of the programs, and the
number of a socket. The namespace's descriptor, if it made one, goes to that socket; then each request from it is
answered, until it is closed. That user keeps root's capabilities while it makes the namespace, so it works where plain
users may make none, and where root is one without CAP_SYS_ADMIN (containers); it has none when it starts programs.

A request is one byte with a file that holds, as `marshal` writes it, either the number of a process to wait for, or the
arguments of `_start`; then the directory to start it in and its descriptors follow. The answer is a number: the
process, or its status as waitpid(2) has it, or, below 0, an errno.
"""

import _socket  # not `socket`, `signal`, `contextlib`: they would take half of the time until the first build starts
import ctypes
import fcntl
import marshal
import os
import resource
import sys
from array import array

_SET_DUMPABLE, _SET_KEEPCAPS, _SET_CHILD_SUBREAPER = 4, 8, 36  # linux/prctl.h
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, linux/capability.h
_NEW_USER = 0x10000000  # CLONE_NEWUSER, linux/sched.h
_MOST = 253  # descriptors of a message: SCM_MAX_FD, unix(7)
_SIGKILL, _SIGPIPE, _SIGXFSZ = 9, 13, 25  # signal(7)
_SET_USER = 0o4000  # S_ISUID, inode(7)
_IGNORED_HERE = (_SIGPIPE, _SIGXFSZ)  # by Python

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    user, table, umask, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    os.set_inheritable(number, False)
    requests = _socket.socket(fileno=number)
    try:
        rights = _change(int(user), table) if user else []
    except OSError as problem:  # in bubblewrap's words: `refusal` knows these
        new = problem.filename == "unshare"
        what = "Creating new namespace failed" if new else f"setting up uid map, {problem.filename}"
        requests.send(f"bwrap: {what}: {problem.strerror}".encode())
        return
    _call("prctl", _SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    requests.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", rights))] if rights else [])
    for each in rights:
        os.close(each)
    os.umask(umask)
    try:
        _serve(requests)
    finally:
        _end()


def _change(user: int, table: str) -> list[int]:
    """Become another user, without capabilities; the descriptor of its namespace."""
    _become(user)
    namespace = _namespace(table)
    _capabilities(none=True)
    _call("prctl", _SET_DUMPABLE, 0, 0, 0, 0)
    return [namespace]


def _become(user: int) -> None:
    """Change the user and keep the capabilities; and own the files of this process in /proc."""
    _call("prctl", _SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _capabilities()
    _call("prctl", _SET_DUMPABLE, 1, 0, 0, 0)


def _capabilities(*, none: bool = False) -> None:
    """Have all permitted capabilities, or none from now on."""
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, and the same for the numbers above 31
    if not none:
        _call("capget", header, words)
        words[0], words[3] = words[1], words[4]
    _call("capset", header, words)


def _namespace(table: str) -> int:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _call("unshare", _NEW_USER)
            os.write(tell, b"\0")
            _libc.pause()
        except OSError as problem:
            os.write(tell, bytes([problem.errno or 1]))
        finally:
            os._exit(1)
    os.close(tell)
    try:
        if failed := os.read(told, 1)[0]:
            raise OSError(failed, os.strerror(failed), "unshare")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
                file.write(table)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    finally:
        os.close(told)
        os.kill(child, _SIGKILL)
        os.waitpid(child, 0)


def _serve(requests: _socket.socket) -> None:
    while True:
        space = _socket.CMSG_SPACE(_MOST * array("i").itemsize)
        _, messages, _, _ = requests.recvmsg(1, space, _socket.MSG_CMSG_CLOEXEC)
        if not messages:
            return
        found = list(array("i", messages[0][2]))
        try:
            request = marshal.loads(_content(found[0]))  # noqa: S302 - from builder, the parent
            answer = _wait(request) if isinstance(request, int) else _start(found[1], found[2:], *request)
        except OSError as problem:
            answer = -(problem.errno or 1)
        finally:
            for each in found:
                os.close(each)
        requests.send(str(answer).encode())


def _wait(process: int) -> int:
    """The status of a process that has ended or soon does. Its group has the first process of its sandbox, too, which
    this process may inherit.
    """
    status = os.waitpid(process, 0)[1]
    try:
        while os.waitpid(-process, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return status


def _end() -> None:
    """End all that still runs. Bubblewrap ends with its parent, but only once it has asked for that; before that, its
    first process waits for it and would become a child of this one.
    """
    try:
        while True:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                for each in _children():
                    os.kill(each, _SIGKILL)
                os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _children() -> list[int]:
    found = []
    for each in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{each}/stat", "rb") as file:
                # After the name in parentheses, which may hold anything: state, parent (proc(5), /proc/pid/stat).
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if parent == os.getpid():
            found.append(int(each))
    return found


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _start(  # noqa: PLR0917 - as they lie in the request
    folder: int, given: list[int], argv: list[str], numbers: list[int], limits: list[tuple[int, tuple[int, int]]],
    group: int,
) -> int:
    """Start a program in a directory: the descriptors `given` under these numbers. group: of processes, which it
    belongs to; 0 for a session of its own, with an empty input.
    """
    os.fchdir(folder)
    # Above all numbers that are to be made, so that making one closes none that is still to be copied.
    spare = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for each in given]
    try:
        actions = [(os.POSIX_SPAWN_DUP2, *pair) for pair in zip(spare, numbers, strict=True)]
        empty = [] if group else [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        place = {"setpgroup": group} if group else {"setsid": True}
        process = os.posix_spawn(argv[0], argv, {}, file_actions=[*actions, *empty], setsigdef=_IGNORED_HERE, **place)
    finally:
        for each in spare:
            os.close(each)
    try:
        for which, most in limits:
            try:
                resource.prlimit(process, which, most)
            except PermissionError:
                if not os.stat(argv[0]).st_mode & _SET_USER:  # a plain user cannot limit a setuid bubblewrap
                    raise
    except OSError:
        os.kill(process, _SIGKILL)
        os.waitpid(process, 0)
        raise
    return process


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    try:  # noqa: SIM105 - `contextlib` is slow to import
        main()
    except ConnectionError:  # the builder has ended, maybe before its first build, with our word unread
        pass
