"""The direction of imports, drawn once. A module imports only what stands on its own line or above it.

    foundations   errors, digests, readers, progress
    data          files as values
    logic         resolving, keys, planning, scheduling: opens no file
    adapters      store, fetch, sandbox, oci ...: each knows only those named beside it
    verbs         use all of these
    edge          the command line: wires, prints, exits
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import builder

ROOT = Path(builder.__file__).parent

LEVELS = {
    "foundations": "errors platform environment addresses outside units textfile digest canonical collector memo order globs decode "
    "goal reporter reporters stamp within",
    "data": "source requirement styles recipe_shapes recipe image_shapes image profile lock lock_text lock_changes lock_merge "
    "settings settings_file crosscheck project unneeded",
    "logic": "choices conflict search resolver pins derivation plan scheduler graph layout draw",
    "adapters": "executor local nar folder store unpack fetch sandbox oci contract join witness difference jobserver log kept "
    "failures workbench",
    "verbs": "locking workspace realise build compose make recheck inventory forecast audit rootfs clean testing serving doctor",
    "edge": "cli __main__",
}
# What an adapter may know of other adapters.
ADAPTERS = {
    "nar": "", "join": "", "witness": "", "jobserver": "", "log": "", "kept": "store", "workbench": "",
    "failures": "", "unpack": "", "sandbox": "store",
    "executor": "", "local": "executor kept log jobserver sandbox store workbench",
    "difference": "nar", "folder": "nar", "store": "nar", "oci": "nar", "fetch": "nar store unpack", "contract": "oci",
}
CORE = (
    "canonical", "decode", "requirement", "source", "recipe_shapes", "recipe", "image_shapes", "image", "profile", "lock", "lock_changes",
    "crosscheck",
    "choices", "conflict", "search", "resolver", "pins", "derivation", "plan", "scheduler", "graph", "layout", "draw", "order",
    "globs", "units", "goal", "testing.tap", "testing.blocks", "testing.results", "testing.summary", "testing.junit", "serving.listening",
)
WORLD = {"os", "pathlib", "shutil", "subprocess", "tempfile", "socket", "io", "glob", "requests", "urllib", "http", "fcntl"}
# Slow to import, and where that is done: on top of these modules only, which nobody imports before they are needed.
HEAVY = {
    "networkx": {"builder.graph", "builder.draw"},
    "requests": {"builder.fetch.http", "builder.fetch.call"},
    "rich": {"builder.reporters.terminal"},
    "resolvelib": {"builder.search"},
    "elftools": {"builder.contract.elf"},
    "zstandard": set(),
    "shtab": set(),
    "platformdirs": set(),
}
RANK = {name: place for place, names in enumerate(LEVELS.values()) for name in names.split()}


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


def noun(module: str) -> str:
    """The part of a module's name that stands in the drawing."""
    return module.split(".")[1]


def loaded(code: str) -> set[str]:
    """Modules that a fresh interpreter loads for some code, beyond those that it starts with."""
    text = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


def test_every_module_stands_in_the_drawing() -> None:
    assert {noun(name) for name in MODULES if name != "builder"} == set(RANK)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"builder"}))
def test_imports_go_one_way(name: str) -> None:
    wrong = sorted(each for each in ours(name, lazy=True) if RANK[noun(each)] > RANK[noun(name)] and name != "builder.__main__")
    assert wrong == []


def test_there_is_no_cycle() -> None:
    # A port may look for its adapters when it is used, so imports inside functions are left out.
    TopologicalSorter({name: ours(name, lazy=False) for name in MODULES}).prepare()


def test_every_adapter_is_named() -> None:
    assert set(ADAPTERS) == set(LEVELS["adapters"].split())


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name != "builder" and noun(name) in ADAPTERS))
def test_adapters_know_few_others(name: str) -> None:
    known = {noun(each) for each in ours(name, lazy=True)} & set(ADAPTERS)
    assert known <= {noun(name), *ADAPTERS[noun(name)].split()}


@pytest.mark.parametrize("name", CORE)
def test_the_core_does_not_touch_the_world(name: str) -> None:
    module = MODULES[f"builder.{name}"]
    assert {each.split(".")[0] for each in imports(module, lazy=True)} & WORLD == set()
    calls = {node.func.id for node in ast.walk(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"open", "print", "input", "exec", "eval"}


def test_only_the_edge_parses_arguments() -> None:
    assert {noun(name) for name, tree in MODULES.items() if "argparse" in imports(tree, lazy=True)} == {"cli"}


def _touches(tree: ast.AST, *names: str) -> bool:
    return any(isinstance(node, ast.Attribute) and ast.unparse(node) in names for node in ast.walk(tree))


def test_only_the_edge_writes_to_standard_output() -> None:
    printing = {
        name for name, tree in MODULES.items()
        for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()
    assert {noun(name) for name, tree in MODULES.items() if _touches(tree, "sys.stdout", "sys.__stdout__")} == {"cli", "__main__"}


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_are_imported_late(library: str) -> None:
    early = {name for name in MODULES if any(each.split(".")[0] == library for each in imports(MODULES[name], lazy=False))}
    assert early <= HEAVY[library]


def test_the_way_of_nothing_to_do_loads_next_to_nothing() -> None:
    found = loaded("import builder.__main__\nfrom builder import stamp\nstamp.answer(['build'])")
    assert {each for each in found if each.split(".")[0] == "builder"} == {"builder", "builder.__main__", "builder.stamp"}
    slow = {"argparse", "json", "dataclasses", "typing", "re", "inspect", "threading", "subprocess", "logging", "tomli", "tomllib", *HEAVY}
    assert found & slow == set()
    assert len(found) < 30


@pytest.mark.parametrize("module", ["builder.cli.commands", "builder.build", "builder.workspace"])
def test_a_command_starts_without_heavy_libraries(module: str) -> None:
    assert {each.split(".")[0] for each in loaded(f"import {module}")} & set(HEAVY) == set()


def test_help_needs_none_of_the_commands() -> None:
    found = loaded("from builder.cli.arguments import parser\nparser().format_help()")
    assert {each for each in found if each.startswith("builder.")} <= {
        "builder.cli", "builder.cli.main", "builder.cli.arguments", "builder.cli.parser", "builder.errors", "builder.addresses",
        "builder.platform",
    }
