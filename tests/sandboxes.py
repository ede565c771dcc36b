"""Sandboxes for tests that run them for real: in bubblewrap as whoever we are, and as a plain user, and in chroot.

They need a tool root with bubblewrap, dash, coreutils and perl: that of BUILDER_TEST_TOOLS, else one that is put together
from the Debian packages that this machine's apt finds (such tests are marked `network`).
"""

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builder.base.environment import BASE_FILES, BUILD_ENV
from builder.sandbox import Mount, Outcome, Sandbox, SandboxSpec, plan_mounts, tree_listing
from builder.sandbox.bwrap import Bubblewrap
from builder.sandbox.chroot import Chroot
from builder.sandbox.program import find_program
from builder.sandbox.watch import Follower

GIVEN = os.environ.get("BUILDER_TEST_TOOLS", "")
MARKS = [] if GIVEN else [pytest.mark.network]
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


class Runner:
    """Runs dash source in a sandbox. log: what the last run wrote. work: the folder with its build/ and output/."""

    def __init__(self, name: str, start: Callable[..., Outcome], scratch: Path, tools: str, owner: int) -> None:
        self.name, self.log = name, ""
        self._start, self.tools, self.scratch, self.owner = start, tools, scratch, owner
        self.work = scratch

    def spec(self, script: str, **changes: Any) -> SandboxSpec:
        self.work = Path(tempfile.mkdtemp(dir=self.scratch))
        self.work.chmod(0o755)
        for name in ("build", "output"):
            (self.work / name).mkdir()
            os.chown(self.work / name, self.owner, -1)
        plan = plan_mounts([tree_listing(self.tools)], BASE_FILES)
        writable = (Mount(f"{self.work}/build", "/build", True), Mount(f"{self.work}/output", "/output", True))
        spec = SandboxSpec(
            mounts=plan.mounts + writable, links=plan.links, folders=plan.folders, files=dict(BASE_FILES),
            argv=("/bin/sh", "-c", script), env={**BUILD_ENV, "CORES": "2"},
        )  # fmt: skip
        return replace(spec, **changes)

    def __call__(self, script: str, cancel: threading.Event | None = None, **changes: Any) -> Outcome:
        with tempfile.TemporaryFile() as log:
            try:
                return self._start(self.spec(script, **changes), log.fileno(), cancel)
            finally:
                log.seek(0)
                self.log = log.read().decode()

    def lines(self, script: str, **changes: Any) -> list[str]:
        outcome = self(script, **changes)
        assert outcome.code == 0, (outcome, self.log)
        return self.log.splitlines()


DRIVER = """
import pickle, sys
sys.path[:0] = sys.argv[1], sys.argv[1] + "/tests"
from builder.base.errors import BuilderError
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


class OnTerminal(Bubblewrap):
    """Stands in for a builder that was started on a terminal: the driver's own standard input carries the spec."""

    def __init__(self, program: tuple[str, ...], terminal: int) -> None:
        super().__init__(program)

    def run(
        self, spec: SandboxSpec, log_fd: int, cancel: threading.Event | None = None, follower: Follower | None = None
    ) -> Outcome:
        answers = os.dup(1)
        for each in (0, 1):
            os.dup2(2, each)
        outcome = super().run(spec, log_fd, cancel, follower)
        os.dup2(answers, 1)
        return outcome
