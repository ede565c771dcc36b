"""`builder shell` on a terminal, in a kept tree, and without either; and what a failure says about them."""

import contextlib
import os
import pty
import select
import time
from pathlib import Path

import pytest

from integration.world import BUILDER, World

PREPARE = """
[[version.source]]
name = "main"
folder = "src/hello"
"""
SOURCE = "hello\n"


class Terminal:
    """`builder` on a pseudo-terminal, as a person has it."""

    def __init__(self, world: World, *argv: str) -> None:
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(world.root)
            os.execve(BUILDER, [BUILDER, *argv], {**world.environment(), "TERM": "dumb"})

    def until(self, words: str) -> str:
        """Read up to some words; what came before them."""
        deadline = time.monotonic() + 60
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.fd, 4096).decode(errors="replace")
                except OSError as error:  # the other side has ended
                    raise AssertionError(self.text) from error
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def end(self) -> int:
        """Read what is left, and wait for the exit code."""
        with contextlib.suppress(OSError):  # the other side has ended
            while more := os.read(self.fd, 4096):
                self.text += more.decode(errors="replace")
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


@pytest.fixture
def hello(here: World) -> World:
    """A package with a source, variables of its own and two steps, of which the second fails."""
    here.write("src/hello/text", SOURCE)
    here.write(
        "recipes/hello.toml",
        'name = "hello"\n\n[build]\nstyle = "script"\n\n'
        '[[build.step]]\nname = "first"\nrun = "cp text made"\n\n[[build.step]]\nname = "second"\nrun = "cat made\\nexit 3"\n\n'
        '[[version]]\nversion = "1"\n\n[[version.source]]\nfolder = "src/hello"\n',
    )
    here.image("hello")
    return here


def test_a_shell_tells_where_one_is_and_runs_steps(hello: World) -> None:
    shell = Terminal(hello, "shell", "hello")
    banner = shell.until("hello 1 /build/src $ ")
    assert "the sandbox of hello 1" in banner
    assert "steps        first second" in banner
    shell.type("cat text; echo $SOURCE_DATE_EPOCH")
    assert SOURCE.strip() in shell.until("hello 1 /build/src $ ")
    shell.type("step first && cat made && echo ma''de")
    shell.until("==> first")
    shell.until("made\r\n")
    shell.type("step second; echo code $?")
    shell.until("step: 'second' ended with exit code 3")
    shell.until("code 3")
    shell.type("step third")
    shell.until("step: there is no step 'third'; steps here: unpack first second")
    shell.type("exit 5")
    assert shell.end() == 5, shell.text


def test_a_kept_tree_is_entered_as_it_is(hello: World) -> None:
    nothing = hello.run("shell", "--failed", "hello", "ls")
    assert nothing.code == 2
    assert nothing.err.endswith("no tree of a failed build of hello 1 was kept\n  next: keep one: builder build --keep-failed hello\n")
    failure = hello.run("build", "--keep-failed", "hello")
    assert failure.code == 4
    kept = f"{hello.root}/out/failed/hello-1-1"
    assert f"its tree is kept in {kept}, `builder shell --failed hello` enters it" in failure.err
    assert hello.ok("shell", "--failed", "hello", "ls").out == "made\ntext\n"
    shell = Terminal(hello, "shell", "--failed", "hello")
    assert f"your changes stay in {kept}" in shell.until("hello 1 /build/src $ ").replace("\r\n", "")
    shell.type("echo more >> made; exit")
    assert shell.end() == 0, shell.text
    assert Path(kept, "src", "made").read_text() == "hello\nmore\n"


def test_a_kept_tree_that_is_a_link_is_not_entered(hello: World) -> None:
    (hello.root / "out/failed").mkdir(parents=True)
    (hello.root / "out/failed/hello-1-1").symlink_to(hello.home)
    assert hello.run("shell", "--failed", "hello", "ls").code == 2


def test_without_a_terminal_a_command_is_needed(hello: World) -> None:
    answer = hello.run("shell", "hello")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith(
        "builder: builder shell: a shell needs a terminal\n"
        "  next: name a command to run instead: builder shell hello ls /sources\n"
    )
    assert hello.run("shell", "--failed", "hello").err.endswith("builder shell --failed hello ls\n")
    assert "did you mean 'hello'?" in hello.run("shell", "helo").err
    assert hello.ok("shell", "hello", "step", "first").out == "==> first\n"
    assert "==> unpack\n" in hello.ok("shell", "hello", "true").err
    assert hello.ok("shell", "-q", "hello", "cat", "text").err == ""
    assert hello.run("shell", "hello", "step", "first", "second").code == 3


def test_every_failure_shows_its_last_lines_and_names_its_log(here: World) -> None:
    for name in ("a-bad", "b-bad"):
        here.recipe(name, f"echo words of {name}\nexit 2")
    here.image("a-bad", "b-bad")
    answer = here.run("build", "--keep-going", "--jobs", "1")
    assert answer.code == 4
    for name in ("a-bad", "b-bad"):
        assert f"  | words of {name}\n" in answer.err
        assert f"`builder log {name}` shows the whole log" in answer.err
        assert f"`builder build --keep-failed {name}` keeps its tree" in answer.err
        assert f"words of {name}\n" in here.ok("log", name).out
