"""Layer: tar and gzip of a tree, by builder and by GNU tar piped into pigz, alternately in one run.

    python bench/layer.py [TREE]

Without TREE a tree of 11,000 files and 200 MB is made, the same on every machine. Everything happens below --scratch,
which should be a tmpfs. Prints the median of --runs times and the sizes; exits 3 when builder is slower.
"""

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from builder.image.oci import compress, layer, tar

FILES = 11_000
BYTES = 200_000_000
THREADS = 2
_WORDS = 6_000
_LINES = 20_000


def make_tree(top: Path) -> None:
    """Files like those of a source tree: many small ones and a few of some MB, lines that recur in a file, some binaries.

    gzip makes it a quarter of its size, as it does with the sources and libraries of a compiler.
    """
    rng = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz_"
    words = ["".join(rng.choices(letters, range(27, 0, -1), k=rng.randint(2, 14))) for _ in range(_WORDS)]
    marks = [" ", " ", " ", " ", "(", "); ", " = ", ", ", "->", " { ", " } "]
    lines = ["".join(rng.choice(words) + rng.choice(marks) for _ in range(rng.randint(1, 9))) + "\n" for _ in range(_LINES)]
    noise = rng.randbytes(2_000_000)
    sizes = [int(rng.lognormvariate(8.6, 1.6)) + 100 for _ in range(FILES)]
    scale = BYTES / sum(sizes)
    for number, size in enumerate(sizes):
        folder = top / f"lib{number % 17}" / f"{words[number % 50]}{number % 50}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{words[number % _WORDS]}_{number}.c").write_bytes(_content(rng, lines, noise, number, int(size * scale)))


def _content(rng: random.Random, lines: list[str], noise: bytes, number: int, size: int) -> bytes:
    if number % 60 == 0:
        start = rng.randrange(len(noise))
        return (noise[start:] + noise * (size // len(noise) + 1))[:size]
    own = rng.choices(lines, k=max(size // 300, 20))  # each line about seven times in a file
    return "".join(rng.choices(own, k=size // 20 + 1)).encode()[:size]


def builder(tree: Path, out: Path) -> None:
    with out.open("wb") as file, compress.gzip(file, threads=THREADS) as compressor:
        tar.write(layer.compose(layer.scan([("tree", str(tree))])), compressor.write)
        compressor.close()


def builder_zstd(tree: Path, out: Path) -> None:
    with out.open("wb") as file, compress.zstd(file, threads=THREADS) as compressor:
        tar.write(layer.compose(layer.scan([("tree", str(tree))])), compressor.write)
        compressor.close()


def pigz(level: int) -> Callable[[Path, Path], None]:
    def run(tree: Path, out: Path) -> None:
        argv = ["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", str(tree), "-cf", "-", "."]
        with out.open("wb") as file, subprocess.Popen(argv, stdout=subprocess.PIPE) as packer:
            subprocess.run(["pigz", "-n", f"-{level}", f"-p{THREADS}"], stdin=packer.stdout, stdout=file, check=True)
        assert packer.returncode == 0

    return run


def measure(tree: Path, scratch: Path, runs: int) -> dict[str, tuple[float, float, int]]:
    """Name -> (median seconds, median processor seconds, bytes).

    The ways take turns, so that a busy moment of the machine hits all of them.
    """
    ways = {
        "builder, gzip": builder,
        "tar | pigz": pigz(6),
        f"tar | pigz -{compress.GZIP_LEVEL}": pigz(compress.GZIP_LEVEL),
        "builder, zstd": builder_zstd,
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    digests: dict[str, set[str]] = {name: set() for name in ways}
    out = scratch / "out"
    for _ in range(runs):
        for name, way in ways.items():
            started, used = time.perf_counter(), sum(os.times()[:4])
            way(tree, out)
            times[name].append((time.perf_counter() - started, sum(os.times()[:4]) - used))
            sizes[name] = out.stat().st_size
            digests[name].add(hashlib.sha256(out.read_bytes()).hexdigest())
            out.unlink()
    assert len(digests["builder, gzip"]) == len(digests["builder, zstd"]) == 1
    return {name: (*map(statistics.median, zip(*each, strict=True)), sizes[name]) for name, each in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, help="a tree to pack (default: one is made)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scratch", default="/dev/shm" if os.path.isdir("/dev/shm") else None, help="a folder on tmpfs")
    wanted = parser.parse_args()
    if not shutil.which("pigz"):
        print("pigz is not installed; it is what builder is compared with", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="builder-bench-", dir=wanted.scratch) as scratch:
        tree = wanted.tree
        if tree is None:
            tree = Path(scratch, "tree")
            make_tree(tree)
        files = [each.stat().st_size for each in tree.rglob("*") if each.is_file()]
        print(f"{len(files)} files, {sum(files) / 1e6:.0f} MB, {THREADS} threads, median of {wanted.runs}")
        found = measure(tree, Path(scratch), wanted.runs)
    for name, (seconds, used, size) in found.items():
        print(f"{name:16} {seconds:6.2f} s {used:6.2f} s of processors {size / 1e6:7.1f} MB  {100 * size / sum(files):4.1f} % of the tree")
    slower = found["builder, gzip"][0] > found["tar | pigz"][0]
    print("slower than tar | pigz" if slower else "not slower than tar | pigz")
    return 3 if slower else 0


if __name__ == "__main__":
    raise SystemExit(main())
