"""What the pinned compiler makes of -O (docs/decisions/16-optimisation-levels.md)."""

import os
import subprocess
from pathlib import Path

import pytest
import tomli

from builder.base import digest
from integration.world import ENVIRON, PLATFORM, REPOSITORY

# Clang compiles this differently at each level.
SOURCE = """
static int add(const int *p, const int *q, int k) { return k > 3 ? *p * 2 + *q : *p - *q; }
int u(int *a, int n, int k, int inv, int *out) {
    int s = 0;
    for (int i = 0; i < n; i++) { if (inv) s += add(a + i, &k, k); else { s ^= a[i]; out[i] = s; } }
    return s;
}
"""


@pytest.fixture
def zig() -> str:
    """The compiler that lock.toml pins, in the store of the tests' caller."""
    packages = tomli.loads((REPOSITORY / "lock.toml").read_text())["package"]
    (tree,) = {each["output"][PLATFORM]["out"] for each in packages if each["name"] == "zig"}
    store = ENVIRON.get("BUILDER_STORE") or os.path.join(ENVIRON.get("HOME", "/"), ".cache/builder/store")
    path = os.path.join(store, "trees", digest.to_hex(tree), "opt/ziglang/zig")
    if not os.access(path, os.X_OK):
        pytest.skip("the compiler was not built here: builder build zig")
    return path


@pytest.mark.long
def test_levels_are_one_but_past_the_driver(zig: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(SOURCE)

    def compiled(*level: str) -> bytes:
        argv = [zig, "cc", "-target", "x86_64-linux-musl", "-mcpu=x86_64", "-O2", *level, "-c", "a.c", "-o", "a.o"]
        environ = {"ZIG_GLOBAL_CACHE_DIR": f"{tmp_path}/cache", "ZIG_LOCAL_CACHE_DIR": f"{tmp_path}/cache", "PATH": "/usr/bin:/bin"}
        subprocess.run(argv, cwd=tmp_path, env=environ, check=True)
        return (tmp_path / "a.o").read_bytes()

    usual = compiled()
    assert compiled("-O1") == compiled("-O2") == compiled("-O3") == usual
    assert compiled("-Os") != usual != compiled("-O0")
    assert compiled("-Xclang", "-O2") == usual
    assert len({compiled("-Xclang", level) for level in ("-O1", "-O2", "-O3")}) == 3
