"""Synthetic projects for benchmarks and tests: N trivial recipes with up to three requirements each.

    python bench/synthetic.py FOLDER N [--recipes recipes]

The graph is the same for every system that it is measured on: node i requires up to 3 of the 200 nodes before it, seed 1.
Each node writes its own name and the first line of each requirement's output. "root" is the node without requirements that
most nodes need, "leaf" the last node that nothing requires.
"""

import argparse
import json
import random
import shutil
from pathlib import Path

from msgspec import Struct

FAKE_TOOLSET = """name = "toolset"
tools = ""

[build]
style = "union"

[[version]]
version = "1"
"""


class Graph(Struct, frozen=True):
    """requires: by node, the nodes that it requires. sinks: nodes that nothing requires."""

    requires: tuple[tuple[int, ...], ...]
    root: int
    leaf: int
    sinks: tuple[int, ...]


def graph(n: int) -> Graph:
    """The benchmark's graph of n nodes."""
    rng = random.Random(1)
    requires: list[tuple[int, ...]] = [()]
    for i in range(1, n):
        low = max(0, i - 200)
        count = min(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 3, 3]), i - low)
        requires.append(tuple(sorted(rng.sample(range(low, i), count))))
    needed = {each for row in requires for each in row}
    above = [0] * n  # who needs a node, as bits: sets would take gigabytes, which count as memory of what is started from here
    for i in range(n - 1, -1, -1):
        for j in requires[i]:
            above[j] |= above[i] | 1 << i
    return Graph(
        requires=tuple(requires),
        root=max((i for i in range(n) if not requires[i]), key=lambda i: above[i].bit_count()),
        leaf=max(i for i in range(n) if i not in needed and (requires[i] or n == 1)),
        sinks=tuple(i for i in range(n) if i not in needed),
    )


def name(i: int) -> str:
    return f"n{i:05}"


def recipe(i: int, requires: tuple[int, ...], mark: str = "") -> str:
    """The text of node i. `mark` goes into its script and not into its output."""
    wanted = ", ".join(f'"{name(each)}"' for each in requires)
    reads = "".join(f'read -r line < /share/{name(each)}; echo "$line"\n' for each in requires)
    return (
        f'name = "{name(i)}"\n'
        + (f"build-requires = [{wanted}]\n" if requires else "")
        + '\n[build]\nstyle = "script"\n\n[[build.step]]\nname = "write"\nrun = \'\'\'\n'
        + (f": {mark}\n" if mark else "")
        + f'mkdir -p "$OUT/share"\n{{\necho {name(i)}\n{reads}}} > "$OUT/share/{name(i)}"\n\'\'\'\n\n[[version]]\nversion = "1"\n'
    )


def write(folder: Path, n: int, *, recipes: Path | None = None) -> Graph:
    """Write a project of n nodes. `recipes`: a recipes folder to take the tool set from, else an empty one is made."""
    made = graph(n)
    target = folder / "recipes"
    for each in ("", "tools", "images", "profiles"):
        (target / each).mkdir(parents=True, exist_ok=True)
    for i, requires in enumerate(made.requires):
        (target / f"{name(i)}.toml").write_text(recipe(i, requires))
    if recipes is None:
        (target / "tools" / "toolset.toml").write_text(FAKE_TOOLSET)
    else:
        _copy_toolset(recipes, target)
    packages = ", ".join(f'"{name(i)}"' for i in made.sinks)
    (target / "images" / "all.toml").write_text(f'name = "all"\nprofiles = ["embedded"]\npackages = [{packages}]\n')
    (target / "profiles" / "embedded.toml").write_text('name = "embedded"\nbase = []\n')
    return made


def touch(folder: Path, made: Graph, i: int, mark: str) -> None:
    """Change node i so that it must be built again, with the output that it had."""
    (folder / "recipes" / f"{name(i)}.toml").write_text(recipe(i, made.requires[i], mark))


def _copy_toolset(recipes: Path, target: Path) -> None:
    """The recipe `toolset` and all that it needs."""
    import tomli  # noqa: PLC0415

    wanted = ["toolset"]
    seen: set[str] = set()
    while wanted:
        each = wanted.pop()
        if each in seen:
            continue
        seen.add(each)
        path = next(found for folder in ("tools", ".") if (found := recipes / folder / f"{each}.toml").is_file())
        table = tomli.loads(path.read_text())
        for part in (table, *table["version"]):
            wanted += [text.split()[0] for key in ("requires", "build-requires") for text in part.get(key, [])]
        wanted += [table["tools"]] if table.get("tools") else []
        shutil.copy(path, target / path.relative_to(recipes))
        for source in (source for version in table["version"] for source in version.get("source", [])):
            if "folder" in source:
                shutil.copytree(recipes.parent / source["folder"], target.parent / source["folder"], dirs_exist_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="write a synthetic project")
    parser.add_argument("folder", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--recipes", type=Path, help="take the tool set from this recipes folder")
    args = parser.parse_args()
    made = write(args.folder, args.n, recipes=args.recipes)
    print(json.dumps({"root": name(made.root), "leaf": name(made.leaf), "sinks": len(made.sinks)}))


if __name__ == "__main__":
    main()
