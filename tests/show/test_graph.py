"""The graph of needs: text, DOT, why, generations, cycles; and what it says about names it does not know."""

import pytest
from locks import SPEC, Spec, make_lock, simple_graph

from builder.base import order
from builder.base.errors import LockError, UsageError
from builder.show import graph
from builder.show.graph import Step


@pytest.fixture
def whole() -> graph.Needs:
    return graph.of(make_lock(), "embedded", "openresty")


def test_tree_shows_needs_once_at_their_shallowest_place(whole: graph.Needs) -> None:
    assert graph.tree(whole) == """\
image:openresty
├── openresty 1
│   └── nginx 1.26.3
│       ├── openssl 3.5.7
│       │   ├── zlib 1.3.1 (*)
│       │   └── toolset 1 (build) (*)
│       ├── pcre2 10.46
│       │   └── toolset 1 (build) (*)
│       ├── zlib 1.3.1
│       │   └── toolset 1 (build) (*)
│       ├── module 1 (build)
│       └── toolset 1 (build) (*)
└── musl 1.2.5 (base)
    └── toolset 1 (build)
        └── zig 0.17.1
"""


def test_tree_of_one_package_and_without_builds() -> None:
    runtime = graph.of(make_lock(), "embedded", "openresty", build=False)
    assert graph.tree(runtime, "openssl") == "openssl 3.5.7\n└── zlib 1.3.1\n"
    assert "toolset 1" not in runtime


def test_tree_of_a_chain_longer_than_pythons_stack() -> None:
    names = [f"p{n}" for n in range(3000)]
    chain = simple_graph(dict(zip(names, [*names[1:], ""], strict=True)))
    assert graph.tree(chain).count("\n") == 3000


def test_dot_is_sorted_and_quoted() -> None:
    spec: Spec = {'a"b\\ 1': (["c 1"], ["d 1"]), "c 1": ([], []), "d 1": ([], [])}
    found = graph.dot(graph.of(make_lock(spec, packages=['a"b\\ 1'], base=["c 1"]), "embedded", "openresty"))
    assert found == r'''digraph needs {
  rankdir=LR;
  node [shape=box, fontname="sans-serif"];
  "a\"b\\ 1";
  "c 1";
  "d 1";
  "image:openresty" [shape=folder];
  "a\"b\\ 1" -> "c 1";
  "a\"b\\ 1" -> "d 1" [style=dashed];
  "image:openresty" -> "a\"b\\ 1";
  "image:openresty" -> "c 1" [style=dotted];
}
'''


def test_a_runtime_need_is_not_shown_as_a_build_need_too() -> None:
    found = graph.of(make_lock({"a 1": (["b 1"], ["b 1"]), "b 1": ([], [])}, packages=["a 1"], base=[]), "embedded")
    assert graph.kind_of(found, "a 1", "b 1") == graph.RUNTIME


def test_why_gives_all_shortest_chains(whole: graph.Needs) -> None:
    assert graph.why(whole, "nginx", "zig") == [
        (Step("nginx 1.26.3", "build", "toolset 1"), Step("toolset 1", "runtime", "zig 0.17.1")),
    ]
    diamond = simple_graph({"a": "b c", "b": "d", "c": "d", "d": ""})
    assert [[step.who for step in path] for path in graph.why(diamond, "a", "d")] == [["a 1", "b 1"], ["a 1", "c 1"]]


def test_why_for_people(whole: graph.Needs) -> None:
    assert graph.why_text(whole, "openresty", "zlib") == """\
image:openresty
  needs openresty 1
    needs nginx 1.26.3
      needs zlib 1.3.1
"""
    assert graph.why_text(whole, "openresty", "zig") == """\
image:openresty
  stands on musl 1.2.5
    needs to build toolset 1
      needs zig 0.17.1
"""
    assert graph.why_text(whole, "zlib", "nginx") == "zlib does not need nginx\n"


def test_why_stops_after_many_chains() -> None:
    edges = {"a": " ".join(f"m{n}" for n in range(50)), "z": ""} | {f"m{n}": "z" for n in range(50)}
    assert len(graph.why(simple_graph(edges), "a", "z")) == graph.MOST_PATHS


