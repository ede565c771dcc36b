"""Version choice: best first, locked kept, conflicts explained; and against plain search on random recipes."""

import itertools
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver

from builder.base.errors import ConflictError
from builder.recipe import requirement
from builder.recipe.recipe import Feature, Recipe, Version
from builder.recipe.requirement import Requirement
from builder.resolve import resolver, search
from builder.resolve.state import Query, State, Universe

Versions = Mapping[str, Iterable[str]]  # version -> requirements, best first


def wants(texts: Iterable[str]) -> tuple[Requirement, ...]:
    return tuple(map(requirement.parse, texts))


def recipe(name: str, versions: Versions, *, tools: str = "", features: Versions | None = None, **more: object) -> Recipe:
    """A recipe; `more`: provides = {version: {package: version}}, own_style = versions with a style of their own."""
    provides: Mapping[str, Mapping[str, str]] = more.get("provides", {})  # type: ignore[assignment]
    own_style: Iterable[str] = more.get("own_style", ())  # type: ignore[assignment]
    return Recipe(
        name=name, path=f"recipes/{name}.toml", digest="", tools=tools,
        versions=tuple(
            Version(
                version=version, provides=provides.get(version, {}), own_style=version in own_style,
                requires=wants(each for each in texts if not each.startswith("build:")),
                build_requires=wants(each.removeprefix("build:") for each in texts if each.startswith("build:")),
            )
            for version, texts in versions.items()
        ),
        features={each: Feature(requires=wants(texts)) for each, texts in (features or {}).items()},
    )


def query(recipes: Mapping[str, Versions | Recipe], roots: Iterable[str] = ("a",), **more: Mapping[str, str]) -> Query:
    """A query; texts stand for requirements, constraints and features ("x,y")."""
    return Query(
        recipes={name: each if isinstance(each, Recipe) else recipe(name, each) for name, each in recipes.items()},
        roots=tuple(("image i", want) for want in wants(roots)), label="profile p",
        constraints={name: requirement.parse(f"{name} {each}") for name, each in more.get("constraints", {}).items()},
        providers=more.get("providers", {}), preferred=more.get("preferred", {}),
        features={name: tuple(each.split(",")) for name, each in more.get("features", {}).items()},
    )


def chosen(asked: Query) -> dict[str, str]:
    return {name: each.version for name, each in resolver.resolve(asked).packages.items()}


def conflict(asked: Query) -> str:
    with pytest.raises(ConflictError) as caught:
        resolver.resolve(asked)
    return str(caught.value)


def test_the_first_version_that_is_listed_is_taken() -> None:
    assert chosen(query({"a": {"1.0": ["b"], "2.0": []}, "b": {"v0.6": [], "v0.5.3": []}})) == {"b": "v0.6", "a": "1.0"}


def test_packages_come_after_what_they_need_with_edges_by_id() -> None:
    found = resolver.resolve(query({"a": {"1": ["c", "b", "build:d"]}, "b": {"1": ["d"]}, "c": {"2": []}, "d": {"3": []}}))
    assert list(found.packages) == ["d", "b", "c", "a"]
    assert found.roots == ("a 1",)
    assert found.packages["a"] == resolver.Chosen(name="a", version="1", requires=("b 1", "c 2"), build_requires=("d 3",))


def test_what_is_needed_at_run_time_is_not_listed_for_the_build_too() -> None:
    found = resolver.resolve(query({"a": {"1": ["b", "build:b"]}, "b": {"1": []}}))
    assert (found.packages["a"].requires, found.packages["a"].build_requires) == (("b 1",), ())


def test_tools_are_needed_by_the_build() -> None:
    recipes = {"a": recipe("a", {"1": []}, tools="sh"), "sh": recipe("sh", {"5": []}, tools="sh")}
    found = resolver.resolve(query(recipes))
    assert found.packages["a"].build_requires == ("sh 5",)
    assert found.packages["sh"].build_requires == ()


