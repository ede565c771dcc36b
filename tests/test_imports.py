"""The order of imports, drawn once: a module imports from its own folder and from those above it in `ORDER`, nothing else.

It goes from what knows nothing of the others to what knows all. Imports inside functions count, too.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import builder

ROOT = Path(builder.__file__).parent

ORDER = (
    "base",      # errors, digests, typed readers, settings, platforms
    "cache",     # what is remembered between runs
    "progress",  # what a person is told meanwhile
    "recipe",    # recipes, images, profiles: the project's files as values
    "lock",      # lock.toml
    "tree",      # trees of files and their digests
    "store",     # outputs, archives, records, locks, garbage
    "sandbox",   # isolated runs
    "fetch",     # sources: brought, verified, unpacked
    "plan",      # derivations and their keys
    "resolve",   # from recipes to the lock
    "build",     # from derivations to outputs, through an executor
    "image",     # from outputs to an image
    "show",      # what is, told
    "audit",     # whether it is as it should be
    "run",       # the gateway and its tests, from an image
    "cli",       # the command line: parses, calls, prints
)
# Modules that touch no file, process or clock: they take values and give values.
CORE = (
    "base.canonical", "base.globs", "base.order", "base.platform", "base.shape", "base.units", "base.environment",
    "recipe.crosscheck", "recipe.image", "recipe.image_shapes", "recipe.profile", "recipe.recipe", "recipe.requirement", "recipe.shapes",
    "recipe.source", "lock.changes", "lock.lock", "resolve.conflict", "resolve.pins", "resolve.resolver", "resolve.search", "resolve.state",
    "plan.derivation", "plan.plan", "build.scheduler", "show.draw", "show.graph", "show.placement", "progress.goal",
    "run.testing.tap", "run.testing.blocks", "run.testing.results", "run.testing.summary", "run.testing.junit", "run.serving.listening",
)
WORLD = {"os", "pathlib", "shutil", "subprocess", "tempfile", "socket", "io", "glob", "requests", "urllib", "http", "fcntl"}
# Slow to import, and where that is done: on top of these modules only, which nobody imports before they are needed.
HEAVY = {
    "requests": {"builder.fetch.http", "builder.fetch.call"},
    "rich": {"builder.progress.terminal"},
    "resolvelib": {"builder.resolve.search"},
    "elftools": {"builder.image.contract.elf"},
    "zstandard": set(),
    "shtab": {"builder.cli.verbs.completion"},
    "platformdirs": set(),
}
RANK = {name: place for place, name in enumerate(ORDER)}


def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("builder", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


MODULES = _modules()


def imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Dotted names that a module imports, without those for type checkers; `lazy`: those inside functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None, "imports are absolute"
            for each in node.names:
                full = f"{node.module}.{each.name}"
                yield full if full in MODULES else node.module
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, lazy=lazy)


def ours(name: str, *, lazy: bool) -> set[str]:
    return {each for each in imports(MODULES[name], lazy=lazy) if each in MODULES} - {name, "builder"}


def folder(module: str) -> str:
    return module.split(".")[1]


def loaded(code: str) -> set[str]:
    """Modules that a fresh interpreter loads for some code, beyond those that it starts with."""
    text = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


def test_every_module_lies_in_a_folder_of_the_order() -> None:
    assert {folder(name) for name in MODULES if name not in ("builder", "builder.__main__")} == set(RANK)


def test_tests_lie_in_directories_of_the_same_names(pytestconfig: pytest.Config) -> None:
    assert not set(ORDER) & set(pytestconfig.getini("norecursedirs")), "pytest passes a directory over"
    tests = Path(__file__).parent
    found = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    assert found == {*ORDER, "attacks", "integration", "."}
    assert {path.name for path in tests.glob("test_*.py")} == {"test_docs.py", "test_imports.py"}, "these two are about all directories"


def test_the_architecture_has_the_same_order() -> None:
    text = (Path(__file__).parents[1] / "docs/architecture.md").read_text()
    table = text.partition("## Directories")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ORDER


def test_no_test_file_imports_another() -> None:
    for path in Path(__file__).parent.rglob("test_*.py"):
        names = {part for name in imports(ast.parse(path.read_text()), lazy=True) for part in name.split(".")}
        assert {name for name in names if name.startswith("test_")} == set(), path


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"builder", "builder.__main__"}))
def test_imports_go_one_way(name: str) -> None:
    assert sorted(each for each in ours(name, lazy=True) if RANK[folder(each)] > RANK[folder(name)]) == []


def test_there_is_no_circle() -> None:
    TopologicalSorter({name: ours(name, lazy=True) for name in MODULES}).prepare()


@pytest.mark.parametrize("name", CORE)
def test_the_core_does_not_touch_the_world(name: str) -> None:
    module = MODULES[f"builder.{name}"]
    assert {each.split(".")[0] for each in imports(module, lazy=True)} & WORLD == set()
    calls = {node.func.id for node in ast.walk(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"open", "print", "input", "exec", "eval"}


def test_only_the_edge_parses_arguments() -> None:
    assert {folder(name) for name, tree in MODULES.items() if "argparse" in imports(tree, lazy=True)} == {"cli"}


def _touches(tree: ast.AST, *names: str) -> bool:
    return any(isinstance(node, ast.Attribute) and ast.unparse(node) in names for node in ast.walk(tree))


def test_only_the_edge_writes_to_standard_output() -> None:
    printing = {
        name for name, tree in MODULES.items()
        for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()
    assert {folder(name) for name, tree in MODULES.items() if _touches(tree, "sys.stdout", "sys.__stdout__")} == {"cli", "__main__"}


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_are_imported_late(library: str) -> None:
    early = {name for name in MODULES if any(each.split(".")[0] == library for each in imports(MODULES[name], lazy=False))}
    assert early <= HEAVY[library]


def test_the_way_of_nothing_to_do_loads_next_to_nothing() -> None:
    found = loaded("import builder.__main__\nfrom builder.cache import noop\nnoop.answer(['build'])")
    mine = {each for each in found if each.split(".")[0] == "builder"}
    assert mine == {"builder", "builder.__main__", "builder.cache", "builder.cache.noop"}
    slow = {"argparse", "json", "dataclasses", "typing", "re", "inspect", "threading", "subprocess", "logging", "tomli", "tomllib", *HEAVY}
    assert found & slow == set()
    assert len(found) < 30


@pytest.mark.parametrize("module", ["builder.cli.verbs.build", "builder.build.build", "builder.resolve.workspace"])
def test_a_command_starts_without_heavy_libraries(module: str) -> None:
    assert {each.split(".")[0] for each in loaded(f"import {module}")} & set(HEAVY) == set()


def test_help_needs_none_of_the_commands() -> None:
    found = loaded("from builder.cli.arguments import parser\nparser().format_help()")
    assert {each for each in found if each.startswith("builder.")} <= {
        "builder.base", "builder.base.addresses", "builder.base.errors", "builder.base.platform",
        "builder.cache", "builder.cache.noop",
        "builder.cli", "builder.cli.arguments", "builder.cli.main", "builder.cli.options", "builder.cli.parser",
    }


def test_lines_have_120_columns_at_most() -> None:
    """Tables of cases in tests may have 140, which ruff checks."""
    lines = [(path, *each) for path in ROOT.rglob("*.py") for each in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{path}:{number}" for path, number, line in lines if len(line) > 120] == []
