"""Locks and graphs that tests make from a table of packages and their needs."""

from collections.abc import Iterable, Mapping

from builder.lock.lock import Lock, LockedImage, LockedPackage
from builder.show import graph

Spec = Mapping[str, tuple[Iterable[str], Iterable[str]]]  # id -> requires, build-requires

SPEC: Spec = {
    "nginx 1.26.3": (["openssl 3.5.7", "pcre2 10.46", "zlib 1.3.1"], ["module 1", "toolset 1"]),
    "openssl 3.5.7": (["zlib 1.3.1"], ["toolset 1"]),
    "pcre2 10.46": ([], ["toolset 1"]),
    "zlib 1.3.1": ([], ["toolset 1"]),
    "module 1": ([], []),
    "musl 1.2.5": ([], ["toolset 1"]),
    "toolset 1": (["zig 0.17.1"], []),
    "zig 0.17.1": ([], []),
    "openresty 1": (["nginx 1.26.3"], []),
}


def make_lock(
    spec: Spec = SPEC, image: str = "openresty", packages: Iterable[str] = ("openresty 1",),
    base: Iterable[str] = ("musl 1.2.5",),
) -> Lock:
    """A lock of one image in the profile "embedded", without sources and outputs."""
    locked = []
    for each, (requires, build) in sorted(spec.items()):
        name, _, version = each.partition(" ")
        locked.append(LockedPackage(
            name=name, version=version, profiles=("embedded",), recipe="",
            requires=tuple(requires), build_requires=tuple(build),
        ))
    images = (LockedImage(name=image, profile="embedded", recipe="", packages=tuple(packages), base=tuple(base)),)
    return Lock(images=images, packages=tuple(locked))


def simple_graph(edges: Mapping[str, str]) -> graph.Needs:
    """A graph of packages "a 1" from {"a": "b c"}, without an image."""
    spec: Spec = {f"{who} 1": ([f"{what} 1" for what in needs.split()], []) for who, needs in edges.items()}
    lock = make_lock(spec, packages=(), base=())
    return graph.of(Lock(packages=lock.packages), "embedded")
