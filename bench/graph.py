"""Whole-process times of `builder` on synthetic graphs, one table.

    python bench/graph.py [--n 1000 10000] [--runs 5] [--scratch DIR] [--builder PATH] [--cold-runs 3]

Everything lies below --scratch, which should be a tmpfs. The tool set is the real one (recipes/tools), built once before
anything is measured. Each figure is the median of --runs, with the least and the most; the machine's size is printed first.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import synthetic
from msgspec import Struct

ROOT = Path(__file__).resolve().parent.parent
JOBS = ("--jobs", "2", "--cores", "2")


class Run(Struct, frozen=True):
    """Wall seconds and peak memory (MiB) of one process, its children not counted in memory."""

    seconds: float
    memory: float


class Bench:
    """One project of n nodes with a store and a home of its own."""

    def __init__(self, builder: str, scratch: Path, n: int) -> None:
        self.builder = builder
        self.project = scratch / f"project-{n}"
        self.store = scratch / f"store-{n}"
        self.home = scratch / f"home-{n}"
        self.made = synthetic.write(self.project, n, recipes=ROOT / "recipes")
        for node in range(n):  # a store that has seen this graph must not know its answers
            synthetic.touch(self.project, self.made, node, f"bench {time.time_ns()}")

    def run(self, *argv: str) -> Run:
        """One command, timed from outside."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "BUILDER_STORE": str(self.store)}
        env |= {name: value for name, value in os.environ.items() if name.startswith(("BUILDER_MIRROR", "PIP_"))}
        started = time.perf_counter()
        process = subprocess.Popen([self.builder, *argv], cwd=self.project, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{argv}: exit {process.returncode}\n{said.decode()}")
        return Run(seconds, usage.ru_maxrss / 1024)

    def tools(self, from_store: Path | None) -> None:
        """Have the tool set in the store: from another bench's store, or built."""
        if from_store is not None:
            same = from_store.stat().st_dev == self.store.parent.stat().st_dev
            subprocess.run(["cp", "-al" if same else "-a", from_store, self.store], check=True)
        self.run("resolve")
        self.run("build", "toolset", *JOBS)

    def cold(self) -> Run:
        """A build of everything but the tools, in a store that has just these, with a lock that pins nothing."""
        (self.project / "lock.toml").unlink()
        self.run("resolve")
        kept = self.store.with_suffix(".kept")
        self.store.rename(kept)
        subprocess.run(["cp", "-al", kept, self.store], check=True)
        found = self.run("build", *JOBS)
        self.store.rename(self.store.with_suffix(f".used{time.monotonic_ns()}"))  # deleting now would slow what follows
        kept.rename(self.store)
        shutil.rmtree(self.project / "out", ignore_errors=True)
        return found


def median(label: str, reach: str, runs: list[Run], *, memory: bool = False) -> None:
    times = [each.seconds for each in runs]
    text = f"{statistics.median(times):9.3f} s  ({min(times):.3f} to {max(times):.3f})"
    text += f"  {max(each.memory for each in runs):5.0f} MiB" if memory else ""
    print(f"{label:44} {text:44} reach {reach}", flush=True)


def several(count: int, run: Callable[[int], Run]) -> list[Run]:
    return [run(i) for i in range(count)]


def measure(bench: Bench, n: int, runs: int, cold_runs: int) -> None:
    """All figures of one size."""
    reach = {1_000: ("60 ms", "9 s"), 10_000: ("150 ms", "-")}.get(n, ("-", "-"))
    lock = bench.project / "lock.toml"

    def resolve(_: int) -> Run:
        lock.unlink(missing_ok=True)
        shutil.rmtree(bench.home / ".cache", ignore_errors=True)
        return bench.run("resolve")

    median(f"N={n} resolve, no lock, no cache", "1.5 s, 200 MB" if n == 10_000 else "-", several(runs, resolve), memory=True)
    median(f"N={n} cold build, sandboxed", reach[1], several(cold_runs, lambda _: bench.cold()))
    bench.run("build", *JOBS)
    median(f"N={n} no-op", reach[0], several(runs, lambda _: bench.run("build", *JOBS)))

    def touched(node: int) -> Callable[[int], Run]:
        def run(i: int) -> Run:
            synthetic.touch(bench.project, bench.made, node, f"run {node} {i}")
            return bench.run("build", *JOBS)

        return run

    median(f"N={n} one leaf changed", "150 ms" if n == 1_000 else "-", several(runs, touched(bench.made.leaf)))
    median(f"N={n} one root changed, same output", "300 ms" if n == 1_000 else "-", several(runs, touched(bench.made.root)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold-runs", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--builder", default=shutil.which("builder"))
    parser.add_argument("--store", type=Path, help="a store that has the tool set already; it is not changed")
    args = parser.parse_args()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    print(f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {args.builder}", flush=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="builder-bench-", dir=args.scratch, ignore_cleanup_errors=True) as scratch:
        store = args.store
        for n in args.n:
            bench = Bench(args.builder, Path(scratch), n)
            bench.tools(store)
            measure(bench, n, args.runs, args.cold_runs if n <= 1_000 else 1)
            store = bench.store


if __name__ == "__main__":
    main()
