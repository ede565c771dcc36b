"""The parts of the sandbox that need no privileges: the value, its texts, the filter, refusals, watching."""

import errno
import io
import os
import re
import resource
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Never
from msgspec.structs import replace

from builder.base import within
from builder.base.environment import BASE_FILES, BUILD_ENV
from builder.base.errors import SandboxError
from builder.build.log import Log
from builder.progress.plain import PlainReporter
from builder.recipe.recipe import Limits
from builder.sandbox import (
    Mount,
    Outcome,
    SandboxSpec,
    bwrap_options,
    describe,
    find,
    hostuser,
    limit_error,
    processes,
    seccomp,
)  # fmt: skip
from builder.sandbox.processes import Table, Usage
from builder.sandbox.program import find_program
from builder.sandbox.refusal import refusal
from builder.sandbox.rlimits import rlimits
from builder.sandbox.watch import Watched, watch

SPEC = SandboxSpec(
    mounts=(Mount("/store/work", "/build", writable=True), Mount("/store/out", "/output", writable=True), Mount("/store/t/bin", "/bin")),
    links={"/lib": "usr/lib"}, files={"/etc/hosts": "127.0.0.1 localhost\n"}, folders=("/var/empty",),
    argv=("/bin/sh", "-c", "make -j2"), env={"TZ": "UTC", "CORES": "2"}, limits=Limits(memory=64, processes=8, seconds=30),
)  # fmt: skip


def test_a_sandbox_describes_itself() -> None:
    assert describe(SPEC) == [
        "read-only /bin is /store/t/bin",
        "writable  /build is /store/work",
        "writable  /output is /store/out",
        "link      /lib -> usr/lib",
        "file      /etc/hosts, 20 bytes",
        "directory /var/empty, empty",
        "writable  /tmp and /dev/shm, empty, in memory",
        "network   none",
        "user      1000:1000 on host builder, umask 0022",
        "limits    64 MiB of memory, 8 processes, 30 seconds, 1024 open files",
        "variable  CORES=2",
        "variable  TZ=UTC",
        "runs in   /build",
        "runs      /bin/sh -c 'make -j2'",
    ]


def test_a_server_has_the_machines_network_and_no_limit_of_time() -> None:
    server = replace(SPEC, network=True, open_files=65536)
    assert (SPEC.timed, server.timed) == (True, False)
    lines = describe(server)
    assert "network   the machine's" in lines
    assert "limits    64 MiB of memory, 8 processes, no limit of time, 65536 open files" in lines
    theirs = bwrap_options.Descriptors(options=3, status=4, files={}, filter=())
    assert "--unshare-net" in bwrap_options.options(SPEC, theirs)
    assert [each for each in bwrap_options.options(SPEC, theirs) if each not in bwrap_options.options(server, theirs)] == ["--unshare-net"]


@pytest.mark.parametrize("path", ["build", "/", "/a/../b", "/a//b", "/a/.", "/a\0b"])
def test_paths_that_are_not_plain_are_broken_invariants(path: str) -> None:
    with pytest.raises(AssertionError):
        SandboxSpec(mounts=(Mount("/x", path),), argv=("x",), env={})


def test_two_things_at_a_path_are_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="one thing at a path"):
        SandboxSpec(mounts=(Mount("/x", "/a"),), links={"/a": "b"}, argv=("x",), env={})


def test_the_environment_is_fixed() -> None:
    assert dict(BUILD_ENV) == {
        "HOME": "/build", "LANG": "C", "LC_ALL": "C", "LOGNAME": "builder", "OUT": "/output", "PATH": "/usr/bin:/bin",
        "SHELL": "/bin/sh", "SOURCE_DATE_EPOCH": "1", "TMPDIR": "/build/tmp", "TZ": "UTC", "USER": "builder",
    }  # fmt: skip
    assert [line.split(":")[0] for line in BASE_FILES["/etc/passwd"].splitlines()] == ["root", "builder", "nobody"]


