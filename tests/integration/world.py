"""Worlds: a project, a home folder with a store in it, and `builder` as a user starts it.

The tool set of a world is small: shell, core tools and the launcher of sandboxes, from the recipes of this repository.
It is fetched and built once a session; worlds begin with hard links to it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli
from msgspec import Struct, field

from builder.base import digest
from builder.store import Store
from builder.store.remove import remove_tree
from builder.store.verify import verify

REPOSITORY = Path(__file__).parents[2]
BUILDER = str(Path(sys.executable).with_name("builder"))
_DONE = re.compile("building .*: done, ")
PLATFORM = "x86_64-linux-musl"
TOOLS = ("launcher", "dash", "coreutils")
ENVIRON = dict(os.environ)  # of the tests' caller, before fixtures hide its home
IMAGE = ENVIRON.get("BUILDER_TEST_IMAGE", "")
UNUSED = ["etc/**", "usr/share/**", "usr/sbin/**", "sbin/**", "usr/lib/x86_64-linux-gnu/gconv/**", "usr/lib/x86_64-linux-gnu/audit/**"]

TOOLSET = """
name = "toolset"
tools = ""
build-requires = ["launcher", "dash", "coreutils"]

[build]
style = "union"
exclude = ["usr/bin/bwrap"]

[[version]]
version = "1"
"""


class Answer(Struct, frozen=True):
    """What a command said, and its exit code (negative: the signal that ended it)."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The data of a `--json` document; of an error, {"error": ...}; of a schema, all of it."""
        document = json.loads(self.out)
        return document.get("data", {"error": document["error"]} if document.get("kind") == "error" else document)

    def built(self) -> list[str]:
        """Packages that were built, in the order in which they were done."""
        return [line.split(": done, ")[0].removeprefix("building ") for line in self.err.splitlines() if _DONE.match(line)]


class World(Struct, frozen=True):
    """root: the project. home: the user's folder, with the store below it. environ: more variables."""

    root: Path
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    origin: Path | None = None  # the store with the tool set

    @property
    def store_path(self) -> Path:
        return self.home / ".cache" / "builder" / "store"

    @property
    def lock(self) -> Path:
        return self.root / "lock.toml"

    def environment(self) -> dict[str, str]:
        return {"PATH": ENVIRON["PATH"], "HOME": str(self.home), **self.environ}

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def recipe(self, name: str, run: str, *, requires: Iterable[str] = (), more: str = "") -> None:
        """Write a recipe of one step, called "make". more: TOML tables that follow."""
        wants = ", ".join(f'"{each}"' for each in requires)
        self.write(
            f"recipes/{name}.toml",
            f'name = "{name}"\nbuild-requires = [{wants}]\n\n[build]\nstyle = "script"\n\n[[build.step]]\nname = "make"\n'
            f"run = '''\n{run}\n'''\n\n{more}\n[[version]]\nversion = \"1\"\n",
        )

    def image(self, *packages: str) -> None:
        names = ", ".join(f'"{each}"' for each in packages)
        self.write("recipes/images/all.toml", f'name = "all"\nprofiles = ["only"]\npackages = [{names}]\n')
        self.write("recipes/profiles/only.toml", 'name = "only"\nbase = []\n')

    def chain(self) -> None:
        """Three packages, the last one in the image: base, which middle reads, which top reads."""
        self.recipe("base", 'mkdir "$OUT/share"\necho base > "$OUT/share/base"')
        self.recipe("middle", 'mkdir "$OUT/share"\ncat /share/base > "$OUT/share/middle"\necho middle', requires=["base"])
        self.recipe("top", 'mkdir "$OUT/share"\ncat /share/middle > "$OUT/share/top"', requires=["middle"])
        self.image("top")

    def start(self, *argv: str, before: Iterable[str] = (), cwd: Path | None = None) -> "subprocess.Popen[str]":
        """A command that runs beside the test, in a process group of its own. before: words in front of it."""
        return subprocess.Popen(
            [*before, BUILDER, *argv], cwd=cwd or self.root, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *argv: str, before: Iterable[str] = (), cwd: Path | None = None) -> Answer:
        process = self.start(*argv, before=before, cwd=cwd)
        out, err = process.communicate(timeout=600)
        return Answer(process.returncode, out, err)

    def ok(self, *argv: str, before: Iterable[str] = (), cwd: Path | None = None) -> Answer:
        """A command that must end well."""
        answer = self.run(*argv, before=before, cwd=cwd)
        assert answer.code == 0, f"{argv}: exit {answer.code}\n{answer.out}\n{answer.err}"
        return answer

    def output(self, name: str, output: str = "out") -> Path:
        """The tree of a package that was built, by the lock."""
        return self.tree_path(self.package(name)["output"][PLATFORM][output])

    def tree_path(self, tree: str) -> Path:
        return self.store_path / "trees" / digest.to_hex(tree)

    def keep(self) -> None:
        """Make all outputs that the lock names roots of the store."""
        outputs = [each["output"][PLATFORM] for each in tomli.loads(self.lock.read_text())["package"]]
        with Store(str(self.store_path)) as store:
            store.set_root("kept", [tree for each in outputs for name, tree in each.items() if name != "key"])

    def package(self, name: str) -> dict[str, Any]:
        """The only block of a package in the lock."""
        (found,) = (each for each in tomli.loads(self.lock.read_text())["package"] if each["name"] == name)
        return dict(found)

    def damage(self) -> list[str]:
        """What the store itself finds wrong with what it holds."""
        with Store(str(self.store_path)) as store:
            return [str(each) for each in verify(store) if "outside of the store" not in each.message]  # a world's are links

    def half_made(self) -> list[str]:
        """What lies in the store without a name of its own: nothing, once it was opened again."""
        Store(str(self.store_path)).close()
        trees = [each for each in os.listdir(self.store_path / "trees") if each.startswith(".")]
        return trees + os.listdir(self.store_path / "tmp")

    def another(self, name: str, *, tools: bool) -> "World":
        """The same project with another home: another machine. tools: whether its store has the tool set."""
        other = World(self.root, self.home.with_name(name), self.environ, self.origin)
        other.home.mkdir()
        if tools:
            assert self.origin is not None
            link(self.origin, other.store_path)
        return other

    def twin(self, name: str) -> "World":
        """A project without packages of its own, a home and a store with the tool set: another world beside this one."""
        assert self.origin is not None
        other = World(self.root.with_name(name), self.home.with_name(f"{name}-home"), self.environ, self.origin)
        with_tools(other.root)
        link(self.origin, other.store_path)
        return other

    def forget(self, name: str) -> None:
        """Remove what the store has of a package, as somebody with `rm` would."""
        output = self.package(name)["output"][PLATFORM]
        with Store(str(self.store_path)) as store:
            os.unlink(store.record_path(output["key"]))
            store.discard_tree(output["out"])

    def copy(self, name: str) -> "World":
        """A copy of the project with the same home."""
        root = self.root.with_name(name)
        shutil.copytree(self.root, root)
        return World(root, self.home, self.environ, self.origin)


