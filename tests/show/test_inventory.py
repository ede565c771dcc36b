"""What `builder list` shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locks import make_lock
from msgspec.structs import replace

from builder.base import digest
from builder.build.build import StoreView
from builder.lock.lock import Lock, LockedOutput
from builder.plan.plan import Graph, Plan
from builder.show import inventory
from builder.show.inventory import Row
from builder.store import Store

PLATFORM = "x86_64-linux-musl"
ABSENT = digest.of_bytes(b"absent")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def key_of(name: str) -> str:
    return digest.of_bytes(name.encode())


def plan_of(lock: Lock, store: Store, platform: str = PLATFORM) -> Plan:
    """A plan whose keys are made of the packages' names alone; outputs are those that the lock pins for them."""
    graph = Graph.of(lock.in_profile("embedded"), lock.targets(lock.images[0]))
    plan = Plan(graph=graph, recipes={}, host_platform=platform, source_tree=lambda *_: "", known=StoreView(store))
    for name, package in graph.packages.items():
        plan.keys[name] = key_of(package.name)
        plan.look_up(name)
    return plan


def rows(lock: Lock, store: Store, platform: str = PLATFORM) -> list[Row]:
    return inventory.rows(plan_of(lock, store, platform), lock, lock.images[0], store)


def with_outputs(lock: Lock, name: str, key: str = "", **trees: str) -> Lock:
    pin = {PLATFORM: LockedOutput(key=key or key_of(name), trees=trees)}
    return replace(lock, packages=tuple(replace(each, outputs=pin) if each.name == name else each for each in lock.packages))


def only(*names: str) -> Lock:
    return make_lock({f"{name} 1": ([], []) for name in names}, packages=[f"{name} 1" for name in names], base=[])


def test_roles(store: Store) -> None:
    found = rows(make_lock(), store)
    assert [(row.role, row.package, row.version, row.state, row.size) for row in found] == [
        ("image", "nginx", "1.26.3", "absent", None),
        ("image", "openresty", "1", "absent", None),
        ("image", "openssl", "3.5.7", "absent", None),
        ("image", "pcre2", "10.46", "absent", None),
        ("image", "zlib", "1.3.1", "absent", None),
        ("base", "musl", "1.2.5", "absent", None),
        ("build", "module", "1", "absent", None),
        ("build", "toolset", "1", "absent", None),
        ("build", "zig", "0.17.1", "absent", None),
    ]


def test_what_the_base_brings_is_not_the_images(store: Store) -> None:
    lock = make_lock({"app 1": (["libc 1"], []), "libc 1": ([], [])}, packages=["app 1"], base=["libc 1"])
    assert [(row.package, row.role) for row in rows(lock, store)] == [("app", "image"), ("libc", "base")]


def test_states_and_sizes(store: Store) -> None:
    with store.stage() as stage:
        folder = Path(stage, "tree")
        (folder / "usr/lib").mkdir(parents=True)
        (folder / "usr/lib/libz.so").write_bytes(b"x" * 1500)
        (folder / "usr/lib/libz.so.1").symlink_to("libz.so")
        (folder / "usr/zlib.h").write_bytes(b"h" * 20)
        tree = store.add_tree(str(folder))
    lock = only("zlib", "half", "gone", "old")
    lock = with_outputs(lock, "zlib", out=tree)
    lock = with_outputs(lock, "half", out=tree, dev=ABSENT)
    lock = with_outputs(lock, "gone", out=ABSENT)
    lock = with_outputs(lock, "old", key=key_of("another recipe"), out=tree)
    found = rows(lock, store)
    states = [(row.package, row.state, row.size) for row in found]
    assert states == [("gone", "pinned", None), ("half", "built", 1520), ("old", "stale", None), ("zlib", "built", 1520)]
    assert found[3].as_dict() == {"package": "zlib", "version": "1", "role": "image", "state": "built", "size": 1520}


def test_what_another_process_builds(store: Store) -> None:
    lock = with_outputs(only("zlib"), "zlib", key=key_of("another recipe"), out=ABSENT)
    with store.lock_key(key_of("zlib")):
        assert rows(lock, store)[0].state == "building"
    assert rows(lock, store)[0].state == "stale"


def test_what_needs_something_that_is_not_built_is_stale(store: Store) -> None:
    lock = with_outputs(only("zlib"), "zlib", out=ABSENT)
    plan = plan_of(lock, store)
    del plan.keys["zlib 1"], plan.trees["zlib 1"]
    assert inventory.state(plan, "zlib 1", store) == "stale"
    plan.unmeasured.add("zlib 1")
    assert inventory.state(plan, "zlib 1", store) == "pinned"


def test_an_output_for_another_platform_is_none(store: Store) -> None:
    lock = with_outputs(only("zlib"), "zlib", out=digest.of_bytes(b""))
    assert rows(lock, store, "aarch64-linux-musl")[0].state == "absent"


def test_the_table() -> None:
    found = [
        Row(package="openresty", version="1", role="image", state="built", size=14_200_000),
        Row(package="zig", version="0.17.1", role="build", state="stale", size=None),
    ]
    assert inventory.table(found) == (
        "package    version  role   state       size\n"
        "openresty  1        image  built    14.2 MB\n"
        "zig        0.17.1   build  stale"
    )


def test_the_table_of_nothing() -> None:
    assert inventory.table([]) == "package  version  role  state       size"
