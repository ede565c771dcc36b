"""The real image from sources on disk and an empty store: wall time against the builds' own time on the critical path.

    python bench/image.py --archives DIR --store DIR --out DIR

DIR of archives is what `builder fetch --to DIR` made; the store must be empty or absent. Builds with `--offline --locked`. The
critical path is the longest chain of requirements by the seconds that each build took in its sandbox (or joining took), as the
store's records say; what is beyond it is unpacking, hashing, composing, waiting for a core, and the builder itself.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from graphlib import TopologicalSorter
from pathlib import Path

from builder.base.platform import DEFAULT as PLATFORM
from builder.lock import text
from builder.lock.lock import LockedPackage
from builder.plan.plan import Graph
from builder.resolve.workspace import DEFAULT_IMAGE
from builder.store import Store

ROOT = Path(__file__).resolve().parent.parent
PROFILE = "embedded"


def longest(packages: dict[str, LockedPackage], seconds: dict[str, float]) -> list[str]:
    """The chain of requirements that takes longest, first build first."""
    needs = {name: (*each.requires, *each.build_requires) for name, each in packages.items()}
    until: dict[str, float] = {}
    before: dict[str, str] = {}
    for name in TopologicalSorter(needs).static_order():
        last = max(needs[name], key=until.__getitem__, default="")
        until[name] = seconds.get(name, 0.0) + until.get(last, 0.0)
        before[name] = last
    chain = [max(until, key=until.__getitem__)]
    while before[chain[-1]]:
        chain.append(before[chain[-1]])
    return chain[::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--archives", "--store", "--out"):
        parser.add_argument(name, required=True)
    args = parser.parse_args()
    builder = shutil.which("builder")
    assert builder is not None, "builder is not on PATH"
    argv = [builder, "build", "--offline", "--locked", "--distdir", args.archives, "--store", args.store, "--out", args.out]
    started = time.perf_counter()
    if code := subprocess.run(argv, cwd=ROOT, check=False).returncode:
        sys.exit(code)
    wall = time.perf_counter() - started
    lock = text.parse((ROOT / "lock.toml").read_text())
    image = lock.image(DEFAULT_IMAGE, PROFILE)
    assert image is not None
    graph = Graph.of(lock.in_profile(PROFILE), lock.targets(image))
    with Store(args.store) as store:
        records = {name: store.record(each.outputs[PLATFORM].key) for name, each in graph.packages.items()}
    seconds = {name: record.seconds for name, record in records.items() if record is not None}
    chain = longest(dict(graph.packages), seconds)
    path = sum(seconds[name] for name in chain)
    print(f"{len(os.sched_getaffinity(0))} cores; {len(seconds)} builds, {sum(seconds.values()):.0f} s in all")
    print("critical path " + " -> ".join(f"{name} ({seconds[name]:.1f} s)" for name in chain if seconds[name] >= 1))
    print(f"wall {wall:.1f} s, critical path {path:.1f} s: {wall / path:.2f} x (reach 1.15 x)")


if __name__ == "__main__":
    main()