def link(source: Path, target: Path, *, archives: bool = False) -> None:
    """A copy of a store by hard links: what was built and, when asked for, the archives that it was built from."""
    target.mkdir(parents=True, exist_ok=True)
    parts = [str(source / name) for name in ("trees", "records", *(["files"] if archives else []))]
    same = source.stat().st_dev == target.stat().st_dev
    subprocess.run(["cp", "-al" if same else "-a", *parts, str(target)], check=True)


def free(folder: Path) -> None:
    """Remove a folder with stores in it."""
    remove_tree(str(folder))


def copy_recipes(target: Path, names: Iterable[str]) -> list[Path]:
    """Copy recipes of this repository and all that they require; the copies."""
    wanted = list(names)
    copies = []
    while wanted:
        name = wanted.pop()
        path = next(found for part in ("tools", ".") if (found := REPOSITORY / "recipes" / part / f"{name}.toml").is_file())
        copy = target / path.relative_to(REPOSITORY / "recipes")
        if copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        copies.append(copy)
        table = tomli.loads(path.read_text())
        for part in (table, *table["version"]):
            wanted += [text.split()[0] for key in ("requires", "build-requires") for text in part.get(key, ())]
    return copies


def with_tools(root: Path) -> None:
    """Write the recipes of the small tool set, without what nobody runs: a store is read whole after every kill."""
    more = f'style = "prebuilt"\nexclude = {json.dumps(UNUSED)}'
    for path in copy_recipes(root / "recipes", TOOLS):
        path.write_text(path.read_text().replace('style = "prebuilt"', more))
    (root / "recipes" / "tools" / "toolset.toml").write_text(TOOLSET)


def running(words: str) -> list[str]:
    """Process ids whose command line holds these words."""
    found = []
    for each in os.listdir("/proc"):
        if each.isdigit():
            try:
                line = Path(f"/proc/{each}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if line.strip().startswith(words):
                found.append(each)
    return found