def test_names_of_packages_and_images(whole: graph.Needs) -> None:
    assert graph.find(whole, "openresty") == "openresty 1"
    assert graph.find(whole, "image:openresty") == "image:openresty"
    assert graph.find(whole, "zlib 1.3.1") == "zlib 1.3.1"
    gateway = graph.of(make_lock(image="gateway"), "embedded", "gateway")
    assert graph.find(gateway, "gateway") == "image:gateway"


@pytest.mark.parametrize(("name", "text"), [
    ("zlb", "there is no 'zlb' in the graph\n  next: did you mean 'zlib'?"),
    ("openssl 1.1.1w", "there is no 'openssl 1.1.1w' in the graph\n  next: it has 'openssl 3.5.7'"),
])
def test_unknown_names(whole: graph.Needs, name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        graph.find(whole, name)
    assert str(caught.value) == text


def test_a_name_with_two_versions_must_be_told_apart() -> None:
    two = graph.of(make_lock({"a 1": ([], []), "a 2": ([], [])}, packages=["a 1", "a 2"], base=[]), "embedded")
    with pytest.raises(UsageError) as caught:
        graph.find(two, "a")
    assert str(caught.value) == "'a' is in the graph more than once\n  next: say which: 'a 1', 'a 2'"


def test_why_of_a_thing_and_itself(whole: graph.Needs) -> None:
    with pytest.raises(UsageError) as caught:
        graph.why(whole, "zlib", "zlib 1.3.1")
    assert str(caught.value) == (
        "'zlib' and 'zlib 1.3.1' are the same: zlib 1.3.1\n  next: ask about two different things"
    )


def test_unknown_profile_and_image() -> None:
    with pytest.raises(UsageError) as caught:
        graph.of(make_lock(), "embeded")
    assert str(caught.value) == "the lock has no profile 'embeded'\n  next: did you mean 'embedded'?"
    with pytest.raises(UsageError) as caught:
        graph.of(make_lock(), "embedded", "gateway")
    assert str(caught.value) == (
        "the lock has no image 'gateway' in the profile 'embedded'\n  next: known here: openresty"
    )


def test_a_lock_that_names_what_it_does_not_hold() -> None:
    with pytest.raises(LockError) as caught:
        graph.of(make_lock({"a 1": (["b 1"], [])}, packages=["a 1"], base=[]), "embedded")
    assert str(caught.value) == (
        "lock.toml: a 1: needs 'b 1', which the profile 'embedded' does not hold\n  next: run `builder resolve`"
    )


def test_generations_hold_what_can_be_built_together(whole: graph.Needs) -> None:
    assert graph.generations(whole) == [
        ["module 1", "zig 0.17.1"],
        ["toolset 1"],
        ["musl 1.2.5", "pcre2 10.46", "zlib 1.3.1"],
        ["openssl 3.5.7"],
        ["nginx 1.26.3"],
        ["openresty 1"],
        ["image:openresty"],
    ]


def test_cycles_are_named_at_their_shortest() -> None:
    rings = simple_graph({"a": "b", "b": "c a", "c": "a", "d": "e", "e": "d", "f": "f", "g": "a"})
    assert order.cycles(rings) == [["a 1", "b 1"], ["d 1", "e 1"], ["f 1"]]
    with pytest.raises(LockError) as caught:
        graph.generations(rings)
    assert str(caught.value) == (
        "lock.toml: is a cycle: a 1 -> b 1 -> a 1\n"
        "lock.toml: is a cycle: d 1 -> e 1 -> d 1\n"
        "lock.toml: is a cycle: f 1 -> f 1\n"
        "  next: a package cannot need itself; correct the recipes and run `builder resolve`"
    )


def test_a_graph_of_one_image_leaves_out_what_it_does_not_need() -> None:
    spec = {**SPEC, "stranger 1": (["zlib 1.3.1"], [])}
    lock = make_lock(spec)
    assert "stranger 1" in graph.of(lock, "embedded")
    assert "stranger 1" not in graph.of(lock, "embedded", "openresty")


def test_tree_of_a_cycle_ends() -> None:
    assert graph.tree(simple_graph({"a": "b", "b": "a"})) == "a 1\n└── b 1\n    └── a 1 (*)\n"