def test_requirements_and_constraints_select_from_the_list() -> None:
    openssl: Versions = {"3.5.7": [], "3.0.20": [], "1.1.1w": []}
    assert chosen(query({"a": {"1": ["b !3.5*"]}, "b": openssl}))["b"] == "3.0.20"
    assert chosen(query({"a": {"1": ["b"]}, "b": openssl}, constraints={"b": "1.*"}))["b"] == "1.1.1w"


def test_a_constraint_asks_for_nothing_by_itself() -> None:
    assert chosen(query({"a": {"1": []}, "b": {"1": []}}, constraints={"b": "1"})) == {"a": "1"}


def test_a_locked_version_is_kept_while_it_is_admitted() -> None:
    recipes: Mapping[str, Versions] = {"a": {"1": ["b !2"]}, "b": {"3": [], "2": [], "1": []}}
    assert chosen(query(recipes, preferred={"b": "1"}))["b"] == "1"
    assert chosen(query(recipes, preferred={"b": "2"}))["b"] == "3"
    assert chosen(query(recipes, preferred={"b": "0"}))["b"] == "3"


def test_what_follows_is_known_before_anything_is_chosen() -> None:
    """b is reached first, but the only version of c leaves b one version: no search is needed."""
    recipes: Mapping[str, Versions] = {"a": {"1": ["b", "c"]}, "b": {"2": [], "1": []}, "c": {"1": ["b 1"]}}
    state = State(Universe(query(recipes)))
    state.start()
    assert (state.domain["b"], state.open()) == (("1",), [])


def test_what_all_versions_of_a_package_need_is_known_before_one_is_chosen() -> None:
    recipes: Mapping[str, Versions] = {"a": {"2": ["c 1"], "1": ["c 1", "d"]}, "c": {"2": [], "1": []}, "d": {"1": []}}
    state = State(Universe(query(recipes)))
    state.start()
    assert state.domain == {"a": ("2", "1"), "c": ("1",)}


def test_the_greedy_choice_does_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "search", lambda *_: pytest.fail("searched"))
    assert chosen(query({"a": {"2": ["b"], "1": []}, "b": {"9": [], "8": []}})) == {"b": "9", "a": "2"}


def test_a_conflict_of_first_choices_is_searched_away() -> None:
    recipes: Mapping[str, Versions] = {"a": {"2": ["b 2", "c 2"], "1": ["c 2"]}, "b": {"2": ["c 1"]}, "c": {"2": [], "1": []}}
    assert chosen(query(recipes)) == {"c": "2", "a": "1"}


def test_first_roots_keep_their_best_version_when_not_all_can() -> None:
    recipes: Mapping[str, Versions] = {"a": {"2": [], "1": []}, "b": {"2": ["a 1"], "1": []}}
    assert chosen(query(recipes, ["a", "b"])) == {"a": "2", "b": "1"}
    assert chosen(query(recipes, ["b", "a"])) == {"a": "1", "b": "2"}


def test_what_is_locked_stays_and_what_is_new_gives_way() -> None:
    recipes: Mapping[str, Versions] = {"a": {"2": [], "1": []}, "b": {"2": ["a 1"], "1": []}}
    assert chosen(query(recipes, ["b", "a"], preferred={"a": "2"})) == {"a": "2", "b": "1"}


def test_a_locked_package_that_is_only_reached_through_a_choice_stays_too() -> None:
    recipes: Mapping[str, Versions] = {"b": {"3": ["c"], "2": ["a"], "1": []}, "c": {"1": ["a 1"]}, "a": {"2": [], "1": []}}
    assert chosen(query(recipes, ["b"], preferred={"a": "2"})) == {"a": "2", "b": "2"}


