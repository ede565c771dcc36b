"""A checkout that wants its own code run by the programs which the builder starts outside the sandbox."""

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from integration.world import ENVIRON, World

IMPORTED = ("typing", "pip", "sitecustomize", "usercustomize", "encodings", "ssl", "logging")  # what pip itself imports
PROGRAMS = ("git", "apt-get", "apt-config", "bwrap", "python", "python3", "sh", "ssh")


class Checkout:
    """A project whose files leave a mark when one of them is run. `marks` are those that were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marked = folder / "marked"
        self.marked.mkdir()
        self.index = folder / "index"
        self.index.mkdir()
        self.world = self.under({})
        self.world.home.mkdir()

    def under(self, environ: dict[str, str]) -> World:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PIP_CONFIG_FILE": os.devnull}
        return World(self.folder / "project", self.folder / "home", {**pip, **environ})

    @property
    def marks(self) -> list[str]:
        return sorted(os.listdir(self.marked))

    def recipe(self, locations: str, pins: str = "") -> None:
        version = f'[[version]]\nversion = "1"\n[[version.source]]\nlocations = [{locations}]\n{pins}'
        self.world.write("recipes/one.toml", f'name = "one"\ntools = ""\n[build]\nstyle = "copy"\n{version}')
        self.world.image("one")

    def wheel(self) -> None:
        """A source of a package index, which pip fetches from a directory of wheels."""
        name = "builder_test_sample-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.index / name, "w") as file:
            info = "builder_test_sample-1.0.dist-info"
            file.writestr("sample.py", "")
            file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: builder-test-sample\nVersion: 1.0\n")
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
        sha256 = hashlib.sha256((self.index / name).read_bytes()).hexdigest()
        self.recipe(f'"pypi://builder-test-sample/1.0/{name}"', f'sha256 = "{sha256}"\nstrip = 0\n')

    def modules(self) -> None:
        for name in IMPORTED:
            text = f"open({str(self.marked / name)!r}, 'w').close()\nraise SystemExit(9)\n"
            self.world.write(f"{name}.py", text)
            self.world.write(f"{name}/__init__.py", text)
            self.world.write(f"{name}/__main__.py", text)

    def programs(self, folder: str = "") -> None:
        for name in PROGRAMS:
            self.world.write(os.path.join(folder, name), f"#!/bin/sh\n: > {self.marked}/{name}\nexit 9\n").chmod(0o755)

    def git(self, *words: str, cwd: Path | None = None) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        argv = ["git", *who, *words]
        subprocess.run(argv, cwd=cwd or self.world.root, env=self.world.environment(), check=True, capture_output=True)

    def commit(self) -> None:
        """Commit the project with a lock."""
        assert self.world.run("resolve", "--offline").code == 0
        self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "one")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_pip_imports_nothing_from_the_checkout(checkout: Checkout) -> None:
    checkout.wheel()
    assert checkout.world.ok("resolve", "--offline")
    checkout.modules()
    answer = checkout.world.run("fetch")
    assert checkout.marks == []
    assert (answer.code, answer.out) == (0, "1 sources are here, verified (0.0 MB of archives)\n"), answer.err


@pytest.mark.parametrize("variables", [{"PYTHONPATH": "{root}/evil"}, {"PYTHONSTARTUP": "typing.py", "PYTHONUSERBASE": "{root}"}])
def test_pip_gets_no_python_variables(checkout: Checkout, variables: dict[str, str]) -> None:
    """PYTHONPATH is for the builder itself, which imports nothing of these names after it has started."""
    checkout.wheel()
    assert checkout.world.ok("resolve", "--offline")
    checkout.world.write("evil/pip/__init__.py", "")
    checkout.world.write("evil/pip/__main__.py", f"open('{checkout.marked}/pip', 'w').close()\n")
    given = {name: text.format(root=checkout.world.root) for name, text in variables.items()}
    answer = checkout.under(given).run("fetch")
    assert (checkout.marks, answer.code) == ([], 0), answer.err


@pytest.mark.parametrize("entry", [".", "", "bin", "./bin"])
def test_no_program_is_taken_from_a_relative_entry_of_the_path(checkout: Checkout, entry: str) -> None:
    checkout.wheel()
    checkout.commit()
    checkout.programs()
    checkout.programs("bin")
    world = checkout.under({"PATH": f"{entry}:{ENVIRON['PATH']}"})
    assert "since HEAD" in world.run("audit", "--since", "HEAD", "--all").out
    mirror = '"mirror://debian/pool/main/none/one_1.deb"'
    checkout.recipe(mirror, f'sha256 = "{"0" * 64}"\n')
    assert "one_1.deb" in world.run("fetch").err
    assert checkout.marks == []


def test_a_launcher_in_the_checkout_is_not_the_sandbox(here: World, tmp_path: Path) -> None:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    here.write("bwrap", f"#!/bin/sh\n: > {tmp_path}/marked\nexit 9\n").chmod(0o755)
    world = World(here.root, here.home, {"PATH": f".::{ENVIRON['PATH']}"}, here.origin)
    assert world.ok("build").built() == ["one 1"]
    assert not (tmp_path / "marked").exists()


def config(program: Path) -> str:
    """A repository's own configuration that names a program wherever git lets it."""
    return f"""
[core]
	fsmonitor = {program}
	hooksPath = {program.parent}
	sshCommand = {program}
	pager = {program}
	editor = {program}
	alternateRefsCommand = {program}
	gitProxy = {program}
	askPass = {program}
[alias]
	rev-parse = !{program}
	ls-tree = !{program}
	cat-file = !{program}
[diff]
	external = {program}
[diff "toml"]
	textconv = {program}
	command = {program}
[filter "toml"]
	smudge = {program}
	clean = {program}
	process = {program}
[gpg]
	program = {program}
[credential]
	helper = {program}
[extensions]
	partialClone = origin
[protocol]
	allow = always
[protocol "ext"]
	allow = always
"""


