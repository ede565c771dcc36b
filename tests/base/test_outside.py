"""How programs outside the sandbox are started."""

import ast
import os
import sys
from pathlib import Path

import pytest

import builder
from builder.base import outside

ROOT = Path(builder.__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a program of the name `here` in it and in `bin`."""
    (tmp_path / "bin").mkdir()
    for path in (tmp_path / "here", tmp_path / "bin" / "here"):
        path.write_text("#!/bin/sh\npwd\nenv\n")
        path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", [".", "", "bin", ":", "./bin:", "bin::/nowhere", "/nowhere"])
def test_relative_entries_of_the_path_count_for_nothing(folder: Path, path: str) -> None:
    assert outside.find("here", {"PATH": path}) is None
    with pytest.raises(FileNotFoundError):
        outside.run("here", env={"PATH": path})


def test_the_first_absolute_entry_that_has_it(folder: Path) -> None:
    (folder / "bin" / "there").mkdir()
    (folder / "there").touch()
    assert outside.find("here", {"PATH": f"bin:{folder}/bin:{folder}"}) == f"{folder}/bin/here"
    assert outside.find("there", {"PATH": f"{folder}/bin:{folder}"}) is None, "a directory, and a file that is no program"


def test_without_a_path_the_systems_own(folder: Path) -> None:
    for environ in ({}, {"PATH": ""}, {"PATH": "."}):
        assert outside.find("env", environ) in ("/bin/env", "/usr/bin/env")


def test_an_environment_is_only_what_is_named() -> None:
    user = {
        "HOME": "/home/me", "PATH": ":/usr/bin:.", "LD_LIBRARY_PATH": ":lib:/opt/lib", "LD_PRELOAD": "evil.so", "LANG": "de_DE",
        "PYTHONPATH": "", "GIT_DIR": "x", "PIP_CERT": "/ca.pem", "PIPE": "1", "https_proxy": "http://proxy.example",
    }  # fmt: skip
    common = {"HOME": "/home/me", "PATH": "/usr/bin", "LD_LIBRARY_PATH": "/opt/lib", "LC_ALL": "C"}
    assert outside.environment(environ=user) == common
    more = {"PIP_CERT": "/ca.pem", "https_proxy": "http://proxy.example", "TMPDIR": "/t"}
    assert outside.environment("PIP_", "https_proxy", environ=user, more={"TMPDIR": "/t"}) == common | more
    assert outside.environment("LD_", environ={"LD_LIBRARY_PATH": "."}) == {"LC_ALL": "C"}


def test_a_program_stands_in_the_root_directory(folder: Path) -> None:
    done = outside.run("here", env={"PATH": f"{folder}:/bin:/usr/bin", "A": "1"})
    assert done.stdout.decode().splitlines()[0] == "/"
    assert "A=1" in done.stdout.decode().splitlines()
    assert "HOME" not in done.stdout.decode()


def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(TimeoutError, match=r"sleep took longer than 0.1 s"):
        outside.run("sleep", "30", env=outside.environment(), seconds=0.1)


def test_a_name_is_never_searched_for_by_the_system() -> None:
    with pytest.raises(AssertionError):
        outside.start(["env"], env={})
    with pytest.raises(AssertionError):
        outside.start([sys.executable], env={}, cwd=".")


def test_no_other_module_starts_a_program() -> None:
    """But for programs of their own: the supervisor of the chroot sandbox, which becomes the command after it has changed the
    root directory, and the process of the user of builds, which gives what it starts no environment at all."""
    starting = {"Popen", "run", "call", "check_call", "check_output"}
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            module, _, function = name.rpartition(".")
            if (module == "subprocess" and function in starting) or (
                module == "os" and function.startswith(("exec", "spawn", "posix_spawn", "system", "popen"))
            ) or name in ("Popen", "shutil.which"):
                found.add(os.fspath(path.relative_to(ROOT)))
    assert found == {"base/outside.py", "sandbox/chroot_child.py", "sandbox/hostuser_child.py"}
