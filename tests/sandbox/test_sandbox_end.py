# ruff: noqa: F401, F811 - fixtures are imported, and named again by the tests that use them
"""Real runs: how they end, by limits, cancelling and failures, with no process left; and ways of use."""

import contextlib
import functools
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sandboxes import (
    DRIVER,
    MARKS,
    REPOSITORY,
    OnTerminal,
    Runner,
    bubblewrap,
    chroot,
    pinned,
    plain,
    run,
    run_here,
    scratch,
    tools,
)

from builder.base.errors import BuildError, SandboxError
from builder.recipe.recipe import Limits
from builder.sandbox import Mount, bwrap, limit_error
from builder.sandbox.bwrap import Bubblewrap
from builder.sandbox.chroot import Chroot

pytestmark = MARKS


# --- limits

EAT = "perl -e 'vec($x, (%d << 20) - 1, 8) = 1; sleep 60'"


def test_too_much_memory_ends_a_run(run: Runner) -> None:
    limits = Limits(memory=100)
    outcome = run(EAT % 200, limits=limits)
    assert (outcome.killed, outcome.code) == ("memory", 137)
    assert outcome.peak_memory_mib >= 100
    assert str(limit_error(outcome, limits, "zlib 1.3.1")) == (
        "zlib 1.3.1: the build used more than 100 MiB of memory\n"
        "  next: give it fewer cores, or raise 'memory' (MiB) under [limits] in the recipe"
    )


def test_memory_is_counted_over_all_processes(run: Runner) -> None:
    one = EAT % 40
    assert run(f"{one} & {one} & {one} & wait", limits=Limits(memory=100)).killed == "memory"


def test_files_in_memory_count(bubblewrap: Runner, plain: Runner) -> None:
    for each in (bubblewrap, plain):
        assert each("head -c 150000000 /dev/zero > /dev/shm/x; sleep 60", limits=Limits(memory=100)).killed == "memory"


def test_too_many_processes_end_a_run(run: Runner) -> None:
    outcome = run("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait", limits=Limits(processes=8))
    assert (outcome.killed, outcome.code) == ("processes", 137)


