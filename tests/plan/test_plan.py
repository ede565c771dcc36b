"""The plan: what is known, what must be built, and which keys a change moves."""

from collections.abc import Iterable, Mapping

import pytest
from fakes import FakeStore
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Struct, field
from msgspec.structs import replace

from builder.base import digest
from builder.lock.lock import LockedOutput, LockedPackage
from builder.plan.plan import Graph, Plan, is_builtin, priorities
from builder.recipe.recipe import Recipe, Version
from builder.recipe.source import Source

PLATFORM = "x86_64-linux-musl"
STEPS: Mapping[str, object] = {"step": [{"name": "make", "run": "make"}]}


def tree(text: str) -> str:
    return digest.of_bytes(text.encode())


class World(Struct, frozen=True):
    """Packages "a 1" with recipes and sources; what a build gives is a function of its package's `marks`."""

    requires: Mapping[str, tuple[str, ...]]
    builds: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, str] = field(default_factory=dict)  # package -> mark of its source
    results: Mapping[str, str] = field(default_factory=dict)  # package -> mark of its output; default: the key
    pins: Mapping[str, LockedOutput] = field(default_factory=dict)

    def packages(self) -> dict[str, LockedPackage]:
        return {
            name: LockedPackage(
                name=name.split(" ")[0], version="1", profiles=("p",), recipe="", requires=self.requires[name],
                build_requires=self.builds[name], sources=(Source(locations=(f"https://x/{name}",)),),
                outputs={PLATFORM: self.pins[name]} if name in self.pins else {},
            )
            for name in self.requires
        }

    def recipes(self) -> dict[str, Recipe]:
        version = Version(version="1", style="script", build=STEPS)
        return {name.split(" ")[0]: Recipe(name=name.split(" ")[0], path="", digest="", versions=(version,)) for name in self.requires}

    def plan(self, store: FakeStore, *, enforce: bool = True, platform: str = PLATFORM) -> Plan:
        def source_tree(package: LockedPackage, _name: str) -> str:
            return tree(f"source of {package.id} {self.sources.get(package.id, '')}")

        plan = Plan(
            graph=Graph.of(self.packages(), self.requires), recipes=self.recipes(), host_platform=platform,
            source_tree=source_tree, known=store, enforce=enforce,
        )
        plan.advance()
        return plan

    def build(self, store: FakeStore, targets: Iterable[str], force: Iterable[str] = ()) -> tuple[Plan, list[str]]:
        """Realise what the plan says, one after another; the plan afterwards, and what was really built."""
        plan = self.plan(store)
        built = []
        needed = plan.to_build(targets, force=force)
        for name in [each for each in plan.graph.order if each in needed]:
            plan.derive(name)
            if plan.look_up(name) is not None and plan.present(name) and name not in force:
                continue
            built.append(name)
            mark = self.results.get(name, plan.keys[name])
            outputs = {"out": tree(f"out of {name} {mark}"), "dev": tree(f"dev of {name} {mark}")}
            store.records[plan.keys[name]] = plan.trees[name] = outputs
            store.trees.update(outputs.values())
        return plan, built

    def everything_after(self, name: str) -> set[str]:
        """Packages whose build sees `name`, or something that was built differently because of it."""
        plan = self.plan(FakeStore())
        found = {name}
        for each in plan.graph.order:
            if found & set(plan.visible(each)):
                found.add(each)
        return found - {name}


@st.composite
def worlds(draw: st.DrawFn, least: int = 1) -> World:
    count = draw(st.integers(least, 7))
    names = [f"{chr(97 + i)} 1" for i in range(count)]

    def some(i: int) -> tuple[str, ...]:
        return tuple(sorted(draw(st.sets(st.sampled_from(names[:i]), max_size=2)))) if i else ()

    return World(requires={name: some(i) for i, name in enumerate(names)}, builds={name: some(i) for i, name in enumerate(names)})


#   app -> lib -> base         app is built with tool, which needs lib2 at run time
CHAIN = World(
    requires={"app 1": ("lib 1",), "lib 1": ("base 1",), "base 1": (), "tool 1": ("lib2 1",), "lib2 1": ()},
    builds={"app 1": ("tool 1",), "lib 1": (), "base 1": (), "tool 1": (), "lib2 1": ()},
)


# ---- presence of each output


def built_chain() -> tuple[FakeStore, Plan]:
    store = FakeStore()
    plan, _ = CHAIN.build(store, ["app 1"])
    return store, plan