def test_what_cannot_stay_locked_moves_and_the_rest_stays() -> None:
    recipes: Mapping[str, Versions] = {"a": {"3": [], "2": [], "1": []}, "b": {"2": [], "1": []}, "c": {"1": ["a !1"]}}
    assert chosen(query(recipes, ["a", "b", "c"], preferred={"a": "1", "b": "1"})) == {"a": "3", "b": "1", "c": "1"}


def test_a_search_ends_at_the_best_choices_in_order() -> None:
    """Each of three packages can be best alone, and greedy choices of the first two leave the third nothing."""
    recipes: Mapping[str, Versions] = {
        "a": {"2": ["x"], "1": []}, "b": {"2": ["y"], "1": []}, "c": {"2": ["z 1"], "1": ["z 2"]},
        "x": {"2": ["z 1"], "1": ["z 2"]}, "y": {"2": ["z 2"]}, "z": {"1": [], "2": []},
    }
    assert chosen(query(recipes, ["a", "b", "c"])) == {"a": "2", "b": "2", "c": "1", "x": "1", "y": "2", "z": "2"}


# ---- features


def test_features_of_all_who_ask_are_joined_and_their_requirements_follow() -> None:
    nginx = recipe("nginx", {"1": ["z"]}, features={"lua": ["luajit"], "debug": [], "more": ["gone"]})
    recipes: Mapping[str, Versions | Recipe] = {
        "a": {"1": ["nginx[lua]", "b"]}, "b": {"1": ["nginx[debug]"]}, "nginx": nginx, "z": {"1": []}, "luajit": {"2": []},
    }
    found = resolver.resolve(query(recipes)).packages
    assert found["nginx"] == resolver.Chosen(name="nginx", version="1", features=("debug", "lua"), requires=("luajit 2", "z 1"))


def test_a_profile_turns_features_on() -> None:
    nginx = recipe("nginx", {"1": []}, features={"lua": ["luajit"]})
    found = resolver.resolve(query({"nginx": nginx, "luajit": {"2": []}}, ["nginx"], features={"nginx": "lua"})).packages
    assert (found["nginx"].features, list(found)) == (("lua",), ["luajit", "nginx"])


def test_a_version_that_is_built_in_its_own_way_has_no_features() -> None:
    nginx = recipe("nginx", {"bundle": [], "2": [], "1": []}, features={"lua": []}, own_style=["bundle"])
    assert chosen(query({"nginx": nginx}, ["nginx"])) == {"nginx": "bundle"}
    assert chosen(query({"nginx": nginx}, ["nginx[lua]"])) == {"nginx": "2"}
    assert chosen(query({"nginx": nginx}, ["nginx"], features={"nginx": "lua"})) == {"nginx": "2"}


def test_a_search_finds_versions_whose_features_fit() -> None:
    """The first choice of a turns on a feature that needs what b forbids."""
    nginx = recipe("nginx", {"1": []}, features={"lua": ["luajit 1"], "more": []})
    recipes: Mapping[str, Versions | Recipe] = {
        "a": {"3": ["nginx[lua]"], "2": ["nginx[lua,more]"], "1": ["nginx[more]"]}, "b": {"1": ["luajit 2"]}, "nginx": nginx,
        "luajit": {"2": [], "1": []},
    }
    found = resolver.resolve(query(recipes, ["a", "b"]))
    assert {name: (each.version, each.features) for name, each in found.packages.items()} == {
        "nginx": ("1", ("more",)), "a": ("1", ()), "luajit": ("2", ()), "b": ("1", ()),
    }


# ---- providers


BUNDLE = recipe(
    "bundle", {"3": [], "2": ["core", "z"], "1": []},
    provides={"2": {"core": "0.1.31", "lua": "5"}, "1": {"core": "0.1.17", "lua": "5"}},
)


def test_a_provider_answers_with_the_version_that_it_carries() -> None:
    recipes: Mapping[str, Versions | Recipe] = {"a": {"1": ["core 0.1.3*"]}, "bundle": BUNDLE, "core": {"0.1.31": []}, "z": {"1": []}}
    found = resolver.resolve(query(recipes, providers={"core": "bundle"}))
    assert {name: each.version for name, each in found.packages.items()} == {"z": "1", "bundle": "2", "a": "1"}
    assert found.packages["a"].requires == ("bundle 2",)


