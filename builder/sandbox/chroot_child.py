"""The supervisor of the chroot sandbox: a program of its own, started as root by `chroot.py`; it imports nothing else.

Arguments: the number of a descriptor with the job (JSON, see `Chroot._job`), and of one for the message when the
command cannot be started: "STEP: REASON", where the step is "run" when it is the command's fault. That descriptor is
closed when the command runs.

The supervisor adopts the processes that the command leaves behind (prctl(2), PR_SET_CHILD_SUBREAPER). When the command
ends, or builder ends, or SIGTERM comes, it ends all of them, and then itself with the command's exit code.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

_SET_PDEATHSIG, _SET_SECCOMP, _SET_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 22, 36, 38  # linux/prctl.h
_MODE_FILTER = 2  # SECCOMP_MODE_FILTER, linux/seccomp.h
_NEW_UTS, _NEW_IPC = 0x04000000, 0x08000000  # CLONE_NEW*, linux/sched.h
_BLOCKED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
_PAUSE = 0.002  # seconds for killed processes to go

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def main() -> NoReturn:
    job_fd, report_fd = int(sys.argv[1]), int(sys.argv[2])
    with open(job_fd, encoding="utf-8") as file:
        job = json.load(file)
    os.set_inheritable(report_fd, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _prctl(_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_SET_SUBREAPER, 1)
    if os.getppid() != job["parent"]:
        sys.exit(1)  # builder ended before it could be watched
    pid = os.fork()
    if pid == 0:
        _command(job, report_fd)
    os.close(report_fd)
    code = _wait_for(pid)
    _end_all()
    os._exit(code)


def _wait_for(pid: int) -> int:
    """The exit code of the command, or 137 after SIGTERM."""
    while signal.sigwait({signal.SIGCHLD, signal.SIGTERM}) == signal.SIGCHLD:
        while (ended := _reap()) is not None:
            if ended[0] == pid:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code
    return 137


def _reap() -> tuple[int, int] | None:
    """A child that has ended, and its status; None when none has."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _end_all() -> None:
    """Ends all descendants. All are stopped before any is killed, so that none can start another meanwhile."""
    while _any_left():
        stopped: set[int] = set()
        while new := _below(os.getpid()) - stopped:
            _signal(new, signal.SIGSTOP)
            stopped |= new
        _signal(stopped, signal.SIGKILL)
        time.sleep(_PAUSE)


def _any_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _below(ancestor: int) -> set[int]:
    """All processes that descend from one, by /proc."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            parent = int(file.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = [ancestor]
    for pid in found:
        found.extend(children.get(pid, ()))
    return set(found[1:])


def _command(job: dict[str, Any], report_fd: int) -> NoReturn:
    """Becomes the command. On failure it reports the refused step."""
    steps = _steps(job)
    try:
        while steps:
            steps[0][1]()
            del steps[0]
    except OSError as error:
        os.write(report_fd, f"{steps[0][0]}: {error.strerror}".encode())
    finally:
        os._exit(126)


def _steps(job: dict[str, Any]) -> list[tuple[str, Callable[[], object]]]:
    """The steps of the command's process, in order, each with its name for messages."""
    return [
        ("leave the session", lambda: _leave_session(job["interactive"])),
        ("set the host name", lambda: _own_host(job["hostname"])),
        ("change the root directory", lambda: os.chroot(job["root"])),
        ("enter the build's directory", lambda: os.chdir(job["workdir"])),
        ("set resource limits", lambda: _limit(job["limits"])),
        ("change the user", lambda: _become(job["uid"], job["gid"])),
        ("give up privileges", lambda: _prctl(_SET_NO_NEW_PRIVS, 1)),
        ("filter system calls", lambda: _filter(bytes.fromhex(job["filter"]))),
        ("reset signals", lambda: _usual_signals(job["umask"])),
        ("run", lambda: os.execvpe(job["argv"][0], job["argv"], job["env"])),  # noqa: S606
    ]


def _leave_session(interactive: bool) -> None:
    if not interactive:
        os.setsid()


def _own_host(name: str) -> None:
    """A host name and System V objects of its own, where the kernel allows them: a container's root often may not."""
    if _libc.unshare(_NEW_UTS | _NEW_IPC) == 0:
        _libc.sethostname(name.encode(), len(name))


def _limit(limits: list[tuple[int, tuple[int, int]]]) -> None:
    for which, (soft, hard) in limits:
        resource.setrlimit(which, (soft, hard))


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _filter(steps: bytes) -> None:
    program = _Program(len(steps) // 8, steps)
    _prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program))


def _usual_signals(umask: int) -> None:
    os.umask(umask)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)


def _prctl(option: int, *values: Any) -> None:
    rest = (*values, 0, 0, 0, 0)[:4]
    if _libc.prctl(option, *(ctypes.c_ulong(each) if isinstance(each, int) else each for each in rest)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    main()