def test_a_tool_that_is_gone_is_not_built_for_what_is_known() -> None:
    store, plan = built_chain()
    for name in ("tool 1", "lib2 1", "base 1"):
        store.trees -= set(plan.trees[name].values())
    assert CHAIN.plan(store).to_build(["app 1"]) == {}


@pytest.mark.parametrize(("package", "output", "expected"), [
    ("app 1", "dev", []),  # the target's own development files: nothing is built on it
    ("tool 1", "dev", ["tool 1"]),
    ("lib2 1", "dev", []),  # seen through the tool only, so without development files
    ("lib2 1", "out", ["lib2 1"]),
])  # fmt: skip
def test_an_output_is_asked_for_where_it_is_seen(package: str, output: str, expected: list[str]) -> None:
    store, plan = built_chain()
    store.trees.discard(plan.trees[package][output])
    assert sorted(CHAIN.plan(store).to_build(["app 1"], force=["app 1"])) == sorted({"app 1", *expected})
    assert CHAIN.plan(store).to_build(["app 1"]) == {}


def test_the_inputs_of_a_build_elsewhere_are_asked_for_with_their_development_files() -> None:
    store, plan = built_chain()
    store.trees.discard(plan.trees["tool 1"]["dev"])
    assert CHAIN.plan(store).to_build(["app 1"]) == {}
    assert list(CHAIN.plan(store).to_build([], inputs_of=["app 1"])) == ["tool 1"]


# ---- graph


def test_a_graph_is_what_the_targets_need() -> None:
    packages = {**CHAIN.packages(), "other 1": LockedPackage(name="other", version="1", profiles=("p",), recipe="")}
    graph = Graph.of(packages, ["app 1"])
    assert sorted(graph.packages) == ["app 1", "base 1", "lib 1", "lib2 1", "tool 1"]
    assert sorted(Graph.of(packages, ["lib 1"]).packages) == ["base 1", "lib 1"]
    assert Graph.of(packages, []).order == ()


@given(world=worlds())
def test_requirements_come_first(world: World) -> None:
    graph = Graph.of(world.packages(), world.requires)
    assert sorted(graph.order) == sorted(world.requires)
    for place, name in enumerate(graph.order):
        assert {*world.requires[name], *world.builds[name]} <= set(graph.order[:place])


def test_a_closure_follows_run_time_requirements_only() -> None:
    graph = Graph.of(CHAIN.packages(), ["app 1"])
    assert graph.closure(["app 1"]) == ["app 1", "base 1", "lib 1"]
    assert graph.closure([]) == []


# ---- what a build sees


def test_a_build_sees_what_its_requirements_need_at_run_time() -> None:
    plan = CHAIN.plan(FakeStore())
    assert plan.visible("app 1") == ["base 1", "lib 1", "lib2 1", "tool 1"]
    assert plan.visible("lib 1") == ["base 1"]
    assert plan.visible("base 1") == []


def test_development_files_are_of_direct_requirements_only() -> None:
    plan, _ = CHAIN.build(FakeStore(), ["app 1"])
    assert [(each.package, each.output) for each in plan.inputs("app 1")] == [
        ("base 1", "out"), ("lib 1", "out"), ("lib 1", "dev"), ("lib2 1", "out"), ("tool 1", "out"), ("tool 1", "dev"),
    ]


def test_an_output_that_a_package_does_not_have_is_not_seen() -> None:
    plan = CHAIN.plan(FakeStore())
    plan.trees["base 1"] = {"out": tree("x"), "debug": tree("y")}
    assert [(each.package, each.output, each.tree) for each in plan.inputs("lib 1")] == [("base 1", "out", tree("x"))]


def test_sources_of_other_platforms_do_not_count() -> None:
    package = LockedPackage(name="a", version="1", profiles=("p",), recipe="", sources=(
        Source(name="main"), Source(name="x", platform=PLATFORM), Source(name="x", platform="aarch64-linux-musl"),
    ))
    recipe = World(requires={"a 1": ()}, builds={"a 1": ()}).recipes()
    plan = Plan(
        graph=Graph.of({"a 1": package}, ["a 1"]), recipes=recipe, host_platform=PLATFORM,
        source_tree=lambda _, name: tree(name), known=FakeStore(),
    )
    assert plan.derive("a 1").sources == {"main": tree("main"), "x": tree("x")}
    assert plan.derive("a 1") is plan.derive("a 1")


