"""Real runs: in bubblewrap as whoever we are, in bubblewrap as a plain user, and in the chroot sandbox.

They need a tool root with bubblewrap, dash, coreutils and perl: that of BUILDER_TEST_TOOLS, else one that is put together
from the Debian packages that this machine's apt finds (marked `network`).
"""

import contextlib
import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from builder.errors import BuildError, SandboxError
from builder.recipe import Limits
from builder.sandbox import Mount, Outcome, Sandbox, SandboxSpec, limit_error, plan_mounts, tree_listing
from builder.sandbox.bwrap import Bubblewrap
from builder.sandbox.chroot import Chroot
from builder.sandbox.environment import BASE_FILES, build_env
from builder.sandbox.program import find_program

GIVEN = os.environ.get("BUILDER_TEST_TOOLS", "")
pytestmark = [] if GIVEN else [pytest.mark.network]
ROOT = os.geteuid() == 0
NOBODY = 65534
AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
REPOSITORY = str(Path(__file__).parent.parent)
PACKAGES = (
    "bubblewrap", "coreutils", "dash", "libacl1", "libattr1", "libc6", "libcap2", "libcrypt1", "libgmp10", "libpcre2-8-0",
    "libselinux1", "perl-base",
)  # fmt: skip


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder that every user may look into, on one file system."""
    path = Path(tempfile.mkdtemp(prefix="builder-sandbox-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def tools(scratch: Path) -> str:
    if GIVEN:
        return GIVEN
    debs = scratch / "debs"
    debs.mkdir()
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=debs, check=True, capture_output=True)
    for each in debs.iterdir():
        subprocess.run(["dpkg-deb", "-x", each, scratch / "tools"], check=True)
    return str(scratch / "tools")


class Run(Protocol):
    """Runs dash source in a sandbox; fields of the spec can be changed. `log`, `work` and `last` are of the last run."""

    name: str
    log: str
    work: Path

    def __call__(self, script: str, cancel: threading.Event | None = None, **changes: Any) -> Outcome: ...


class Runner:
    def __init__(self, name: str, start: Callable[..., Outcome], scratch: Path, tools: str, owner: int) -> None:
        self.name, self.log = name, ""
        self._start, self._tools, self._scratch, self._owner = start, tools, scratch, owner
        self.work = scratch

    def spec(self, script: str, **changes: Any) -> SandboxSpec:
        self.work = Path(tempfile.mkdtemp(dir=self._scratch))
        self.work.chmod(0o755)
        for name in ("build", "output"):
            (self.work / name).mkdir()
            os.chown(self.work / name, self._owner, -1)
        plan = plan_mounts([tree_listing(self._tools)], BASE_FILES)
        writable = (Mount(f"{self.work}/build", "/build", True), Mount(f"{self.work}/output", "/output", True))
        spec = SandboxSpec(
            mounts=plan.mounts + writable, links=plan.links, folders=plan.folders, files=dict(BASE_FILES),
            argv=("/bin/sh", "-c", script), env=build_env(2),
        )  # fmt: skip
        return dataclasses.replace(spec, **changes)

    def __call__(self, script: str, cancel: threading.Event | None = None, **changes: Any) -> Outcome:
        with tempfile.TemporaryFile() as log:
            try:
                return self._start(self.spec(script, **changes), log.fileno(), cancel)
            finally:
                log.seek(0)
                self.log = log.read().decode()

    def lines(self, script: str, **changes: Any) -> list[str]:
        outcome = self(script, **changes)
        assert outcome.code == 0, self.log
        return self.log.splitlines()


DRIVER = """
import pickle, sys
sys.path[:0] = sys.argv[1], sys.argv[1] + "/tests"
from builder.errors import BuilderError
kind, spec, arguments = pickle.load(sys.stdin.buffer)
try:
    found = kind(*arguments).run(spec, 2)
except BuilderError as error:
    found = (type(error), str(error))