def test_a_bundle_that_wants_what_it_carries_needs_nobody_for_it() -> None:
    found = resolver.resolve(query({"bundle": BUNDLE, "z": {"1": []}}, ["core"], providers={"core": "bundle"}))
    assert found.packages["bundle"].requires == ("z 1",)
    assert found.roots == ("bundle 2",)


def test_a_constraint_on_what_is_provided_selects_the_provider() -> None:
    asked = query({"bundle": BUNDLE}, ["core"], providers={"core": "bundle"}, constraints={"core": "0.1.17"})
    assert chosen(asked) == {"bundle": "1"}


def test_without_the_provider_the_package_itself_is_taken() -> None:
    assert chosen(query({"bundle": BUNDLE, "core": {"9": []}}, ["core"])) == {"core": "9"}


def test_features_are_asked_of_the_provider() -> None:
    bundle = recipe("bundle", {"2": []}, features={"lua": []}, provides={"2": {"nginx": "1"}})
    found = resolver.resolve(query({"bundle": bundle}, ["nginx[lua]"], providers={"nginx": "bundle"}))
    assert found.packages["bundle"].features == ("lua",)


# ---- conflicts

OPENSSL: Versions = {"3.5.7": [], "3.0.20": [], "1.1.1w": []}


def test_a_conflict_names_the_chains_of_who_wants_what() -> None:
    recipes: Mapping[str, Versions] = {
        "gateway": {"1": ["openresty"]}, "openresty": {"1.19.9.1": ["openssl 1.1.1*", "zlib"]}, "openssl": OPENSSL,
        "zlib": {"1": ["openssl"]},
    }
    assert conflict(query(recipes, ["gateway"], constraints={"openssl": "3.5.*"})) == """\
profile p: no version of openssl satisfies all requirements:
  image i (profile p) -> gateway 1 -> openresty 1.19.9.1 wants openssl 1.1.1*
  profile p constrains openssl 3.5.*
versions known: 3.5.7, 3.0.20, 1.1.1w
  next: loosen one of these, or add a version to recipes/openssl.toml that all of them admit"""


def test_a_conflict_names_an_image_that_wants_it_itself_and_counts_who_want_the_same() -> None:
    recipes: Mapping[str, Versions] = {"a": {"1": ["openssl 3.*"]}, "b": {"1": ["openssl 3.*"]}, "openssl": OPENSSL}
    assert conflict(query(recipes, ["a", "b", "openssl 1.*"])) == """\
profile p: no version of openssl satisfies all requirements:
  image i (profile p) wants openssl 1.*
  image i (profile p) -> a 1 wants openssl 3.*
versions known: 3.5.7, 3.0.20, 1.1.1w
  next: loosen one of these, or add a version to recipes/openssl.toml that all of them admit"""


def test_a_conflict_that_a_search_met_says_how_the_first_choice_fails() -> None:
    recipes: Mapping[str, Versions] = {"a": {"2": ["openssl 3.*"], "1": ["openssl 3.0*"]}, "b": {"1": ["openssl 1.*"]}, "openssl": OPENSSL}
    assert conflict(query(recipes, ["b", "a"])) == """\
profile p: no version of openssl satisfies all requirements:
  image i (profile p) -> b 1 wants openssl 1.*
  image i (profile p) -> a 2 wants openssl 3.*
versions known: 3.5.7, 3.0.20, 1.1.1w
that is how the first choice fails; none of the others works either
  next: loosen one of these, or add a version to recipes/openssl.toml that all of them admit"""