def test_the_machine_is_not_counted_while_a_sandbox_is_set_up(
    bubblewrap: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then, its first process sees the machine's root: its processes, and the files in its /tmp."""
    monkeypatch.setattr(sys.modules["builder.sandbox.watch"], "TICK", 0.0001)
    monkeypatch.setattr(sys.modules["builder.sandbox.watch"], "SAMPLE", 0)
    limits = Limits(memory=4096, processes=8)
    assert {bubblewrap("true", limits=limits).killed for _ in range(20)} == {""}


def test_too_much_time_ends_a_run(run: Runner) -> None:
    outcome = run("trap '' TERM INT; sleep 60; sleep 60", limits=Limits(seconds=1))
    assert (outcome.killed, outcome.code) == ("time", 137)
    assert 1 <= outcome.seconds < 5


# --- nothing survives

BEAT = (
    "perl -MPOSIX -e '$SIG{$_} = q(IGNORE) for qw(HUP INT TERM); fork and exit; setsid; fork and exit; $0 = $ARGV[0];"
    " while (1) { open F, q(>>), q(/output/beat); print F 1; close F; select undef, undef, undef, 0.01 }' -- %s;"
    " until test -s /output/beat; do sleep 0.02; done; %s"
)


def marked(mark: str, *, named: bool = False) -> list[str]:
    """Processes with a word in their command line, or that have given themselves this name."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            at = each.read_bytes().find(mark.encode())
            if (at == 0 or (at > 0 and not named)) and int(each.parent.name) != os.getpid():
                found.append(each.parent.name)
    return found


def test_no_daemon_outlives_its_run(run: Runner) -> None:
    assert run(BEAT % (f"beating-{run.name}", "exit 3")).code == 3
    size = (run.work / "output/beat").stat().st_size
    assert marked(f"beating-{run.name}") == []
    time.sleep(0.1)
    assert (run.work / "output/beat").stat().st_size == size


def test_a_cancelled_run_ends_at_once_with_all_its_daemons(run_here: Runner) -> None:
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    start = time.monotonic()
    outcome = run_here(BEAT % (f"cancelled-{run_here.name}", "sleep 60"), cancel)
    assert (outcome.killed, outcome.code) == ("cancelled", 137)
    assert time.monotonic() - start < 5
    assert marked(f"cancelled-{run_here.name}") == []


def test_a_fork_bomb_ends(run_here: Runner) -> None:
    bomb = "perl -e '$0 = $ARGV[0]; for (1..9) { fork } sleep 60' --"
    assert run_here(f"{bomb} bomb-{run_here.name}", limits=Limits(processes=100)).killed == "processes"
    assert marked(f"bomb-{run_here.name}") == []


def test_nothing_survives_a_killed_builder(run_here: Runner, pinned: tuple[str, ...], scratch: Path) -> None:
    mark = f"orphan-{run_here.name}"
    spec = run_here.spec(BEAT % (mark, "sleep 60"))
    kind, argument = (Chroot, str(scratch)) if run_here.name == "chroot" else (Bubblewrap, pinned)
    with subprocess.Popen([sys.executable, "-c", DRIVER, REPOSITORY], stdin=-1, stdout=-1, stderr=-3) as driver:
        assert driver.stdin is not None
        driver.stdin.write(pickle.dumps((kind, spec, (argument,))))
        driver.stdin.close()
        try:
            wait_until(lambda: bool(marked(mark, named=True)))
        finally:
            driver.kill()
    wait_until(lambda: not marked(mark))
    for each in scratch.glob("root-*"):
        shutil.rmtree(each)


def test_nothing_is_left_of_a_builder_that_is_killed_while_bubblewrap_sets_up(
    bubblewrap: Runner, pinned: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first process has asked to end with it, and before it has asked to end with us."""
    spec, let_go = bubblewrap.spec("exec sleep 1000"), bwrap._let_go

    def late(seconds: float, *given: Any) -> None:
        let_go(*given)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    for wait in [each / 4000 for each in range(24)]:
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            monkeypatch.setattr(bwrap, "_let_go", functools.partial(late, wait))
            Bubblewrap(pinned).run(spec, tell)
            os._exit(0)
        os.close(tell)
        os.waitpid(child, 0)
        with open(told, "rb") as log:
            assert select.select([log], [], [], 10)[0], "one still has the log"
            assert log.read() == b""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- failures to start


def test_a_command_that_is_not_there_is_the_builds_fault(run_here: Runner) -> None:
    with pytest.raises(BuildError) as caught:
        run_here("", argv=("/bin/not-there",))
    assert str(caught.value) == (
        "/bin/not-there: the command cannot be started in the sandbox"
        + (": No such file or directory" if run_here.name == "chroot" else "")
        + "\n  next: the tool set or an input must hold it, with the loader that it names"
    )


def test_a_mount_that_is_not_there_is_named(bubblewrap: Runner) -> None:
    with pytest.raises(SandboxError) as caught:
        bubblewrap("true", mounts=(Mount("/not/there", "/x"),))
    assert str(caught.value) == (
        "bwrap: /not/there is to be mounted in the sandbox but is not there\n  next: the store may be damaged: builder store verify"
    )


def test_a_kernel_that_refuses_namespaces_is_named(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    """A filter refuses new user namespaces and nothing else, as that of many containers does."""
    refusing = f"""
import os, struct, sys
sys.path.insert(0, {REPOSITORY!r})
from builder.base.errors import SandboxError
from builder.sandbox import seccomp
from builder.sandbox.bwrap import Bubblewrap
from builder.sandbox.chroot_child import _filter, _prctl
_prctl(38, 1)
calls = seccomp._MACHINES[os.uname().machine].calls
new_user = [(seccomp._ANY_BIT, 0, 1, seccomp._NEW_USER), seccomp._fail(1)]
steps = [(seccomp._LOAD, 0, 0, 0), *seccomp._call(calls["clone"], new_user), *seccomp._call(calls["unshare"], new_user)]
_filter(b"".join(struct.pack("=HBBI", *step) for step in [*steps, seccomp._give(seccomp.ALLOW)]))
try:
    Bubblewrap({pinned!r}).probe()
except SandboxError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", refusing], capture_output=True, text=True, check=True)
    first, _, rest = done.stdout.partition("(")  # in parentheses: the words of this bubblewrap
    assert first == "bwrap: the kernel refuses user namespaces, as in many containers "
    assert rest.endswith(
        ")\n  next: start the container with --security-opt seccomp=unconfined (or --cap-add SYS_ADMIN); "
        "or, as root, use the weaker --sandbox chroot\n"
    )


def test_probes_pass_here(pinned: tuple[str, ...], chroot: Runner, scratch: Path) -> None:
    Bubblewrap(pinned).probe()
    with Chroot(str(scratch)) as sandbox:
        sandbox.probe()


def test_a_broken_program_is_named(scratch: Path, bubblewrap: Runner) -> None:
    with pytest.raises(SandboxError) as caught:
        Bubblewrap((str(scratch / "bwrap"),)).run(bubblewrap.spec("true"), 2)
    assert str(caught.value) == (
        f"{scratch}/bwrap: bubblewrap cannot be started: No such file or directory\n"
        "  next: check the tool set: builder store verify"
    )


# --- ways of use


def test_two_threads_do_not_disturb_each_other(bubblewrap: Runner, tools: str, pinned: tuple[str, ...]) -> None:
    logs: dict[int, list[str]] = {}

    def work(number: int) -> None:
        own = Runner("own", Bubblewrap(pinned).run, bubblewrap.scratch, tools, os.geteuid())
        logs[number] = [line for i in range(10) for line in own.lines(f"echo {number} {i}")]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert logs == {number: [f"{number} {i}" for i in range(10)] for number in range(2)}


def test_a_jobserver_can_be_passed(run_here: Runner) -> None:
    tokens, back = os.pipe()
    os.write(back, b"++")
    script = f"perl -MPOSIX -e 'POSIX::read({tokens}, $token, 1); print $token; POSIX::write({back}, q(:), 1)'"
    outcome = run_here(script, pass_fds=(tokens, back))
    assert (outcome.code, run_here.log, os.read(tokens, 10)) == (0, "+", b"+:")
    os.close(tokens)
    os.close(back)


def test_a_shell_has_the_callers_terminal(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    ours, theirs = os.openpty()
    spec = bubblewrap.spec("test -t 0 && test -t 1 && echo terminal; read x; echo got $x", interactive=True)
    os.write(ours, b"typed\n")
    with subprocess.Popen([sys.executable, "-c", DRIVER, REPOSITORY], stdin=-1, stdout=-1, stderr=theirs) as driver:
        driver.communicate(pickle.dumps((OnTerminal, spec, (pinned, theirs))), timeout=30)
    os.close(theirs)
    said = os.read(ours, 4096).decode()
    os.close(ours)
    assert said.replace("\r\n", "\n") == "typed\nterminal\ngot typed\n"
