"""Shell completion of names, tried in bash itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small
from small import Small

from builder.cli import names

ASK = """
source {script}
COMP_WORDS=(builder {words}); COMP_CWORD={last}; COMP_LINE="builder {words}"; COMP_POINT=${{#COMP_LINE}}
_shtab_builder
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    return made


@pytest.mark.parametrize(("words", "expected"), [
    (("build", "wo"), ["world"]),
    (("build", "op"), ["openresty"]),
    (("list", "--image", "op"), ["openresty"]),
    (("list", "o"), ["openresty"]),
    (("list", "--profile", "''"), ["other", "small"]),
    (("why", "world", "he"), ["hello"]),
    (("log", "he"), ["hello"]),
    (("li",), ["list"]),
    (("list", "--ima"), ["--image"]),
    (("help", "bu"), ["build"]),
    (("schema", "output", "audit-"), ["audit-rules"]),
])
def test_bash_completes(project: Small, tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    (tmp_path / "script").write_text(project.run("completion", "bash").out)
    text = ASK.format(script=tmp_path / "script", words=" ".join(words), last=len(words))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env={**os.environ, "PATH": path}, check=True)
    assert (done.stdout.split(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_one_of_its_shell(project: Small, tmp_path: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(project.run("completion", shell).out)
    done = subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_come_from_below_the_project_and_hold_nothing_that_a_shell_would_run(project: Small) -> None:
    project.write("recipes/$(touch x).toml", "")
    project.write("recipes/a b.toml", "")
    os.chdir(project.root / "files/hello")
    assert project.run("--names", "packages") == small.Answer(0, "base\nhello\nworld\n", "")
    assert project.run("--names", "targets").out == "base\nhello\nopenresty\nworld\n"


def test_names_never_complain(project: Small, tmp_path: Path) -> None:
    assert project.run("--names") == project.run("--names", "nonsense") == small.Answer(0, "", "")
    os.chdir(tmp_path)
    assert project.run("--names", "packages") == small.Answer(0, "", "")
    assert names.tell(["images"]) == 0
