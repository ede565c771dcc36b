"""A project that needs neither a network nor a sandbox: its packages are folders, joined by the builder itself.

    image openresty, profile small:  world 2 (union) -> hello 1 (folder, to build)     base: base 1 (folder)
    image openresty, profile other:  the same on no base
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from builder.cli import run

FILES: Mapping[str, str] = {
    "recipes/hello.toml": """
name = "hello"
summary = "A greeting"
tools = ""

[build]
style = "prebuilt"
into = { main = "usr/share" }

[[version]]
version = "1"
[[version.source]]
folder = "files/hello"
""",
    "recipes/base.toml": """
name = "base"
tools = ""

[build]
style = "prebuilt"

[[version]]
version = "1"
[[version.source]]
folder = "files/base"
""",
    "recipes/world.toml": """
name = "world"
tools = ""
build-requires = ["hello"]

[build]
style = "union"

[build.links]
"usr/bin/greet" = "../share/greeting"

[[version]]
version = "2"
""",
    "recipes/images/openresty.toml": 'name = "openresty"\npackages = ["world"]\nprofiles = ["small", "other"]\n',
    "recipes/profiles/small.toml": 'name = "small"\nbase = ["base"]\n',
    "recipes/profiles/other.toml": 'name = "other"\n',
    "files/hello/greeting": "hello, world\n",
    "files/base/etc/issue": "small\n",
}


class Answer(Struct, frozen=True):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The data of a `--json` document; of an error, {"error": ...}; of a schema, all of it."""
        document = json.loads(self.out)
        return document.get("data", {"error": document["error"]} if document.get("kind") == "error" else document)


class Small(Struct, frozen=True):
    """The project in folder `root`."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, (path, old)
        self.write(path, text.replace(old, new, 1))

    def run(self, *argv: str) -> Answer:
        """Run one command as the command line does, in this process."""
        self.capture.readouterr()
        code = run(list(argv))
        said = self.capture.readouterr()
        return Answer(code, said.out, said.err)


def make(root: Path, capture: pytest.CaptureFixture[str]) -> Small:
    project = Small(root, capture)
    for path, text in FILES.items():
        project.write(path, text)
    return project


def git(project: Small, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)


def edited(project: Small, name: str, pattern: str, new: str | Callable[[re.Match[str]], str]) -> None:
    """Change the first match of a pattern in the lock's block of a package."""
    path = project.root / "lock.toml"
    head, mark, block = path.read_text().partition(f'\n[[package]]\nname = "{name}"\n')
    changed = re.sub(pattern, new, block, count=1, flags=re.MULTILINE)
    assert changed != block
    path.write_text(head + mark + changed)