def test_a_conflict_over_a_provider_shows_what_it_carries() -> None:
    asked = query({"a": {"1": ["core 0.1.31"]}, "b": {"1": ["core 0.1.17"]}, "bundle": BUNDLE}, ["a", "b"], providers={"core": "bundle"})
    assert conflict(asked) == """\
profile p: no version of bundle satisfies all requirements:
  image i (profile p) -> a 1 wants core 0.1.31
  image i (profile p) -> b 1 wants core 0.1.17
versions known: 3, 2 (core 0.1.31), 1 (core 0.1.17)
  next: loosen one of these, or add a version to recipes/bundle.toml that all of them admit"""


def test_a_conflict_over_features_says_who_turns_them_on() -> None:
    nginx = recipe("nginx", {"1": []}, features={"lua": []}, own_style=["1"])
    assert conflict(query({"nginx": nginx}, ["nginx"], features={"nginx": "lua"})) == """\
profile p: no version of nginx satisfies all requirements:
  profile p turns on nginx[lua]
versions known: 1 (built in its own way, without features)
  next: loosen one of these, or add a version to recipes/nginx.toml that all of them admit"""


def test_what_only_others_provide_needs_a_choice_in_the_profile() -> None:
    assert conflict(query({"a": {"1": ["core"]}, "bundle": BUNDLE})) == """\
profile p: there is no recipe 'core':
  image i (profile p) -> a 1 wants core
  next: choose one in the profile: [providers] core = "bundle\""""


def test_versions_that_need_each_other_are_named() -> None:
    recipes: Mapping[str, Versions] = {"a": {"1": ["c"]}, "c": {"2": ["build:b"], "1": []}, "b": {"1": ["c"]}}
    assert conflict(query(recipes)) == (
        "profile p: these versions need each other: b 1 -> c 2 -> b 1\n"
        "  next: take one of these requirements out, or constrain one of these packages to another version"
    )
    assert chosen(query(recipes, constraints={"c": "1"})) == {"c": "1", "a": "1"}


def test_a_provider_that_its_parts_need_is_a_cycle() -> None:
    bundle = recipe("bundle", {"1": ["part"]}, provides={"1": {"core": "1"}})
    text = conflict(query({"bundle": bundle, "part": {"1": ["core"]}}, ["core"], providers={"core": "bundle"}))
    assert text.startswith("profile p: these versions need each other: bundle 1 -> part 1 -> bundle 1\n")


def test_a_search_is_bounded() -> None:
    recipes: dict[str, Versions] = {f"n{i}": {str(v): [f"z {v}"] for v in range(4)} for i in range(6)}
    recipes["z"] = {str(v): [f"y{v % 2} 1"] for v in range(4)} | {"9": []}
    recipes |= {"y0": {"1": ["x 1"]}, "y1": {"1": ["x 2"]}, "x": {"3": []}}
    asked = query(recipes, [f"n{i}" for i in range(6)])
    state = State(Universe(asked))
    state.start()
    with pytest.raises(search.NothingFoundError) as caught:
        search.search(state, max_rounds=2)
    assert str(caught.value) == "the search for another was given up after 2 rounds"


def test_a_search_that_was_given_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(_: State) -> dict[str, str]:
        raise search.NothingFoundError("the search for another was given up after 7 rounds")

    monkeypatch.setattr(search, "search", give_up)
    recipes: Mapping[str, Versions] = {"a": {"2": ["openssl 3.*"], "1": ["openssl 3.0*"]}, "openssl": OPENSSL}
    text = conflict(query({**recipes, "b": {"1": ["openssl 1*"]}}, ["b", "a"]))
    assert "that is how the first choice fails; the search for another was given up after 7 rounds\n" in text


# ---- against brute force and plain resolvelib


NAMES = ("a", "b", "c", "d")


def queries() -> st.SearchStrategy[Query]:
    """Small projects: requirements point from earlier names to later ones, so that there are no cycles.

    Read off bytes, which hypothesis draws and shrinks in one go.
    """
    return st.binary(min_size=96, max_size=96).map(_query_from)