def test_the_version_of_what_a_provider_stands_for() -> None:
    """A module that asks for nginx, in a profile where openresty provides it."""
    world = World(requires={"openresty 1": (), "module 1": ("openresty 1",)}, builds={"openresty 1": (), "module 1": ()})
    module = Version(version="1", style="script", build={"step": [{"name": "make", "run": "make NGINX=${nginx.version}"}]})
    openresty = Version(version="1", style="script", build=STEPS, provides={"nginx": "1.27.1"})
    recipes = {
        name: Recipe(name=name, path="", digest="", versions=(version,)) for name, version in (("module", module), ("openresty", openresty))
    }
    plan = replace_recipes(world.plan(FakeStore()), recipes)
    plan.trees["openresty 1"] = {"out": tree("openresty")}
    assert [each.run for each in plan.derive("module 1").steps] == ["make NGINX=1.27.1"]


def replace_recipes(plan: Plan, recipes: Mapping[str, Recipe]) -> Plan:
    return Plan(graph=plan.graph, recipes=recipes, host_platform=PLATFORM, source_tree=plan.source_tree, known=plan.known)


# ---- how far it gets


def test_nothing_known() -> None:
    plan = CHAIN.plan(FakeStore())
    assert (sorted(plan.keys), plan.trees) == (["base 1", "lib2 1"], {})
    assert plan.to_build(["app 1"]) == {
        "app 1": ("base 1", "lib 1", "lib2 1", "tool 1"), "lib 1": ("base 1",), "base 1": (), "tool 1": ("lib2 1",), "lib2 1": (),
    }


@settings(max_examples=60)
@given(world=worlds())
def test_everything_known(world: World) -> None:
    store = FakeStore()
    first, built = world.build(store, world.requires)
    assert sorted(built) == sorted(world.requires)
    plan = world.plan(store)
    assert plan.keys == first.keys
    assert plan.trees == first.trees
    assert plan.to_build(world.requires) == {}


def test_a_plan_needs_no_trees_on_this_machine() -> None:
    """Records alone key everything; only what is asked for must be there."""
    store = FakeStore()
    first, _ = CHAIN.build(store, ["app 1"])
    store.trees = set(first.trees["app 1"].values())
    plan = CHAIN.plan(store)
    assert plan.keys == first.keys
    assert plan.to_build(["app 1"]) == {}
    assert sorted(plan.to_build(["lib 1"])) == ["base 1", "lib 1"]


@settings(max_examples=80)
@given(world=worlds(), data=st.data())
def test_what_is_built_is_the_least(world: World, data: st.DataObject) -> None:
    """After some trees were lost: nothing that is there is built again, and what is built is needed for a target."""
    store = FakeStore()
    first, _ = world.build(store, world.requires)
    names = sorted(world.requires)
    lost = data.draw(st.sets(st.sampled_from(names)))
    store.trees -= {each for name in lost for each in first.trees[name].values()}
    targets = data.draw(st.sets(st.sampled_from(names)))
    plan = world.plan(store)
    needed = plan.to_build(targets)
    assert set(needed) <= lost
    expected = set(targets & lost)
    for name in reversed(plan.graph.order):  # who needs comes before what is needed
        if name in expected:
            expected |= lost & set(plan.visible(name))
    assert set(needed) == expected
    assert all(set(before) == set(plan.visible(name)) & set(needed) for name, before in needed.items())
    assert sorted(world.build(store, targets)[1]) == sorted(expected)
    assert all(map(world.plan(store).present, targets))


def test_one_lost_output_of_several_is_enough() -> None:
    store = FakeStore()
    first, _ = CHAIN.build(store, ["app 1"])
    store.trees.remove(first.trees["app 1"]["out"])
    assert CHAIN.plan(store).to_build(["app 1"]) == {"app 1": ()}


def test_what_is_forced_is_built_although_it_is_there() -> None:
    store = FakeStore()
    CHAIN.build(store, ["app 1"])
    assert CHAIN.plan(store).to_build(["app 1"], force=["app 1"]) == {"app 1": ()}
    assert CHAIN.plan(store).to_build(["app 1"], force=["base 1"]) == {}


# ---- early cutoff


@settings(max_examples=80)
@given(world=worlds(), data=st.data())
def test_the_same_output_changes_nothing_after_it(world: World, data: st.DataObject) -> None:
    names = sorted(world.requires)
    changed = data.draw(st.sampled_from(names))
    world = replace(world, results={changed: "always the same"})
    store = FakeStore()
    first, _ = world.build(store, names)
    second, built = replace(world, sources={changed: "new"}).build(store, names)
    assert built == [changed]
    assert {name for name in names if first.keys[name] != second.keys[name]} == {changed}
    assert first.trees == second.trees


