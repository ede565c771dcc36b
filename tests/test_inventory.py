"""What `builder list` shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import make_lock

from builder import digest, inventory
from builder.inventory import Row
from builder.lock import Lock, LockedOutput
from builder.store import Store

PLATFORM = "x86_64-linux-musl"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


def rows(lock: Lock, store: Store) -> list[Row]:
    return inventory.rows(lock, lock.images[0], store, PLATFORM)


def with_outputs(lock: Lock, name: str, **trees: str) -> Lock:
    from dataclasses import replace  # noqa: PLC0415 - one use

    pin = {PLATFORM: LockedOutput(key=digest.of_bytes(name.encode()), trees=trees)}
    return replace(lock, packages=tuple(replace(each, outputs=pin) if each.name == name else each for each in lock.packages))


def test_roles(store: Store) -> None:
    found = rows(make_lock(), store)
    assert [(row.role, row.package, row.version, row.state, row.size) for row in found] == [
        ("image", "nginx", "1.26.3", "open", None),
        ("image", "openresty", "1", "open", None),
        ("image", "openssl", "3.5.7", "open", None),
        ("image", "pcre2", "10.46", "open", None),
        ("image", "zlib", "1.3.1", "open", None),
        ("base", "musl", "1.2.5", "open", None),
        ("build", "module", "1", "open", None),
        ("build", "toolset", "1", "open", None),
        ("build", "zig", "0.17.1", "open", None),
    ]


def test_what_the_base_brings_is_not_the_images(store: Store) -> None:
    lock = make_lock({"app 1": (["libc 1"], []), "libc 1": ([], [])}, packages=["app 1"], base=["libc 1"])
    assert [(row.package, row.role) for row in rows(lock, store)] == [("app", "image"), ("libc", "base")]


def test_states_and_sizes(store: Store, tmp_path: Path) -> None:
    with store.stage() as stage:
        folder = Path(stage, "tree")
        (folder / "usr/lib").mkdir(parents=True)
        (folder / "usr/lib/libz.so").write_bytes(b"x" * 1500)
        (folder / "usr/lib/libz.so.1").symlink_to("libz.so")
        (folder / "usr/zlib.h").write_bytes(b"h" * 20)
        tree = store.add_tree(str(folder))
    absent = digest.of_bytes(b"absent")
    lock = make_lock({"zlib 1": ([], []), "half 1": ([], []), "gone 1": ([], [])}, packages=["zlib 1", "half 1", "gone 1"], base=[])
    lock = with_outputs(lock, "zlib", out=tree)
    lock = with_outputs(lock, "half", out=tree, dev=absent)
    lock = with_outputs(lock, "gone", out=absent)
    found = rows(lock, store)
    states = [(row.package, row.state, row.size) for row in found]
    assert states == [("gone", "pinned", None), ("half", "pinned", None), ("zlib", "built", 1520)]
    assert found[2].as_dict() == {"package": "zlib", "version": "1", "role": "image", "state": "built", "size": 1520}


def test_an_output_for_another_platform_is_none(store: Store) -> None:
    lock = with_outputs(make_lock({"zlib 1": ([], [])}, packages=["zlib 1"], base=[]), "zlib", out=digest.of_bytes(b""))
    assert inventory.rows(lock, lock.images[0], store, "aarch64-linux-musl")[0].state == "open"


def test_the_table() -> None:
    found = [
        Row(package="openresty", version="1", role="image", state="built", size=14_200_000),
        Row(package="zig", version="0.17.1", role="build", state="open", size=None),
    ]
    assert inventory.table(found) == (
        "package    version  role   state       size\n"
        "openresty  1        image  built    14.2 MB\n"
        "zig        0.17.1   build  open"
    )


def test_the_table_of_nothing() -> None:
    assert inventory.table([]) == "package  version  role  state       size"