def _query_from(data: bytes) -> Query:
    digits = itertools.chain(data, itertools.repeat(0))
    patterns = ("", "", " 1", " 2", " 3", " 1 | 2", " !1", " !3", " !2 !3")

    def below(limit: int) -> int:
        return next(digits) % limit

    def want(names: tuple[str, ...]) -> str:
        return names[below(len(names))] + ("[f]" if below(4) == 3 else "") + patterns[below(len(patterns))]

    recipes: dict[str, Recipe] = {}
    for number, name in enumerate(NAMES):
        later = NAMES[number + 1 :]
        order = list(itertools.permutations("123"))[below(6)][: 1 + below(3)]
        versions = {version: [want(later) for _ in range(below(3))] if later else [] for version in order}
        feature = [want(later)] if later and below(2) else []
        recipes[name] = recipe(name, versions, features={"f": feature}, own_style=order[:1] if below(4) == 3 else ())
    return query(
        recipes, [want(NAMES) for _ in range(1 + below(3))],
        constraints={NAMES[below(4)]: patterns[2 + below(7)] for _ in range(below(2))},
        features={NAMES[below(4)]: "f" for _ in range(below(2))},
        preferred={NAMES[below(4)]: "123"[below(3)] for _ in range(below(4))},
    )


def closure(asked: Query, picks: Mapping[str, str]) -> set[str] | None:
    """The packages that picks of every package need, or None when somebody is not satisfied. Written plainly, to compare."""
    on = {name: set(asked.features.get(name, ())) for name in picks}
    needed: set[str] = set()
    while True:
        before = (len(needed), sum(map(len, on.values())))
        edges = [want for _, want in asked.roots]
        for name in needed:
            found = asked.recipes[name].version(picks[name])
            assert found is not None
            if on[name] and found.own_style:
                return None
            parts: list[Version | Feature] = [found]
            parts += (asked.recipes[name].features[each] for each in on[name])
            edges += [want for part in parts for want in (*part.requires, *part.build_requires)]
        for want in edges:
            needed.add(want.name)
            on[want.name].update(want.features)
            if not want.admits(picks[want.name]):
                return None
        if (len(needed), sum(map(len, on.values()))) == before:
            return needed if all(asked.constraints[each].admits(picks[each]) for each in needed & set(asked.constraints)) else None


def solutions(asked: Query) -> list[dict[str, str]]:
    """All answers, by trying everything."""
    names = list(asked.recipes)
    found = []
    for versions in itertools.product(*([each.version for each in asked.recipes[name].versions] for name in names)):
        picks = dict(zip(names, versions, strict=True))
        needed = closure(asked, picks)
        if needed is not None:
            answer = {name: picks[name] for name in sorted(needed)}
            if answer not in found:
                found.append(answer)
    return found


@settings(max_examples=400)
@given(queries())
def test_an_answer_is_found_exactly_when_there_is_one(asked: Query) -> None:
    everything = solutions(asked)
    event(f"solutions: {min(len(everything), 2)}")
    try:
        found = resolver.resolve(asked)
    except ConflictError:
        assert everything == []
    else:
        assert dict(sorted((name, each.version) for name, each in found.packages.items())) in everything


@settings(max_examples=400)
@given(queries())
def test_when_best_versions_satisfy_everybody_they_are_the_answer(asked: Query) -> None:
    """Taking the first version that the constraints (then the lock) prefer of everything is an answer: then it is ours."""
    universe = Universe(asked)
    best = {name: versions[0] for name in asked.recipes if (versions := universe.versions(name))}
    if len(best) < len(asked.recipes):
        return
    needed = closure(asked, best)
    event(f"best is an answer: {needed is not None}")
    if needed is not None:
        assert chosen(asked) == {name: best[name] for name in chosen(asked)}
        assert set(chosen(asked)) == needed


