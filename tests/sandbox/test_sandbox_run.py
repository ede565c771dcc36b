# ruff: noqa: F401, F811 - fixtures are imported, and named again by the tests that use them
"""Real runs: what a command sees, and what is denied to it, in each kind of sandbox."""

import os
import socket
from pathlib import Path

import pytest
from sandboxes import MARKS, REPOSITORY, Runner, bubblewrap, chroot, pinned, plain, run, scratch, tools

from builder.base.environment import BUILD_ENV
from builder.sandbox import hostuser

pytestmark = MARKS


# --- what is fixed


def test_user_host_umask_and_time_zone_are_fixed(run: Runner) -> None:
    before = os.umask(0o077)
    try:
        assert run.lines("id -u; id -g; id -G; id -un; uname -n; umask; date +%Z; pwd") == [
            "1000", "1000", "1000", "builder", "builder", "0022", "UTC", "/build",
        ]  # fmt: skip
    finally:
        os.umask(before)


def test_the_environment_is_what_the_spec_says(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "1")
    expected = {**BUILD_ENV, "CORES": "2", "PWD": "/build"}
    assert sorted(run.lines("exec env")) == sorted(f"{name}={value}" for name, value in expected.items())


def test_input_is_empty_and_no_descriptor_is_left_open(run: Runner) -> None:
    assert run.lines("cat; for n in 3 4 5 6 7 8 9; do (eval : '<&'$n) 2>/dev/null && echo $n; done; true") == []


def test_resource_limits_are_fixed(run: Runner) -> None:
    assert run.lines("ulimit -c; ulimit -n; ulimit -s") == ["0", "1024", "8192"]


def test_no_signal_is_ignored_or_blocked(run: Runner) -> None:
    if run.name != "chroot":  # it has no /proc
        found = "while read -r name value; do case $name in Sig[BI]*) echo $name $value;; esac; done < /proc/self/status"
        own = 3 << 31  # 32 and 33 are the C library's, and what its posix_spawn(3) starts ignores them
        assert [int(each.split()[1], 16) & ~own for each in run.lines(found)] == [0, 0]


def test_exit_codes_are_the_commands(run: Runner) -> None:
    assert run("exit 7").code == 7
    assert run("kill -9 $$").code == 137
    assert run("true").killed == ""


# --- what is seen


def test_nothing_of_the_host_is_seen(run: Runner) -> None:
    own = {"build", "dev", "etc", "output", "tmp"} | ({"proc"} if run.name != "chroot" else set())
    assert set(run.lines("ls -A /")) == own | {each.name for each in Path(run.tools).iterdir()}
    assert run.lines("ls -A /build /output /tmp /dev/shm") == ["/build:", "", "/dev/shm:", "", "/output:", "", "/tmp:"]
    hosts = (REPOSITORY, str(run.work), "/root", "/home", "/var", "/sys", "/run", "/etc/hostname")
    assert run.lines(f"for path in {' '.join(hosts)}; do test ! -e $path || echo $path; done") == []


def test_devices_are_the_usual_few(run: Runner) -> None:
    assert run.lines("echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 1 /dev/urandom | wc -c") == [" 00 00 00", "1"]
    seen = set(run.lines("ls /dev"))
    extra = {"core", "fd", "ptmx", "pts", "stderr", "stdin", "stdout", "tty"} if run.name != "chroot" else set()
    assert seen == {"full", "null", "random", "shm", "urandom", "zero"} | extra


def test_only_four_folders_can_be_written(run: Runner) -> None:
    script = "for d in / /etc /bin /usr /usr/bin /dev /lib /build /output /tmp /dev/shm; do (: > $d/x) 2>&- && echo $d; done"
    assert run.lines(script) == ["/build", "/output", "/tmp", "/dev/shm"]
    assert run.lines("(echo x >> /bin/sh) 2>&- || echo no; chmod 777 /bin/sh 2>&- || echo no") == ["no", "no"]


