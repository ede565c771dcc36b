"""What a message says to do about the machine is done, and the command that failed ends well afterwards.

The trouble is real: a full or read-only file system (in a mount namespace of the command's own), a limit, a kernel setting
(in a user namespace), a missing program, a directory of another program. The project is one that needs no sandbox.
"""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from integration.world import Answer, World
from msgspec import Struct, field

PRIVATE = ["unshare", "-rm", "sh", "-ec"]


class Case(Struct):
    """A command, and how it is started."""

    world: World
    argv: list[str] = field(default_factory=lambda: ["build"])
    before: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def run(self) -> Answer:
        world = World(self.world.root, self.world.home, self.environ)
        return world.run(*self.argv, before=self.before)

    def within(self, script: str) -> None:
        """Run a script first, in namespaces of the command's own; $S is the store, $P the project."""
        head = f"S={shlex.quote(str(self.world.store_path))} P={shlex.quote(str(self.world.root))}\n"
        self.before = [*PRIVATE, f'{head}{script}\nexec "$@"', "sh"]

    def freely(self) -> None:
        self.before = []

    @property
    def settings(self) -> Path:
        path = self.world.home / ".config/builder/settings.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


Step = Callable[[Case], object]


class Row(Struct, frozen=True, kw_only=True):
    """said: words of the remedy; cures: what a person may do of it, each tried on a case of its own."""

    said: str
    make: Step
    cures: tuple[Step, ...]
    code: int = 5


def elsewhere(case: Case) -> None:
    case.environ["BUILDER_STORE"] = str(case.world.home / "another")


def in_settings(case: Case) -> None:
    case.settings.write_text(f'store = "{case.world.home}/another"\n')


def by_option(case: Case) -> None:
    case.argv += ["--store", str(case.world.home / "another")]


def file_for_store(case: Case) -> None:
    case.world.store_path.parent.mkdir(parents=True)
    case.world.store_path.write_text("")


def archives_to_link(case: Case) -> None:
    (case.world.home / "real").mkdir()
    (case.world.home / "link").symlink_to("real")
    case.argv = ["fetch", "--to", str(case.world.home / "link")]


def doctor(script: str) -> Step:
    """What the verb says after a script in namespaces of its own."""
    def ask(case: Case) -> None:
        case.argv = ["doctor", "--offline"]
        case.within(script)
    return ask


def a_root(case: Case) -> Path:
    return min((case.world.store_path / "roots").iterdir())


def rooted_anew(case: Case) -> None:
    path = a_root(case)
    path.unlink()
    case.world.lock.touch()
    case.world.ok("build", "--all")
    assert path.is_file()


def variable(name: str, text: str) -> Step:
    return lambda case: case.environ.update({name: text})


def limited(limits: str) -> Step:
    return lambda case: setattr(case, "before", ["sh", "-c", f'{limits}; exec "$@"', "sh"])


def arguments(*argv: str) -> Step:
    return lambda case: setattr(case, "argv", list(argv))


def within(script: str) -> Step:
    return lambda case: case.within(script)


def built(*steps: Step) -> Step:
    """After a build."""
    def make(case: Case) -> None:
        case.world.ok("build", "--all")
        for step in steps:
            step(case)
    return make