@settings(max_examples=400)
@given(queries())
def test_the_answer_is_the_best_in_order(asked: Query) -> None:
    """Without a lock: the first root's package is as good as any answer has it, given that the next one is, and so on."""
    asked = Query(recipes=asked.recipes, roots=asked.roots, constraints=asked.constraints, features=asked.features)
    everything = solutions(asked)
    if everything:
        order = list(dict.fromkeys(want.name for _, want in asked.roots))
        place = {(name, each.version): i for name, one in asked.recipes.items() for i, each in enumerate(one.versions)}
        best = min(tuple(place[name, answer[name]] for name in order) for answer in everything)
        found = chosen(asked)
        assert tuple(place[name, found[name]] for name in order) == best


@settings(max_examples=400)
@given(queries())
def test_a_locked_answer_is_kept_whole(asked: Query) -> None:
    try:
        first = chosen(asked)
    except ConflictError:
        return
    again = Query(
        recipes=asked.recipes, roots=asked.roots, label=asked.label, constraints=asked.constraints, features=asked.features,
        preferred=first,
    )
    assert chosen(again) == first


class _Plain(AbstractProvider[Requirement, tuple[str, str], str]):
    """Plain resolvelib over the same recipes, without features and without any propagation before it."""

    def __init__(self, asked: Query) -> None:
        self.universe = Universe(asked)
        self.asked = asked

    def identify(self, requirement_or_candidate: Requirement | tuple[str, str]) -> str:
        one = requirement_or_candidate
        return one.name if isinstance(one, Requirement) else one[0]

    def get_preference(self, identifier, resolutions, candidates, information, backtrack_causes):  # type: ignore[no-untyped-def]
        return identifier

    def find_matches(self, identifier, requirements, incompatibilities):  # type: ignore[no-untyped-def]
        asked = list(requirements[identifier])
        out = set(incompatibilities[identifier])
        versions = self.universe.versions(identifier)
        return [(identifier, each) for each in versions if (identifier, each) not in out and all(want.admits(each) for want in asked)]

    def is_satisfied_by(self, requirement: Requirement, candidate: tuple[str, str]) -> bool:
        return requirement.admits(candidate[1])

    def get_dependencies(self, candidate: tuple[str, str]) -> list[Requirement]:
        return [each.want for each in self.universe.edges(*candidate, frozenset())]


@settings(max_examples=400)
@given(queries())
def test_plain_resolvelib_agrees_on_whether_there_is_an_answer(asked: Query) -> None:
    plain = Query(
        recipes={name: Recipe(name=name, path="", digest="", tools="", versions=tuple(map(featureless, each.versions)))
                 for name, each in asked.recipes.items()},
        roots=tuple((who, Requirement(want.name, (), want.allow, want.refuse)) for who, want in asked.roots),
        constraints=asked.constraints, preferred=asked.preferred,
    )
    try:
        found = Resolver(_Plain(plain), BaseReporter()).resolve([want for _, want in plain.roots])
    except ResolutionImpossible:
        with pytest.raises(ConflictError):
            resolver.resolve(plain)
    else:
        assert set(chosen(plain)) >= {name for _, name in ((who, want.name) for who, want in plain.roots)}
        assert all(version in {each.version for each in plain.recipes[name].versions} for name, version in found.mapping.values())


def featureless(version: Version) -> Version:
    plain = tuple(Requirement(each.name, (), each.allow, each.refuse) for each in version.requires)
    return Version(version=version.version, requires=plain)


# ---- size


def test_ten_thousand_recipes_with_one_version_each_are_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "search", lambda *_: pytest.fail("searched"))
    recipes = {f"n{i}": recipe(f"n{i}", {"1": [f"n{j}" for j in range(max(0, i - 2), i)]}) for i in range(3000)}
    found = resolver.resolve(query(recipes, ["n2999"]))
    assert len(found.packages) == 3000
    assert next(iter(found.packages)) == "n0"