sys.stdout.buffer.write(pickle.dumps(found))
"""


def elsewhere(arguments: tuple[type[Sandbox], SandboxSpec, tuple[Any, ...]], log_fd: int, python: str) -> Any:
    """Runs a sandbox from a process of a plain user."""
    argv = [python, "-c", DRIVER, REPOSITORY]
    done = subprocess.run(argv, input=pickle.dumps(arguments), stdout=-1, stderr=log_fd, cwd="/", check=False, **AS_NOBODY)
    return pickle.loads(done.stdout)


@pytest.fixture(scope="module")
def pinned(tools: str) -> tuple[str, ...]:
    return find_program(tools, search="/nowhere")


def plain_start(python: str, pinned: tuple[str, ...]) -> Callable[..., Outcome]:
    def start(spec: SandboxSpec, log_fd: int, cancel: threading.Event | None) -> Outcome:
        found = elsewhere((Bubblewrap, spec, (pinned,)), log_fd, python)
        assert isinstance(found, Outcome), found
        return found

    return start


@pytest.fixture(scope="module")
def bubblewrap(scratch: Path, tools: str, pinned: tuple[str, ...]) -> Runner:
    return Runner("bubblewrap", Bubblewrap(pinned).run, scratch, tools, os.geteuid())


@pytest.fixture(scope="module")
def chroot(scratch: Path, tools: str) -> Iterator[Runner]:
    if not ROOT:
        pytest.skip("the chroot sandbox is for root")
    (scratch / "roots").mkdir()
    with Chroot(str(scratch / "roots")) as sandbox:
        yield Runner("chroot", sandbox.run, scratch, tools, 0)
    assert not list((scratch / "roots").iterdir())


@pytest.fixture(scope="module")
def plain(scratch: Path, tools: str, pinned: tuple[str, ...]) -> Runner:
    if not ROOT:
        pytest.skip("we are a plain user already")
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(PermissionError, FileNotFoundError):
            check = [python, "-c", f"import sys; sys.path.insert(0, {REPOSITORY!r}); import builder.sandbox"]
            if subprocess.run(check, cwd="/", check=False, **AS_NOBODY).returncode == 0:
                return Runner("plain", plain_start(python, pinned), scratch, tools, NOBODY)
    pytest.skip("a plain user can start no Python that knows builder")


@pytest.fixture(params=["bubblewrap", "plain", "chroot"])
def run(request: pytest.FixtureRequest) -> Runner:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Runner)
    return found


@pytest.fixture(params=["bubblewrap", "chroot"])
def run_here(request: pytest.FixtureRequest) -> Runner:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Runner)
    return found


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
    expected = {**build_env(2), "PWD": "/build"}
    assert sorted(run.lines("exec env")) == sorted(f"{name}={value}" for name, value in expected.items())


def test_input_is_empty_and_no_descriptor_is_left_open(run: Runner) -> None:
    assert run.lines("cat; for n in 3 4 5 6 7 8 9; do (eval : '<&'$n) 2>/dev/null && echo $n; done; true") == []


def test_resource_limits_are_fixed(run: Runner) -> None:
    assert run.lines("ulimit -c; ulimit -n; ulimit -s") == ["0", "1024", "8192"]


def test_exit_codes_are_the_commands(run: Runner) -> None:
    assert run("exit 7").code == 7
    assert run("kill -9 $$").code == 137
    assert run("true").killed == ""


# --- what is seen


def test_nothing_of_the_host_is_seen(run: Runner) -> None:
    own = {"build", "dev", "etc", "output", "tmp"} | ({"proc"} if run.name != "chroot" else set())
    assert set(run.lines("ls -A /")) == own | {each.name for each in Path(run._tools).iterdir()}
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


def test_what_is_written_is_the_callers(run: Runner) -> None:
    assert run("mkdir -m 700 /output/d; echo hello > /output/d/f; ln -s f /output/d/l; touch /tmp/left").code == 0
    output = run.work / "output"
    assert (output / "d/f").read_text() == "hello\n"
    assert {os.lstat(each).st_uid for each in (output, *output.rglob("*"))} == {run._owner}
    assert (output / "d/f").stat().st_mode & 0o777 == 0o644
    assert run.lines("ls -A /tmp") == []


def test_the_hosts_settings_cannot_be_written(bubblewrap: Runner, plain: Runner) -> None:
    script = "for f in /proc/sys/*/* /proc/sys/*/*/* /proc/*; do test ! -w $f || echo $f; done"
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


# --- limits

EAT = "perl -e 'vec($x, (%d << 20) - 1, 8) = 1; sleep 60'"


def test_too_much_memory_ends_a_run(run: Runner) -> None:
    limits = Limits(memory=100)
    outcome = run(EAT % 200, limits=limits)
    assert (outcome.killed, outcome.code) == ("memory", 137)
    assert outcome.peak_memory_mib > 100
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
        "bwrap: /not/there is to be seen in the sandbox but is not there\n  next: the store may be damaged: builder store verify"
    )


def test_a_kernel_that_refuses_namespaces_is_named(bubblewrap: Runner, pinned: tuple[str, ...]) -> None:
    """The filter of a sandbox refuses new user namespaces, as that of many containers does."""
    refusing = f"""
import sys
sys.path.insert(0, {REPOSITORY!r})
from builder.errors import SandboxError
from builder.sandbox import seccomp
from builder.sandbox.bwrap import Bubblewrap
from builder.sandbox.chroot_child import _filter, _prctl
_prctl(38, 1)
_filter(seccomp.program(seccomp.NETWORK))
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


def test_a_broken_program_is_named(tmp_path: Path, bubblewrap: Runner) -> None:
    with pytest.raises(SandboxError) as caught:
        Bubblewrap((str(tmp_path / "bwrap"),)).run(bubblewrap.spec("true"), 2)
    assert str(caught.value) == (
        f"{tmp_path}/bwrap: bubblewrap cannot be started: No such file or directory\n"
        "  next: check the tool set: builder store verify"
    )


# --- ways of use


def test_two_threads_do_not_disturb_each_other(bubblewrap: Runner, tools: str, pinned: tuple[str, ...]) -> None:
    logs: dict[int, list[str]] = {}

    def work(number: int) -> None:
        own = Runner("own", Bubblewrap(pinned).run, bubblewrap._scratch, tools, os.geteuid())
        logs[number] = [line for i in range(10) for line in own.lines(f"echo {number} {i}")]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert logs == {number: [f"{number} {i}" for i in range(10)] for number in range(2)}


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


class OnTerminal(Bubblewrap):
    """Stands in for a builder that was started on a terminal: the driver's own standard input carries the spec."""

    def __init__(self, program: tuple[str, ...], terminal: int) -> None:
        super().__init__(program)

    def run(self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None = None) -> Outcome:
        answers = os.dup(1)
        for each in (0, 1):
            os.dup2(2, each)
        outcome = super().run(spec, log_fd, cancel)
        os.dup2(answers, 1)
        return outcome