@settings(max_examples=80)
@given(world=worlds(), data=st.data())
def test_another_output_changes_everything_after_it_and_nothing_else(world: World, data: st.DataObject) -> None:
    names = sorted(world.requires)
    changed = data.draw(st.sampled_from(names))
    store = FakeStore()
    first, _ = world.build(store, names)
    second, built = replace(world, sources={changed: "new"}).build(store, names)
    expected = {changed, *world.everything_after(changed)}
    assert set(built) == expected
    assert {name for name in names if first.keys[name] != second.keys[name]} == expected


@settings(max_examples=60)
@given(world=worlds(least=2), data=st.data())
def test_a_change_and_back_builds_nothing(world: World, data: st.DataObject) -> None:
    names = sorted(world.requires)
    changed = data.draw(st.sampled_from(names))
    store = FakeStore()
    first, _ = world.build(store, names)
    replace(world, sources={changed: "new"}).build(store, names)
    again, built = world.build(store, names)
    assert (built, again.keys) == ([], first.keys)


# ---- the lock's outputs


def pinned(world: World, plan: Plan) -> World:
    return replace(world, pins={name: LockedOutput(key=plan.keys[name], trees=plan.trees[name]) for name in plan.keys})


@settings(max_examples=60)
@given(world=worlds())
def test_a_lock_with_outputs_keys_everything_without_a_store(world: World) -> None:
    first, _ = world.build(FakeStore(), world.requires)
    empty = FakeStore()
    plan = pinned(world, first).plan(empty)
    assert (plan.keys, plan.trees, empty.asked) == (first.keys, first.trees, [])
    assert plan.locked(plan.graph.order[-1]) == first.trees[plan.graph.order[-1]]
    assert sorted(plan.to_build(world.requires)) == sorted(world.requires)  # known, but not here


def test_the_lock_wins_over_the_store() -> None:
    store = FakeStore()
    first, _ = CHAIN.build(store, ["app 1"])
    store.records[first.keys["base 1"]] = {"out": tree("another build")}
    assert pinned(CHAIN, first).plan(store).trees["base 1"] == first.trees["base 1"]


def test_a_pin_for_another_key_is_out_of_date() -> None:
    first, _ = CHAIN.build(FakeStore(), ["app 1"])
    plan = replace(pinned(CHAIN, first), sources={"base 1": "new"}).plan(FakeStore())
    assert plan.locked("base 1") is None
    assert "base 1" not in plan.trees
    assert plan.trees["lib2 1"] == first.trees["lib2 1"]


def test_pins_of_another_platform_do_not_count() -> None:
    first, _ = CHAIN.build(FakeStore(), ["app 1"])
    plan = pinned(CHAIN, first).plan(FakeStore(), platform="aarch64-linux-musl")
    assert plan.trees == {}


def test_pins_can_be_left_out_of_account() -> None:
    first, _ = CHAIN.build(FakeStore(), ["app 1"])
    plan = pinned(CHAIN, first).plan(FakeStore(), enforce=False)
    assert (plan.trees, plan.locked("base 1")) == ({}, None)


# ---- priorities


def test_the_longest_chain_goes_first() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",), "e": ()}
    seconds = {"a": 1.0, "b": 10.0, "c": 5.0, "d": 2.0, "e": 3.0}
    assert priorities(needs, seconds.__getitem__) == {"a": 16.0, "b": 15.0, "c": 5.0, "d": 2.0, "e": 3.0}
    assert priorities({}, seconds.__getitem__) == {}


@given(world=worlds(), data=st.data())
def test_a_priority_is_its_own_time_and_the_most_of_what_waits_for_it(world: World, data: st.DataObject) -> None:
    needs = world.plan(FakeStore()).to_build(world.requires)
    assume(needs)
    seconds = {name: float(data.draw(st.integers(0, 5))) for name in needs}
    found = priorities(needs, seconds.__getitem__)
    for name in needs:
        assert found[name] == seconds[name] + max((found[other] for other in needs if name in needs[other]), default=0.0)


@pytest.mark.parametrize(("style", "expected"), [("union", True), ("prebuilt", True), ("make", False), ("copy", False)])
def test_is_builtin(style: str, expected: bool) -> None:
    recipe = Recipe(name="a", path="", digest="", versions=(Version(version="1", style=style),))
    assert is_builtin(recipe, "1") is expected
    assert is_builtin(recipe, "2") is False
