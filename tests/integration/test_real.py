"""The real releases of the components, and the bundle: built, audited, and put through their own test suites.

BUILDER_TEST_ARCHIVES names a directory that holds the archives; a test skips when one that it needs is absent. The root
file system is Alpine's 3.20.3 here. A bundle that is assembled from the parts of the official one has other bytes, so
it is repinned.

Copies of the suites are run without the libraries beside them, so that those of the image are tested.
"""

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from msgspec import Struct, field

from builder.base import digest
from integration import forge
from integration.checkout import run
from integration.world import ENVIRON, IMAGE, REPOSITORY

ARCHIVES = Path(ENVIRON.get("BUILDER_TEST_ARCHIVES") or "/nonexistent").absolute()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not ARCHIVES.is_dir(), reason="BUILDER_TEST_ARCHIVES does not name a directory of archives"),
]

ALPINE = "alpine-minirootfs-3.20.3-x86_64.tar.gz"
BUNDLE = forge.LAYOUTS["openresty"][0]
FIVE = ("mlcache", "worker-events", "cookie", "balancer", "lua-var-nginx-module")
EMBEDDED = {f"t/components/embedded-{name}.t" for name in ("caches", "events", "ngxvar")}
# nginx from parts has no Lua in layer 4
SKIPPED = {"components": {"t/090-layer-4.t", *EMBEDDED}, "upstream": EMBEDDED}
PACKAGES = {"components": (*FIVE, "lua-resty-lock"), "upstream": (*FIVE, "openresty")}


def need(*names: str) -> None:
    """Skip a test unless the archives of these names are there."""
    absent = [name for name in names if not (ARCHIVES / name).is_file()]
    if absent:
        pytest.skip(f"{ARCHIVES} lacks {', '.join(absent)}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project with the root file system and the bundle that are there."""
    root = tmp_path_factory.mktemp("real") / "project"
    for name in ("recipes", "lua", "t"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "lock.toml", root)
    for profile in PACKAGES:
        more = '[constraints]\nalpine-minirootfs = "3.20.3"\n'
        edit(root / f"recipes/profiles/{profile}.toml", "[constraints]\n", more)
    recipe = root / "recipes/openresty.toml"
    bundle = next(each for each in tomli.loads(recipe.read_text())["version"] if each["version"] == "1.27.1.2")
    if (ARCHIVES / BUNDLE).is_file():
        for path in (recipe, root / "lock.toml"):
            edit(path, bundle["source"][0]["sha256"], digest.of_file(str(ARCHIVES / BUNDLE)))
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new))


def ok(project: Path, *words: str) -> Any:
    """The data of a command that must end well."""
    answer = run(project, *words, "--offline", "--distdir", str(ARCHIVES), "--json")
    assert answer.returncode == 0, f"{words}: exit {answer.returncode}\n{answer.stdout}\n{answer.stderr}"
    return json.loads(answer.stdout)["data"]


@pytest.fixture(scope="module", params=PACKAGES)
def profile(request: pytest.FixtureRequest, project: Path) -> str:
    """A profile whose image for tests is built."""
    name = str(request.param)
    need(ALPINE, *(forge.LAYOUTS[each][0] for each in PACKAGES[name]))
    ok(project, "build", "gateway-test", "--profile", name)
    return name


class Outcome(Struct, frozen=True):
    """checks: how many passed, failed, were skipped. failing: a block, or a file in trouble -> what it says."""

    checks: tuple[int, int, int]
    failing: dict[str, Any]
    files: list[dict[str, Any]]


def outcome(project: Path, profile: str, *words: str) -> Outcome:
    answer = run(project, "test", "--profile", profile, "--offline", "--json", *words)
    document = json.loads(answer.stdout)
    assert document["kind"] == "test", answer.stdout
    counts, files = document["data"]["counts"]["checks"], document["data"]["files"]
    failing = {f"{file['name']}: {each['title']}": each["failures"] for file in files for each in file["blocks"]}
    failing |= {file["name"]: file["trouble"] for file in files}
    checks = (counts["passed"], counts["failed"], counts["skipped"])
    return Outcome(checks, {name: said for name, said in failing.items() if said}, files)


def test_the_audit_has_no_finding_that_the_profile_does_not_account_for(project: Path, profile: str) -> None:
    answer = run(project, "audit", "--profile", profile, "--json")
    found = json.loads(answer.stdout)["data"]
    assert (answer.returncode, [each for each in found if not each["accounted"]]) == (0, [])
    assert {each["rule"] for each in found} == {"single-location", "weak-pin"}


def test_the_gateways_own_tests_pass(project: Path, profile: str) -> None:
    found = outcome(project, profile)
    assert found.failing == {}
    assert {file["name"] for file in found.files if file["skipped"]} == SKIPPED[profile]


def test_what_is_built_again_is_the_same(project: Path, profile: str) -> None:
    rows = ok(project, "build", "--check", *PACKAGES[profile], "--profile", profile)
    assert {row["package"].split(" ")[0]: row["reproduced"] for row in rows} == dict.fromkeys(PACKAGES[profile], True)


# ---- the releases' own suites


class Suite(Struct, frozen=True, kw_only=True):
    """The suite of a release. libraries: the folder beside `t/` that holds what is tested elsewhere.

    checks: profile -> (passed, failed, skipped). failing: profile -> blocks that fail there; the comment says why.
    prepared: changes the copy for a profile. files: those that are run (none means all).
    """

    package: str
    checks: Mapping[str, tuple[int, int, int]]
    failing: Mapping[str, set[str]] = field(default_factory=dict)
    libraries: str = "lib"
    prepared: Callable[[Path, str], None] = lambda _folder, _profile: None
    files: Callable[[str], tuple[str, ...]] = lambda _profile: ()


