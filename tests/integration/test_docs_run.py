"""The pages do what they show: files that they name are written, edits are made, sessions are typed, answers are compared.

A page is run from its top to its end in a copy of this repository's project:

    `recipes/NAME.toml`:            and a fenced block below it: the file is written
    `KEY = VALUE` in `FILE`         in prose: the line of that key is replaced in the file
    ```console                      each line after "$ " is typed; what it prints is what stands below it

A line "..." in an answer stands for any lines, "..." within a line for any text. Progress is not compared, nor is any time.
The project is a fresh git repository, so `git checkout` takes an edit back. Blocks that are not run are named in tests/test_docs.py.
"""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from archives import entry, make_tar

from integration import checkout
from integration.world import BUILDER, ENVIRON, REPOSITORY

pytestmark = [*checkout.MARKS, pytest.mark.network]
PAGES = [
    str(page.relative_to(REPOSITORY)) for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
    if "\n```console\n" in page.read_text()
]
PART = re.compile(
    r"`(?P<path>recipes/[\w./-]+\.toml)`:\n\n```toml\n(?P<text>.*?)^```$"
    r"|`(?P<key>[\w-]+) = (?P<value>[^`]+)` in\s+`(?P<file>recipes/[\w./-]+\.toml)`"
    r"|^```console\n(?P<session>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PROGRESS = re.compile(
    r"^(?:(?:fetching|building|composing|verifying|checking|testing|lock:|==>) .*|lock\.toml: outputs pinned"
    r"|.*: failed .* ago with the same inputs; it is tried again)\n",  # in an earlier run of this test
    re.MULTILINE,
)
PLACE = "/src/gateway"  # what pages show of the project's place
STORE = "~/.cache/builder/store"  # and of the store's


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, committed, and an archive that no network gives: it was "brought by hand" to ../dist."""
    root = tmp_path / "project"
    for name in ("recipes", "lua", "t"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "lock.toml", root)
    git = ["git", "-C", str(root), "-c", "user.name=reader", "-c", "user.email=reader@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
        subprocess.run([*git, *words], check=True)
    greeting = entry("lua-resty-greeting-1.2.0/lib/resty/greeting.lua", b'return { hello = function() return "hello" end }\n')
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/lua-resty-greeting-1.2.0.tar.gz").write_bytes(gzip.compress(make_tar(greeting), compresslevel=0, mtime=0))
    return root


@pytest.fixture(scope="module")
def store() -> str:
    """The folder of the caller's store."""
    return subprocess.run([BUILDER, "store", "path"], env=ENVIRON, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_shows(project: Path, store: str, page: str) -> None:
    for part in PART.finditer((REPOSITORY / page).read_text()):
        if part["path"]:
            (project / part["path"]).write_text(part["text"])
        elif part["key"]:
            edit(project / part["file"], part["key"], part["value"])
        else:
            for command, expected in typed(part["session"]):
                said = answer(project, command).replace(store, STORE)
                assert re.fullmatch(pattern(expected), said), f"{page}: $ {command}\n--- it says\n{said}--- the page shows\n{expected}"


def edit(path: Path, key: str, value: str) -> None:
    text, count = re.subn(rf"^{key} = .*$", lambda _: f"{key} = {value}", path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, (path, key)
    path.write_text(text)


def typed(session: str) -> list[tuple[str, str]]:
    """(command, answer) of each "$ " line."""
    first, *parts = re.split(r"^\$ ", session, flags=re.MULTILINE)
    assert not first, "a session begins with a command"
    pairs = (part.partition("\n")[::2] for part in parts)
    return [(command, shown.strip("\n") + "\n" if shown.strip() else "") for command, shown in pairs]


def answer(project: Path, command: str) -> str:
    """What a command prints, stdout before stderr, without progress."""
    environ = {**ENVIRON, "PATH": f"{os.path.dirname(BUILDER)}:{ENVIRON['PATH']}"}
    done = subprocess.run(["bash", "-c", command], cwd=project, env=environ, capture_output=True, text=True, check=False)
    said = done.stdout.strip("\n") + "\n" + PROGRESS.sub("", done.stderr)
    return without_times(said.strip("\n") + "\n" if said.strip() else "").replace(str(project), PLACE)


def without_times(text: str) -> str:
    return re.sub(r"\(\d+(?:\.\d+)? s\)", "(some s)", text)


def pattern(expected: str) -> str:
    lines = without_times(expected).splitlines()
    return "".join(r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n" for line in lines)