@pytest.mark.parametrize(
    ("killed", "text"),
    [
        ("time", "took longer than 30 seconds\n  next: if it needs more, raise 'seconds' under [limits] in the recipe"),
        ("memory", "used more than 64 MiB of memory\n  next: give it fewer cores, or raise 'memory' (MiB) under [limits] in the recipe"),
        ("processes", "ran more than 8 processes at a time\n  next: if it needs more, raise 'processes' under [limits] in the recipe"),
    ],
)
def test_a_broken_limit_is_named_with_its_remedy(killed: str, text: str) -> None:
    error = limit_error(Outcome(code=137, killed=killed), SPEC.limits, "zlib 1.3.1")
    assert str(error) == f"zlib 1.3.1: the build {text}"
    assert error.exit_code == 4


def test_a_run_that_was_cancelled_before_it_began_starts_nothing() -> None:
    cancel = threading.Event()
    cancel.set()
    with Never() as sandbox:
        assert sandbox.run(SPEC, -1, cancel) == Outcome(code=137, killed="cancelled")


@pytest.mark.parametrize("inner", [{"links": {"/a/b": "x"}}, {"files": {"/a/b/c": "x"}}, {"folders": ("/a/b",)}])
def test_a_thing_inside_another_is_a_broken_invariant(inner: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="one thing is not inside another"):
        SandboxSpec(mounts=(Mount("/x", "/a"),), argv=("x",), env={}, **inner)


# --- limits