REMOTES = {
    "a directory": 'url = {folder}/elsewhere.git\n\tuploadpack = {program}',
    "ssh": 'url = ssh://example.invalid/x.git',
    "ext": 'url = ext::{program}',
    "helper": 'vcs = ext\n\turl = {program}',
}


@pytest.mark.parametrize("remote", REMOTES)
@pytest.mark.parametrize("missing", ["nothing", "a recipe", "the commit"])
def test_a_repository_runs_nothing_when_it_is_compared_with(checkout: Checkout, remote: str, missing: str) -> None:
    checkout.wheel()
    checkout.world.write(".gitattributes", "*.toml diff=toml filter=toml\n")
    checkout.commit()
    checkout.git("init", "-q", "--bare", str(checkout.folder / "elsewhere.git"))
    checkout.programs("evil")
    program = checkout.world.root / "evil" / "sh"
    git = checkout.world.root / ".git"
    named = {"nothing": "", "a recipe": "HEAD:recipes/one.toml", "the commit": "HEAD"}[missing]
    if named:
        argv = ["git", "rev-parse", named]
        done = subprocess.run(argv, cwd=checkout.world.root, env=checkout.world.environment(), check=True, capture_output=True, text=True)
        (git / "objects" / done.stdout[:2] / done.stdout[2:].strip()).unlink()
    with (git / "config").open("a") as file:
        more = REMOTES[remote].format(folder=checkout.folder, program=program)
        file.write(config(program) + f'[remote "origin"]\n\tpromisor = true\n\t{more}\n')
    answer = checkout.world.run("audit", "--since", "HEAD", "--all")
    assert checkout.marks == []
    assert "Traceback" not in answer.err
    assert (answer.code, "since HEAD" in answer.out) == ((2, False) if named else (1, True)), answer.err


def test_a_directory_that_is_a_bare_repository_is_none_to_read(checkout: Checkout) -> None:
    """A clone cannot hold a .git of its own, but files that look like a repository without a checkout."""
    checkout.wheel()
    checkout.commit()
    checkout.programs("evil")
    checkout.git("clone", "-q", "--bare", ".", str(checkout.folder / "bare"))
    for path in (checkout.folder / "bare").iterdir():
        path.rename(checkout.world.root / path.name)
    (checkout.world.root / ".git").rename(checkout.folder / "away")
    with (checkout.world.root / "config").open("a") as file:
        file.write(config(checkout.world.root / "evil" / "sh") + "\tworktree = .\n")
    answer = checkout.world.run("audit", "--since", "HEAD", "--all")
    assert checkout.marks == []
    assert (answer.code, "Traceback" in answer.err) == (2, False), answer.err


def test_variables_of_git_do_not_lead_elsewhere(checkout: Checkout) -> None:
    """As in a hook, where GIT_DIR and GIT_INDEX_FILE are set."""
    checkout.wheel()
    checkout.commit()
    checkout.programs("evil")
    program = str(checkout.world.root / "evil" / "git")
    more = {"GIT_DIR": "elsewhere", "GIT_EXTERNAL_DIFF": program, "GIT_EXEC_PATH": str(checkout.world.root / "evil")}
    answer = checkout.under(more).run("audit", "--since", "HEAD", "--all")
    assert checkout.marks == []
    assert "since HEAD" in answer.out, answer.err