def test_what_is_written_is_the_callers_and_never_roots(run: Runner) -> None:
    owner = {"bubblewrap": hostuser.ID if hostuser.exists() else run.owner, "plain": run.owner, "chroot": 1000}[run.name]
    assert run("mkdir -m 700 /output/d; echo hello > /output/d/f; ln -s f /output/d/l; touch /tmp/left").code == 0
    output = run.work / "output"
    assert (output / "d/f").read_text() == "hello\n"
    assert {os.lstat(each).st_uid for each in (output, *output.rglob("*"))} == {owner}
    assert (output / "d/f").stat().st_mode & 0o777 == 0o644
    assert run.lines("ls -A /tmp") == []


def test_the_hosts_settings_cannot_be_written(bubblewrap: Runner, plain: Runner) -> None:
    # What is hidden looks like a device that all may write to, and cannot be opened.
    opened = "for f in /proc/sys/*/* /proc/sys/*/*/* /proc/*; do test -w $f && { test -d $f || (: >> $f) 2>&-; } && echo $f; done"
    script = f"{opened}; true"
    assert [each.lines(script) for each in (bubblewrap, plain)] == [[], []]


def test_only_the_sandboxs_own_processes_are_seen(bubblewrap: Runner) -> None:
    assert len([each for each in bubblewrap.lines("exec ls /proc") if each.isdigit()]) == 2


# --- what is denied

CONNECT = "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) or die qq(socket: $!\n); %s'"
OUT = CONNECT % r"connect(S, sockaddr_in(80, inet_aton(q(192.0.2.1)))) or die qq(connect: $!\n)"


def test_there_is_no_network(run: Runner) -> None:
    assert run(OUT).code != 0
    assert run.log == ("socket: Permission denied\n" if run.name == "chroot" else "connect: Network is unreachable\n")


def test_only_the_loopback_interface_is_there_and_works(bubblewrap: Runner) -> None:
    assert [line.split(":")[0].strip() for line in bubblewrap.lines("cat /proc/net/dev")[2:]] == ["lo"]
    bind = r"bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die; listen(S, 1) or die; socket(C, PF_INET, SOCK_STREAM, 0); "
    assert bubblewrap(CONNECT % (bind + "connect(C, getsockname(S)) or die $!")).code == 0, bubblewrap.log


def test_a_server_shares_the_machines_network_and_nothing_else(bubblewrap: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = CONNECT % f"connect(S, sockaddr_in({server.getsockname()[1]}, INADDR_LOOPBACK)) or die qq(connect: $!)"
        assert bubblewrap(connect, network=True).code == 0, bubblewrap.log
        assert bubblewrap(connect).code != 0
    assert len([each for each in bubblewrap.lines("exec ls /proc", network=True) if each.isdigit()]) == 2
    assert bubblewrap.lines("id -u", network=True) == ["1000"]


def test_standard_error_can_go_elsewhere(bubblewrap: Runner) -> None:
    read, write = os.pipe()
    assert bubblewrap.lines("echo one; echo two >&2; echo three >/dev/stderr", errors_fd=write) == ["one"]
    assert os.read(read, 100) == b"two\nthree\n"
    os.close(read)
    os.close(write)


def test_sockets_of_other_kinds_are_denied(run: Runner) -> None:
    script = "perl -e 'for (@ARGV) { socket(S, $_, 1, 0) or $!{EACCES} and print qq($_\n) }' -- 1 17 38 40"
    assert run.lines(script) == ["17", "38", "40"]  # packets, the kernel's cryptography, the virtual machine's host


def test_no_privileges_can_be_gained(run: Runner) -> None:
    new_user_namespace = "perl -e 'syscall(272, 0x10000000) == -1 and print $!{EPERM} ? qq(refused\n) : qq($!\n)'"
    assert run.lines(new_user_namespace) == ["refused"]
    assert run("chown 0 /build").code == 1
    if run.name != "chroot":
        assert run.lines("while read n v; do case $n in Cap*|NoNewPrivs:) echo $v;; esac; done < /proc/self/status") == [
            *["0000000000000000"] * 5, "1",
        ]  # fmt: skip


def test_processes_of_the_host_cannot_be_reached_from_chroot(chroot: Runner) -> None:
    script = "perl -e 'kill(9, -1) or print qq($!\n); syscall(101, 16, 1, 0, 0) == -1 and print qq($!\n)'"
    assert chroot.lines(script) == ["Operation not permitted"] * 2