def test_resource_limits_lie_above_the_recipes_and_within_ours() -> None:
    found = dict(rlimits(Limits(processes=5)))
    assert found[resource.RLIMIT_CORE] == (0, 0)
    assert found[resource.RLIMIT_NPROC][0] > 5
    assert dict(rlimits(Limits(), 2000))[resource.RLIMIT_NOFILE][0] in (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    for which, (soft, hard) in found.items():
        ours = resource.getrlimit(which)[1]
        assert soft <= hard
        assert ours == resource.RLIM_INFINITY or hard <= ours


@pytest.fixture
def sleeper() -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        pidfd = os.pidfd_open(process.pid)
        yield process, pidfd
        process.kill()
        os.close(pidfd)


def nothing() -> Usage:
    return Usage(0, 0)


def test_a_run_that_ends_is_never_sampled() -> None:
    with subprocess.Popen(["true"]) as process:
        pidfd = os.pidfd_open(process.pid)
        seen = watch(pidfd, pytest.fail, pytest.fail, Limits(), None)
        os.close(pidfd)
    assert (seen.killed, seen.peak) == ("", 0)


@pytest.mark.parametrize(
    ("used", "limits", "expected"),
    [
        (Usage(65 << 20, 1), Limits(memory=64), Watched("memory", 65 << 20, 0)),
        (Usage(1 << 20, 9), Limits(processes=8), Watched("processes", 1 << 20, 0)),
        (Usage(0, 0), Limits(seconds=0), Watched("time", 0, 0)),
    ],
)
def test_a_run_beyond_a_limit_is_killed(
    sleeper: tuple["subprocess.Popen[bytes]", int], used: Usage, limits: Limits, expected: Watched
) -> None:
    process, pidfd = sleeper
    found = watch(pidfd, process.kill, lambda: used, limits, None)
    assert (found.killed, found.peak) == (expected.killed, expected.peak)
    assert process.wait() == -9


def test_cancelling_is_seen_within_a_tick(sleeper: tuple["subprocess.Popen[bytes]", int]) -> None:
    process, pidfd = sleeper
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    assert watch(pidfd, process.kill, nothing, Limits(), cancel).killed == "cancelled"
    assert process.wait() == -9


def test_a_run_that_floods_its_log_is_seen_and_ended_like_any_other(tmp_path: Path) -> None:
    cancel = threading.Event()
    with PlainReporter(io.StringIO()) as reporter, Log(str(tmp_path / "log"), reporter.task("build", "x")) as log:
        process = subprocess.Popen(["yes"], stdout=log.fd)
        pidfd = os.pidfd_open(process.pid)
        threading.Timer(0.3, cancel.set).start()
        assert watch(pidfd, process.kill, nothing, Limits(), cancel, follower=log).killed == "cancelled"
        assert process.wait() == -9
        os.close(pidfd)
    assert (tmp_path / "log").read_bytes().startswith(b"y\ny\n" * 100)


class Blocked(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(20)
        return super().write(text)


def test_a_terminal_that_takes_no_lines_keeps_no_limit_from_being_enforced(tmp_path: Path) -> None:
    stream = Blocked()
    cancel = threading.Event()
    reporter = PlainReporter(stream, verbose=True)
    stream.free.set()
    task = reporter.task("build", "x")
    stream.free.clear()
    with Log(str(tmp_path / "log"), task, every=True) as log:
        process = subprocess.Popen(["yes"], stdout=log.fd)
        pidfd = os.pidfd_open(process.pid)
        threading.Timer(0.3, cancel.set).start()
        started = time.monotonic()
        assert watch(pidfd, process.kill, nothing, Limits(), cancel, follower=log).killed == "cancelled"
        assert time.monotonic() - started < 5
        process.wait()
        os.close(pidfd)
        stream.free.set()
    reporter.close()


def test_a_shell_has_no_limit_of_time(sleeper: tuple["subprocess.Popen[bytes]", int]) -> None:
    process, pidfd = sleeper
    threading.Timer(0.1, process.kill).start()
    assert watch(pidfd, pytest.fail, nothing, Limits(seconds=0), None, timed=False).killed == ""


def test_memory_is_what_processes_hold_for_themselves() -> None:
    eat = "x = bytearray(64 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", eat], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        own = processes.measure([f"/proc/{process.pid}", "/proc/0"], extra=1 << 20)
        process.kill()
    assert own.processes == 1
    assert 65 << 20 <= own.memory < 90 << 20


def test_descendants_are_found_by_their_parents() -> None:
    table = {2: 1, 3: 2, 4: 3, 5: 1, 6: 2}
    assert sorted(processes.below(2, lambda: table)) == ["/proc/3", "/proc/4", "/proc/6"]


def test_the_table_of_processes_is_shared_for_a_while() -> None:
    table = Table()
    assert table.parents()[os.getpid()] == os.getppid()
    assert table.parents() is table.parents()


# --- the pinned program


def test_the_systems_bubblewrap_is_taken_first(tmp_path: Path) -> None:
    (tmp_path / "bwrap").touch(0o755)
    assert find_program("/no/tools", search=str(tmp_path)) == (f"{tmp_path}/bwrap",)


def test_links_inside_a_tool_root_never_lead_out(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/real").touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "lib64").symlink_to("/lib")
    (tmp_path / "up").symlink_to("../../../../etc")
    (tmp_path / "usr/lib/ld").symlink_to("/../lib64/./real")
    (tmp_path / "circle").symlink_to("circle")
    tree = str(tmp_path)
    assert within.resolve(tree, "/lib64/ld") == f"{tree}/usr/lib/real"
    assert within.resolve(tree, "/up/passwd") == f"{tree}/etc/passwd"
    assert within.resolve(tree, "/not/there") == f"{tree}/not/there"
    with pytest.raises(SandboxError, match="symbolic links at /circle form a circle"):
        within.resolve(tree, "/circle")


def test_a_machine_without_bubblewrap_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        find_program("", search=str(tmp_path))
    assert str(caught.value) == (
        "bwrap: there is no bubblewrap on this machine\n"
        "  next: install bubblewrap, or name the package `launcher` in the tool set: it holds a pinned one"
    )
    with pytest.raises(SandboxError) as caught:
        find_program(str(tmp_path), search=str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: the tool set holds no bubblewrap with its loader\n"
        "  next: add the packages bubblewrap and libc6 to the tool set, or install bubblewrap on this machine"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a plain user")
def test_chroot_is_for_root() -> None:
    with pytest.raises(SandboxError, match="--sandbox chroot works for root only"):
        find("chroot", scratch="/tmp")


# --- refusals

CHROOT = "or, as root, use the weaker --sandbox chroot"
REFUSALS = [
    (
        "No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces. "
        "See <https://deb.li/bubblewrap>", {"kernel.unprivileged_userns_clone": "0"},
        "the kernel refuses user namespaces: kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "Creating new namespace failed: Operation not permitted", {},
        "the kernel refuses user namespaces, as in many containers",
        "start the container with --security-opt seccomp=unconfined (or --cap-add SYS_ADMIN)",
    ),
    (
        "Creating new namespace failed: No space left on device", {"user.max_user_namespaces": "0"},
        "the kernel refuses user namespaces: user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "Creating new namespace failed: No space left on device", {"user.max_user_namespaces": "7"},
        "the kernel refuses user namespaces: there are as many as user.max_user_namespaces allows",
        "raise it with sysctl -w user.max_user_namespaces=N",
    ),
    (
        "setting up uid map: Permission denied", {"kernel.apparmor_restrict_unprivileged_userns": "1"},
        "AppArmor refuses user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1",
        "install the system's bubblewrap and its AppArmor profile, "
        "or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "loopback: Failed RTM_NEWADDR: Operation not permitted", {"kernel.apparmor_restrict_unprivileged_userns": "0"},
        "the kernel refuses to set up a user namespace",
        "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    ),
    (
        "Can't mount proc on /newroot/proc: Operation not permitted", {},
        "the kernel refuses a new /proc, because this container hides parts of its own",
        "start the container with --security-opt systempaths=unconfined",
    ),
    (
        "Failed to make / slave: Permission denied", {}, "the kernel refuses to mount in a new namespace",
        "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    ),
    ("execvp: something new", {}, "bubblewrap cannot make the sandbox", "see whether it runs by hand"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "settings", "message", "hint"), REFUSALS)
def test_a_refusal_names_what_refused_and_the_weaker_mode(said: str, settings: dict[str, str], message: str, hint: str) -> None:
    error = refusal(f"noise\nbwrap: {said}\n", lambda name: settings.get(name, ""))
    assert str(error) == f"bwrap: {message} ({said})\n  next: {hint}; {CHROOT}"
    assert error.exit_code == 5


def test_faults_that_are_not_the_kernels() -> None:
    assert str(refusal("bwrap: Unknown option --json-status-fd\n")) == (
        "bwrap: this bubblewrap is too old: it does not know --json-status-fd\n"
        "  next: install bubblewrap 0.4 or newer, or remove it so that the pinned one is used"
    )
    assert str(refusal("bwrap: Can't find source path /store/x: No such file or directory\n")) == (
        "bwrap: /store/x is to be mounted in the sandbox but is not there\n  next: the store may be damaged: builder store verify"
    )


# --- the system call filter


def verdict(program: bytes, number: int, *arguments: int, audit: int = 0xC000003E) -> int:
    """Runs a classic BPF program as the kernel does for a call (linux/filter.h)."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x06:
            return int(operand)
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}[code]
            at += if_true if holds else if_false


ALLOW, KILL = 0x7FFF0000, 0x80000000


def failing(number: int) -> int:
    return 0x00050000 | number


def test_sockets_are_denied_by_family() -> None:
    local, network = seccomp.program(seccomp.LOCAL, machine="x86_64"), seccomp.program(seccomp.NETWORK, machine="x86_64")
    assert [verdict(local, 41, family) for family in (1, 2, 10, 16, 40)] == [ALLOW] + [failing(errno.EACCES)] * 4
    assert [verdict(network, 41, family) for family in (1, 2, 10, 16, 40)] == [ALLOW] * 4 + [failing(errno.EACCES)]
    assert verdict(local, 41, 2 | 1 << 32) == failing(errno.EACCES)  # the kernel, too, looks at the low half only


def test_other_ways_of_calling_are_killed() -> None:
    program = seccomp.program(seccomp.LOCAL, machine="x86_64")
    assert verdict(program, 41, 1, audit=0x40000003) == KILL  # i386
    assert verdict(program, 0x40000000 | 41, 1) == KILL  # x32


@pytest.mark.parametrize("shared", [False, True])
def test_what_else_is_denied(shared: bool) -> None:
    program = seccomp.program(seccomp.NETWORK, shared=shared, machine="x86_64")
    no, only_shared = failing(errno.EPERM), failing(errno.EPERM) if shared else ALLOW
    assert verdict(program, 272, 0x10000000) == verdict(program, 56, 0x10000011) == no  # unshare and clone of users
    assert verdict(program, 272, 0x20000) == verdict(program, 56, 0x11) == ALLOW
    assert verdict(program, 435) == verdict(program, 425) == failing(errno.ENOSYS)  # clone3, io_uring_setup
    assert verdict(program, 250) == verdict(program, 321) == no  # keyctl, bpf
    assert verdict(program, 16, 0, 0x5412) == no  # ioctl TIOCSTI
    assert verdict(program, 16, 0, 0x5413) == ALLOW
    assert verdict(program, 101) == verdict(program, 310) == no  # ptrace, process_vm_readv
    assert verdict(program, 62, 0xFFFFFFFF_FFFFFFFF, 9) == only_shared  # kill(-1)
    assert verdict(program, 62, 123, 9) == verdict(program, 0) == ALLOW


def test_some_arguments_are_denied() -> None:
    program = seccomp.program(seccomp.NETWORK, machine="x86_64")
    assert [verdict(program, 135, each) for each in (0, 0xFFFFFFFF, 8)] == [ALLOW, ALLOW, failing(errno.EPERM)]  # personality
    routes, audit, wrapped = (verdict(program, 41, 16, 3, each) for each in (0, 9, 1 << 32))
    assert (routes, audit, wrapped) == (ALLOW, failing(errno.EPROTONOSUPPORT), ALLOW)  # an int, as the family
    assert [verdict(program, 53, each) for each in (1, 30)] == [ALLOW, failing(errno.EOPNOTSUPP)]
    large = [verdict(program, 29, 0, each) for each in (1 << 16, (1 << 16) + 1, 1 << 32, 1 << 63)]
    assert large == [ALLOW] + [failing(errno.EINVAL)] * 3


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6000])
def test_modes_with_setuid_and_setgid_are_denied(mode: int) -> None:
    program = seccomp.program(seccomp.NETWORK, machine="x86_64")
    no, creating, temporary = failing(errno.EPERM), 0o101, 0o20200000
    for number, before in ((90, [0]), (91, [0]), (85, [0]), (133, [0]), (259, [0, 0]), (268, [0, 0]), (452, [0, 0])):
        assert verdict(program, number, *before, mode) == no
        assert verdict(program, number, *before, 0o1777) == ALLOW
    for flags in (creating, temporary):
        assert verdict(program, 2, 0, flags, mode) == verdict(program, 257, 0, 0, flags, mode) == no
        assert verdict(program, 2, 0, flags, 0o644) == verdict(program, 257, 0, 0, flags, 0o644) == ALLOW
    assert verdict(program, 2, 0, 0, mode) == verdict(program, 257, 0, 0, 0, mode) == ALLOW, "without O_CREAT it is no mode"
    assert verdict(program, 437) == failing(errno.ENOSYS)  # openat2
    assert verdict(program, 188) == verdict(program, 463) == failing(errno.EOPNOTSUPP)  # setxattr, setxattrat
    other = seccomp.program(seccomp.NETWORK, machine="aarch64")
    assert verdict(other, 53, 0, 0, mode, audit=0xC00000B7) == verdict(other, 56, 0, 0, 0o100, mode, audit=0xC00000B7) == no


@pytest.mark.parametrize(
    ("table", "has"),
    [("0 0 4294967295\n", True), ("0 0 1\n", False), ("0 1000 1\n1 100000 65536\n", True), ("0 100000 65530\n", False)],
)
def test_whether_there_is_a_user_of_builds(table: str, has: bool) -> None:
    assert hostuser.has_both(table) is has


def test_the_other_machine_has_numbers_of_its_own() -> None:
    program = seccomp.program(seccomp.LOCAL, machine="aarch64")
    assert verdict(program, 198, 2, audit=0xC00000B7) == failing(errno.EACCES)
    assert verdict(program, 198, 1, audit=0xC00000B7) == ALLOW
    assert verdict(program, 41, 2, audit=0xC000003E) == KILL
    assert verdict(program, 279, audit=0xC00000B7) == failing(errno.ENOSYS)  # memfd_create
    assert seccomp.program(seccomp.LOCAL, machine="riscv64") == b""


@pytest.mark.parametrize(
    ("machine", "path"), [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")]
)
def test_call_numbers_are_the_kernels(machine: str, path: str) -> None:
    header = Path("/usr/include", path)
    if not header.exists():
        pytest.skip("no kernel headers here")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    for name, number in seccomp._MACHINES[machine].calls.items():
        assert known[name] == str(number)


def test_nothing_slow_is_imported_before_a_sandbox_is_found() -> None:
    code = "import sys, builder.sandbox; print([m for m in ('subprocess', 'tempfile', 'ctypes') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