NO_SPACES = "echo 0 > /proc/sys/user/max_user_namespaces"
CORES = f"cores = {len(os.sched_getaffinity(0))}"
ROWS = {
    "the store is a file": Row(
        said="name a directory: --store, BUILDER_STORE, or `store` in the settings file", cures=(elsewhere, in_settings, by_option),
        make=file_for_store,
    ),
    "the store is read-only": Row(
        said="name a directory that you may write to: --store, BUILDER_STORE, or `store` in the settings file",
        make=within('mkdir -p $S; mount -t tmpfs -o ro none "$S"'), cures=(elsewhere, in_settings, by_option, Case.freely),
    ),
    "the store's name is too long": Row(
        said="name a directory with a shorter path", make=variable("BUILDER_STORE", f"/tmp/{'x' * 300}"), cures=(elsewhere, by_option),
    ),
    "the store is full": Row(
        said="free some space there or run `builder gc`",
        make=within('mkdir -p $S; mount -t tmpfs -o size=32k none "$S"; head -c 100000 /dev/zero > "$S/filler" 2>&1 || true'),
        cures=(within('mkdir -p $S; mount -t tmpfs -o size=1m none "$S"'),),
    ),
    "BUILDER_STORE is no absolute path": Row(
        said="like /big/builder or ~/builder", code=2, make=variable("BUILDER_STORE", "store"),
        cures=(elsewhere, variable("BUILDER_STORE", "~/store")),
    ),
    "HOME is no directory": Row(
        said="name a directory that you may write to: --store, BUILDER_STORE", make=variable("HOME", "/proc/nothing"),
        cures=(elsewhere, by_option),
    ),
    "there is no store": Row(
        said="the first build makes one", code=2, make=arguments("gc"), cures=(lambda case: case.world.ok("build"),),
    ),
    "a root of the store is damaged": Row(
        said="remove the file; if its project is still in use, run `touch lock.toml` and the build there again",
        make=built(lambda case: a_root(case).write_text("x"), arguments("gc")), cures=(rooted_anew,),
    ),
    "too many files": Row(
        said="raise the limit of open files (`ulimit -n`)", make=limited("ulimit -n 8"), cures=(Case.freely,),
    ),
    "no memory for a thread": Row(
        said="raise the limits of memory and processes (`ulimit -v`, `ulimit -u`)", make=limited("ulimit -v 30000"),
        cures=(Case.freely,),
    ),
    "lock.toml cannot be written": Row(
        said="let the directory be writable; the old lock is whole", cures=(Case.freely,),
        make=within('mount --bind "$P" "$P"; mount -o remount,bind,ro "$P"'),
    ),
    "out is read-only": Row(
        said="write elsewhere with --out", make=within('mkdir -p "$P/out"; mount -t tmpfs -o ro none "$P/out"'),
        cures=(arguments("build", "--out", "elsewhere"), Case.freely),
    ),
    "out is full": Row(
        said="free space or permissions there, or write elsewhere with --out",
        make=within('mkdir -p "$P/out"; mount -t tmpfs -o size=4k none "$P/out"'),
        cures=(arguments("build", "--out", "elsewhere"), Case.freely),
    ),
    "out is a link": Row(
        said="remove the link", code=2, make=lambda case: (case.world.root / "out").symlink_to(case.world.home),
        cures=(lambda case: (case.world.root / "out").unlink(), arguments("build", "--out", "elsewhere")),
    ),
    "stdout is full": Row(
        said="check the permissions and the space that is left there", cures=(Case.freely,),
        make=lambda case: (arguments("list")(case), limited("exec > /dev/full")(case)),
    ),
    "there is no git": Row(
        said="install git, or leave out --since", cures=(arguments("audit"),),
        make=built(arguments("audit", "--since", "HEAD"), variable("PATH", "/nonexistent")),
    ),
    "the archives go to a link": Row(
        said="name the directory itself: --to ", code=2,
        cures=(lambda case: arguments("fetch", "--to", str(case.world.home / "real"))(case),),
        make=archives_to_link,
    ),
    "doctor finds no namespaces": Row(
        said="sysctl -w user.max_user_namespaces=15000", make=doctor(NO_SPACES),
        cures=(within(f"{NO_SPACES}; sysctl -qw user.max_user_namespaces=15000"),),
    ),
    "doctor finds a store without programs": Row(
        said="name a store elsewhere (--store, BUILDER_STORE)", cures=(elsewhere, by_option),
        make=doctor('mkdir -p $S; mount -t tmpfs -o noexec none "$S"'),
    ),
    "doctor finds a full store": Row(
        said="free some space there, run `builder gc`, or name a store elsewhere (--store, BUILDER_STORE)", cures=(elsewhere, by_option),
        make=doctor('mkdir -p $S; mount -t tmpfs -o size=1m none "$S"'),
    ),
    "doctor finds fewer cores": Row(
        said=f"set {CORES} in ", code=0, cures=(lambda case: case.settings.write_text(f"{CORES}\n"),),
        make=lambda case: (case.settings.write_text("cores = 9999\n"), arguments("doctor", "--offline")(case)),
    ),
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "project", tmp_path / "home")
    for path, text in small.FILES.items():
        made.write(path, text)
    made.home.mkdir()
    return made


@pytest.mark.parametrize(("name", "number"), [(name, number) for name, row in ROWS.items() for number in range(len(row.cures))])
def test_a_trouble(world: World, name: str, number: int) -> None:
    row = ROWS[name]
    case = Case(world)
    row.make(case)
    if case.before[:1] == ["unshare"] and subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine refuses user namespaces")
    answer = case.run()
    assert answer.code == row.code, (answer.out, answer.err)
    assert row.said in answer.err + answer.out, (answer.out, answer.err)
    row.cures[number](case)
    answer = case.run()
    assert (answer.code, row.said in answer.err + answer.out) == (0, False), (answer.out, answer.err)
