"""Offline: no socket is opened, what was fetched is enough, and what is missing is told with how to bring it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

from integration import world
from integration.world import World

# bubblewrap speaks AF_NETLINK to set up the loopback interface of the namespace that it has just made
NETWORK = re.compile(r"socket\(AF_(?!UNIX|NETLINK)|connect\(.*AF_INET")
STRACE = ("strace", "-f", "-qq", "-s", "400", "-e", "trace=socket,connect,execve", "-o")


@pytest.fixture(scope="session")
def alone() -> tuple[str, ...]:
    """Words that start a command in a network namespace without interfaces."""
    words = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine makes no network namespace")
    return words


@pytest.fixture
def empty(here: World) -> World:
    """A machine with recipes and a lock, and nothing in its store."""
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    here.ok("build")
    shutil.rmtree(here.root / "out")
    return here.another("empty", tools=False)


@pytest.fixture
def archives(tools: World, tmp_path: Path) -> Iterator[Path]:
    """The archives of the tool set, by name."""
    folder = tmp_path / "archives"
    fetched = World(tools.root, tmp_path / "fetched")
    world.link(tools.store_path, fetched.store_path, archives=True)
    answer = fetched.ok("fetch", "--all", "--offline", "--to", str(folder))
    assert answer.out.startswith("10 sources are here, verified (")
    yield folder


def sources(of: World) -> list[dict[str, str]]:
    """Every source of the lock, with the package that it is of and its only location."""
    packages = tomli.loads(of.lock.read_text())["package"]
    pairs = [(f"{each['name']} {each['version']}", source) for each in packages for source in each.get("source", [])]
    return [{**source, "id": name, "location": source["locations"][0]} for name, source in pairs]


def test_a_build_from_brought_archives_needs_no_network(empty: World, archives: Path, alone: tuple[str, ...]) -> None:
    answer = empty.ok("build", "--offline", "--locked", "--distdir", str(archives), before=alone)
    assert "one 1" in answer.built()
    assert "toolset 1" in answer.built()
    assert empty.damage() == []
    again = empty.ok("build", "--offline", "--locked", "--distdir", str(archives), before=alone)
    assert (again.out, again.err) == (answer.out, "")


def test_archives_are_found_by_hash_too(empty: World, archives: Path, alone: tuple[str, ...]) -> None:
    for source in sources(empty):
        (archives / source["location"].rsplit("/", 1)[1]).rename(archives / source["sha256"])
    assert "one 1" in empty.ok("build", "--offline", "--distdir", str(archives), before=alone).built()


def test_what_was_fetched_is_enough(empty: World, archives: Path, alone: tuple[str, ...]) -> None:
    fetched = empty.ok("fetch", "--offline", "--distdir", str(archives), before=alone)
    assert fetched.out.startswith("10 sources are here, verified (")
    shutil.rmtree(archives)
    assert "one 1" in empty.ok("build", "--offline", before=alone).built()


def test_all_that_is_missing_is_told_at_once(empty: World, alone: tuple[str, ...]) -> None:
    answer = empty.run("build", "--offline", before=alone)
    lines = ["builder: 10 sources missing, and --offline allows no fetching:"]
    for source in sorted(sources(empty), key=lambda each: each["id"]):
        location = source["location"]
        lines += [
            f"{source['id']}: {location.rsplit('/', 1)[1]}", f"  size    {source['size']} bytes", f"  sha256  {source['sha256']}",
            f"  tree    {source['tree']}", f"  from    {location}",
        ]  # fmt: skip
    lines += [
        "  next: run `builder fetch` where there is a network, or bring the files: put each into a directory, under its name or its "
        "sha256, and give that with --distdir DIR",
        "",
    ]
    assert (answer.code, answer.out, answer.err) == (3, "", "\n".join(lines))
    assert not (empty.root / "out").exists()


def test_one_missing_source_is_the_only_one_told(empty: World, archives: Path) -> None:
    (path,) = archives.glob("dash_*.deb")
    path.unlink()
    answer = empty.run("build", "--offline", "--distdir", str(archives))
    assert answer.code == 3
    said = answer.err.partition("builder: ")[2]
    assert said.startswith("1 source missing, and --offline allows no fetching:\ndash 0.5.12-2: dash_0.5.12-2_amd64.deb\n")
    assert f"\n  {archives}: has no file '" in said


def test_a_damaged_archive_is_told_as_such(empty: World, archives: Path) -> None:
    (path,) = archives.glob("dash_*.deb")
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    answer = empty.run("build", "--offline", "--distdir", str(archives))
    assert answer.code == 3
    assert f"\n  {archives}: it is truncated: {len(data) - 100} of {len(data)} bytes\n" in answer.err
    assert empty.damage() == []


@pytest.mark.parametrize("words", ["build --offline", "fetch --offline", "build --offline --distdir ARCHIVES"])
def test_no_socket_is_opened(empty: World, archives: Path, tmp_path: Path, words: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace here")
    trace = tmp_path / "trace"
    argv = [str(archives) if word == "ARCHIVES" else word for word in words.split()]
    answer = empty.run(*argv, before=(*STRACE, str(trace)))
    assert answer.code == (0 if "ARCHIVES" in words else 3), answer.err
    calls = trace.read_text().splitlines()
    assert any("execve(" in line for line in calls)
    assert not [line for line in calls if NETWORK.search(line)]
    assert not [line for line in calls if "execve(" in line and ("apt" in line or "pip" in line)]


def test_online_with_everything_here_opens_no_socket_either(here: World, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace here")
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    trace = tmp_path / "trace"
    assert here.ok("build", before=(*STRACE, str(trace))).built() == ["one 1"]
    calls = trace.read_text().splitlines()
    assert any("bwrap" in line for line in calls)
    assert not [line for line in calls if NETWORK.search(line)]