# A pattern for a message of lua-nginx-module before 0.10.28, and blocks for OpenResty before 1.13.6.2.
MESSAGE = "t/00-ipc.t: TEST 3: broadcast() runs event callback in protected mode"
OLD = (
    "t/08-purge.t: TEST 5: purge() is prevented if custom LRU does not support flush_all()",
    "t/10-ipc_shm.t: TEST 6: purge() with mlcache_shm invalidates other workers' LRU cache (OpenResty < 1.13.6.2)",
)
SORTED = """\
local names = {}
            for name in pairs(fields) do names[#names + 1] = name end
            table.sort(names)
            for _, k in ipairs(names) do local v = fields[k]"""
OWN_SERVER = """\
location /origin { content_by_lua_block { ngx.sleep(0.05) ngx.say("own") } }
    location /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/origin;"""


def in_order(folder: Path, _profile: str) -> None:
    """The suite wants an order of `pairs` that LuaJIT does not promise, and that differs from start to start."""
    edit(folder / "t/sanity.t", "for k, v in pairs(fields) do", SORTED)


def without_the_internet(folder: Path, profile: str) -> None:
    """A server of the suite's own stands for one of the internet; a connection to it takes 0 s, or 0.001."""
    edit(folder / "t/sanity.t", "location /t {\n        proxy_pass http://www.baidu.com/;", OWN_SERVER)
    edit(folder / "t/sanity.t", r"upstream_connect_time: 0\.\d+", r"upstream_connect_time: 0(?:\.\d+)?")
    if profile != "upstream":
        for name in ("sanity.t", "without_patch.t"):
            edit(folder / "t" / name, "    resolver ipv6=off local=on;\n", "")  # `local` is the bundle's


def slowly(folder: Path, _profile: str) -> None:
    """A block without a time limit of its own adds 1,500,000 keys, which takes longer than the 3 s of Test::Nginx."""
    title = "=== TEST 11: shm fragmentation\n"
    edit(folder / "t/sanity.t", title, f"{title}--- timeout: 120\n")


SUITES = (
    Suite(package="balancer", checks={"components": (66, 0, 0), "upstream": (66, 0, 0), "embedded": (66, 0, 0)}),
    Suite(
        package="cookie", libraries="resty", prepared=in_order,
        checks={"components": (66, 0, 0), "upstream": (66, 0, 0), "embedded": (66, 0, 0)},
    ),
    Suite(
        # The release has `ref_obj` and `memo` where nginx says --with-debug: the parts, not the bundle. Ours never has.
        package="lua-resty-lock", checks={"components": (84, 0, 0), "upstream": (66, 0, 18), "embedded": (66, 18, 0)},
        failing={"embedded": {
            "t/sanity.t: TEST 9: ref & unref (1 at most)", "t/sanity.t: TEST 10: ref & unref (2 at most)",
            "t/sanity.t: TEST 12: same shdict, multple locks",
        }},
    ),
    Suite(
        package="worker-events", prepared=slowly,
        checks={"components": (51, 0, 0), "upstream": (51, 0, 0), "embedded": (51, 0, 0)},
    ),
    Suite(
        package="lua-var-nginx-module", prepared=without_the_internet,
        checks={"components": (112, 0, 0), "upstream": (124, 0, 0), "embedded": (112, 0, 0)},
        # nginx from parts has no Lua in layer 4
        files=lambda profile: () if profile == "upstream" else ("t/sanity.t", "t/without_patch.t"),
    ),
    Suite(
        package="mlcache", checks={"components": (884, 3, 0), "upstream": (880, 1, 6), "embedded": (884, 3, 0)},
        failing={"components": {MESSAGE, *OLD}, "upstream": {MESSAGE}, "embedded": {MESSAGE, *OLD}},
    ),
)


@pytest.fixture(scope="module")
def embedded(project: Path) -> str:
    """The default profile, for which its caller has an image."""
    if not IMAGE:
        pytest.skip("BUILDER_TEST_IMAGE does not name the folder of a built image")
    ok(project, "build", "gateway-test", "--profile", "embedded")
    return "embedded"


@pytest.fixture(params=SUITES, ids=[each.package for each in SUITES])
def suite(request: pytest.FixtureRequest) -> Suite:
    found: Suite = request.param
    need(forge.LAYOUTS[found.package][0])
    return found


def test_the_suite_of_a_release_passes(suite: Suite, profile: str, project: Path, tmp_path: Path) -> None:
    the_suite_gives_what_is_known(suite, profile, project, tmp_path)


def test_the_suite_of_a_release_passes_on_the_libraries_of_this_repository(
    suite: Suite, embedded: str, project: Path, tmp_path: Path
) -> None:
    the_suite_gives_what_is_known(suite, embedded, project, tmp_path)


def the_suite_gives_what_is_known(suite: Suite, profile: str, project: Path, folder: Path) -> None:
    name, top, _ = forge.LAYOUTS[suite.package]
    with tarfile.open(ARCHIVES / name) as file:
        file.extractall(folder, filter="data")
    shutil.rmtree(folder / top / suite.libraries)
    suite.prepared(folder / top, profile)
    files = [str(folder / top / each) for each in suite.files(profile)]
    found = outcome(project, profile, "--limit", "900", "--suite", str(folder / top / "t"), *files)
    known = suite.checks[profile], suite.failing.get(profile, set())
    assert (found.checks, set(found.failing)) == known, found.failing
