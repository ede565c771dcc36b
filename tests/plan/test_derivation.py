"""Derivations: what is in a key and what is not."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builder.base import canonical, digest
from builder.base.environment import STANDARD, Environment
from builder.base.errors import Problem, RecipeError
from builder.lock.lock import LockedPackage
from builder.plan import derivation
from builder.plan.derivation import Derivation, Input, derive, series_problems
from builder.recipe import recipe
from builder.recipe.recipe import Recipe
from builder.recipe.source import Patch, PatchSet
from builder.recipe.styles import Step

PLATFORM = "x86_64-linux-musl"

NGINX = """
name = "nginx"
requires = ["zlib"]
build-requires = ["module", "toolset"]

[build]
style = "nginx"
configure = ["--with-zlib=/usr/lib/zlib-${zlib.version}", "--builddir=${name}-${version}"]
modules = ["module-${module.version}=module"]
env = { CFLAGS = "-O2" }

[feature.debug]
build = { configure = ["--with-debug"] }

[[version]]
version = "1.26.3"
[[version.source]]
locations = ["https://nginx.org/download/nginx-1.26.3.tar.gz"]
[[version.source]]
name = "debian"
locations = ["mirror://debian/pool/main/n/nginx/nginx_1.26.3-3.debian.tar.xz"]
[[version.patches]]
source = "debian"
series = "debian/patches/series"
[version.patches.skip]
"debian/patches/b.patch" = "for another system"
[[version.patches.patch]]
path = "debian/patches/a.patch"
string = "too many"
[[version.patches.patch]]
path = "debian/patches/c.patch"
strip = 0
none = "a comment"
"""
ZLIB = """
name = "zlib"

[build]
style = "configure-make"
configure = ["--prefix=/usr"]

[split]
dev = ["usr/include/**"]

[[version]]
version = "1.3.1"
[[version.source]]
locations = ["https://zlib.net/zlib-1.3.1.tar.gz"]
"""
TOOLSET = """
name = "toolset"
tools = ""

[build]
style = "prebuilt"
into = { zig = "opt/zig" }
links = { "usr/bin/sh" = "dash" }

[[version]]
version = "1"
[[version.source]]
locations = ["mirror://debian/pool/main/d/dash/dash.deb"]
[[version.source]]
name = "zig"
locations = ["pypi://ziglang/0.14/zig.whl"]
"""
UNION = """
name = "tools"
tools = ""
build-requires = ["toolset", "zlib"]

[build]
style = "union"
exclude = ["usr/share/**"]
files = { "etc/ver\u00fc" = "${zlib.version}\\n" }

[[version]]
version = "1"
"""


def tree(text: str) -> str:
    return digest.of_bytes(text.encode())


def read(text: str) -> Recipe:
    data = tomli.loads(text)
    problems: list[Problem] = []
    found = recipe.read(data, path=f"recipes/{data['name']}.toml", stem=data["name"], problems=problems)
    assert found is not None, problems
    return found


def locked(found: Recipe, **more: Any) -> LockedPackage:
    return LockedPackage(name=found.name, version=found.versions[0].version, profiles=("embedded",), recipe=found.digest, **more)


INPUTS = (
    Input(package="zlib 1.3.1", output="out", tree=tree("zlib")),
    Input(package="zlib 1.3.1", output="dev", tree=tree("zlib dev")),
    Input(package="module 4", output="out", tree=tree("module")),
    Input(package="toolset 1", output="out", tree=tree("toolset")),
)
SOURCES = {"main": tree("nginx source"), "debian": tree("debian")}
ON: Mapping[str, Any] = {"build_platform": PLATFORM, "host_platform": PLATFORM}
WANTS: Mapping[str, Any] = {"requires": ("zlib 1.3.1",), "build_requires": ("module 4", "toolset 1")}


def nginx(text: str = NGINX, *, features: tuple[str, ...] = (), wants: Mapping[str, Any] = WANTS, **more: Any) -> Derivation:
    found = read(text)
    given_: dict[str, Any] = {**ON, "sources": SOURCES, "inputs": INPUTS, **more}
    return derive(found, locked(found, features=features, **wants), **given_)


def zlib() -> Derivation:
    found = read(ZLIB)
    inputs = (Input(package="toolset 1", output="out", tree=tree("toolset")),)
    return derive(
        found, locked(found, build_requires=("toolset 1",)), **ON, sources={"main": tree("zlib source")}, inputs=inputs
    )


def toolset() -> Derivation:
    found = read(TOOLSET)
    return derive(found, locked(found), **ON, sources={"main": tree("dash"), "zig": tree("zig")}, inputs=())


def union() -> Derivation:
    found = read(UNION)
    return derive(found, locked(found, build_requires=("toolset 1", "zlib 1.3.1")), **ON, sources={}, inputs=INPUTS)


# ---- golden keys


@pytest.mark.parametrize("make", [nginx, zlib, toolset, union], ids=lambda each: str(each.__name__))
def test_golden(make: Callable[[], Derivation], golden: Callable[[str, str], None]) -> None:
    """A key that changes makes everybody build everything anew: `pytest --accept` writes it, a review agrees to it."""
    made = make()
    text = json.dumps({"derivation": made.as_dict(), "key": made.key}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    golden(f"derivation-{make.__name__}.json", text)


def test_the_environment(golden: Callable[[str, str], None]) -> None:
    text = json.dumps({"environment": STANDARD.as_dict(), "key": STANDARD.key}, indent=2, sort_keys=True) + "\n"
    golden("environment.json", text)


def test_the_script(golden: Callable[[str, str], None]) -> None:
    golden("derivation-nginx.sh", nginx().script())


def test_the_key_is_over_the_canonical_form() -> None:
    assert nginx().key == canonical.key(nginx().as_dict())


# ---- what counts


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


INFLUENCES: Mapping[str, Callable[[], Derivation]] = {
    "the platform that builds": lambda: nginx(build_platform="aarch64-linux-musl"),
    "the platform that it is for": lambda: nginx(host_platform="aarch64-linux-musl"),
    "a source": lambda: nginx(sources={**SOURCES, "main": tree("other")}),
    "another source": lambda: nginx(sources={**SOURCES, "debian": tree("other")}),
    "names of sources": lambda: nginx(sources={"main": SOURCES["debian"], "debian": SOURCES["main"]}),
    "one source more": lambda: nginx(sources={**SOURCES, "more": tree("more")}),
    "an input": lambda: nginx(inputs=(replace(INPUTS[0], tree=tree("other")), *INPUTS[1:])),
    "one input less": lambda: nginx(inputs=INPUTS[1:]),
    "one input more": lambda: nginx(inputs=(*INPUTS, Input(package="x 1", output="out", tree=tree("x")))),
    "a feature": lambda: nginx(features=("debug",)),
    "an option": lambda: nginx(changed(NGINX, "--builddir=", "--builddir=x")),
    "the environment": lambda: nginx(changed(NGINX, '"-O2"', '"-O3"')),
    "stripping": lambda: nginx(changed(NGINX, 'style = "nginx"\n', 'style = "nginx"\nstrip = false\n')),
    "the version": lambda: nginx(changed(NGINX, 'version = "1.26.3"', 'version = "1.26.4"')),
    "a requirement's version in an option": lambda: nginx(wants={**WANTS, "requires": ("zlib 1.3",)}),
    "a module's version in an option": lambda: nginx(wants={**WANTS, "build_requires": ("module 5", "toolset 1")}),
    "a patch": lambda: nginx(changed(NGINX, "c.patch", "d.patch")),
    "a patch's strip": lambda: nginx(changed(NGINX, "strip = 0", "strip = 2")),
    "the split": lambda: nginx(NGINX.replace("[[version]]", '[split]\ndev = ["usr/x/**"]\n\n[[version]]')),
}


@pytest.mark.parametrize("what", INFLUENCES)
def test_what_influences_a_build_changes_its_key(what: str) -> None:
    assert INFLUENCES[what]().key != nginx().key


UNKEYED = {
    "options": "the steps hold what they come to; only what the builder makes itself reads them",
    "limits": "they end a build and change none",
}


def another(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case str():
            return value + "x"
        case int():
            return value + 1
        case tuple():
            return value[:-1]
        case Mapping():
            return dict(list(value.items())[1:])
    raise AssertionError(value)


@pytest.mark.parametrize("field", sorted({*Derivation.__struct_fields__} - {"environment", *UNKEYED}))
def test_every_field_of_a_derivation_counts(field: str) -> None:
    made = nginx()
    assert replace(made, **{field: another(getattr(made, field))}).key != made.key


@pytest.mark.parametrize("field", Environment.__struct_fields__)
def test_every_field_of_the_environment_counts(field: str) -> None:
    made = nginx()
    other = replace(made.environment, **{field: another(getattr(made.environment, field))})
    assert replace(made, environment=other).key != made.key


def test_every_variable_and_every_file_of_the_environment_counts() -> None:
    made = nginx()
    for field in ("variables", "files"):
        for name, text in getattr(made.environment, field).items():
            other = replace(made.environment, **{field: {**getattr(made.environment, field), name: text + "x"}})
            assert replace(made, environment=other).key != made.key


def test_all_these_keys_differ() -> None:
    keys = [make().key for make in INFLUENCES.values()]
    assert len(set(keys)) == len(keys)


def test_the_order_of_patches_counts() -> None:
    a, c = 'path = "debian/patches/a.patch"\nstring = "too many"\n', 'path = "debian/patches/c.patch"\nstrip = 0\nnone = "a comment"\n'
    swapped = changed(changed(changed(NGINX, a, "@"), c, a), "@", c)
    assert nginx(swapped).key != nginx().key


def test_the_format_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = nginx().key
    monkeypatch.setattr(derivation, "FORMAT", derivation.FORMAT + 1)
    assert nginx().key != before


@pytest.mark.parametrize("old", ['into = { zig = "opt/zig" }', 'links = { "usr/bin/sh" = "dash" }'])
def test_options_of_a_builtin_count(old: str) -> None:
    found = read(changed(TOOLSET, old, ""))
    other = derive(found, locked(found), **ON, sources={"main": tree("dash"), "zig": tree("zig")}, inputs=())
    assert other.key != toolset().key


# ---- what does not count


@pytest.mark.parametrize("text", [
    "# a comment\n" + NGINX,
    NGINX.replace("\n", "   # more\n", 3),
    changed(NGINX, 'name = "nginx"\n', 'name = "nginx"\nsummary = "A server"\nlicense = "BSD-2-Clause"\nhomepage = "https://nginx.org"\n'),
    changed(NGINX, "[[version]]", "[limits]\nmemory = 100\nprocesses = 10\nseconds = 1\n\n[[version]]"),
    changed(NGINX, "https://nginx.org/download/", "https://elsewhere.example/"),
    changed(NGINX, '"too many"', '"another witness"'),
    changed(NGINX, "for another system", "for another reason"),
    NGINX + '\n[[version]]\nversion = "1.24"\n',
    changed(NGINX, "requires = [", "vars = { unused = '1' }\nrequires = [").replace("build-vars = { unused = '1' }\n", "build-"),
], ids=["comment", "comments", "texts", "limits", "location", "witness", "reason", "other version", "unused variable"])
def test_what_does_not_reach_the_build_does_not_change_its_key(text: str) -> None:
    assert nginx(text).key == nginx().key


@given(inputs=st.permutations(INPUTS), sources=st.permutations(sorted(SOURCES.items())))
def test_order_does_not_count(inputs: list[Input], sources: list[tuple[str, str]]) -> None:
    again = nginx(inputs=inputs, sources=dict(sources))
    assert again == nginx()
    assert again.key == nginx().key


def test_which_package_a_tree_came_from_does_not_count() -> None:
    renamed = tuple(replace(each, package="other 9", output="out") for each in INPUTS)
    assert nginx(inputs=renamed).key == nginx().key


def test_other_profiles_and_pins_do_not_count() -> None:
    found = read(ZLIB)
    package = locked(found, build_requires=("toolset 1",))
    inputs = (Input(package="toolset 1", output="out", tree=tree("toolset")),)
    for other in (replace(package, profiles=("x", "y")), replace(package, recipe="sha256-other"), replace(package, outputs={})):
        made = derive(found, other, **ON, sources={"main": tree("zlib source")}, inputs=inputs)
        assert made.key == zlib().key


# ---- steps


def test_steps_of_a_patched_build() -> None:
    assert [each.name for each in nginx().steps] == ["unpack", "patch", "modules", "configure", "build", "install", "strip"]
    assert nginx().steps[1] == Step("patch", (
        "echo /sources/debian/debian/patches/a.patch\n"
        "patch -p1 --fuzz=0 --no-backup-if-mismatch --batch --forward -i '/sources/debian/debian/patches/a.patch'\n"
        "echo /sources/debian/debian/patches/c.patch\n"
        "patch -p0 --fuzz=0 --no-backup-if-mismatch --batch --forward -i '/sources/debian/debian/patches/c.patch'"
    ))


def test_a_patch_of_a_part_is_applied_there() -> None:
    text = changed(NGINX, 'path = "debian/patches/c.patch"', 'path = "debian/patches/c.patch"\ndirectory = "bundle/its $(part)-*"')
    assert nginx(text).steps[1].run.splitlines()[3] == (
        "patch -p0 --fuzz=0 --no-backup-if-mismatch --batch --forward -d 'bundle/its $(part)-'* -i '/sources/debian/debian/patches/c.patch'"
    )


def test_a_patch_with_a_strange_name_is_only_a_name() -> None:
    text = changed(NGINX, "debian/patches/c.patch", "debian/it's $(touch x) `y`;z.patch")
    assert nginx(text).steps[1].run.splitlines()[2:] == [
        "echo '/sources/debian/debian/it'\"'\"'s $(touch x) `y`;z.patch'",
        "patch -p0 --fuzz=0 --no-backup-if-mismatch --batch --forward -i '/sources/debian/debian/it'\"'\"'s $(touch x) `y`;z.patch'",
    ]


def test_variables_are_expanded() -> None:
    configure = next(each for each in nginx().steps if each.name == "configure")
    assert "--with-zlib=/usr/lib/zlib-1.3.1 --builddir=nginx-1.26.3 --add-module=../module-4" in configure.run


def test_a_feature_adds_to_lists() -> None:
    configure = next(each for each in nginx(features=("debug",)).steps if each.name == "configure")
    assert "--builddir=nginx-1.26.3 --with-debug --add-module" in configure.run


def test_a_builtin_has_options_and_no_steps() -> None:
    made = union()
    assert (made.builtin, made.steps, made.split, made.script()) == ("union", (), {}, "set -eu\n")
    assert made.options == {"exclude": ["usr/share/**"], "files": {"etc/ver\u00fc": "1.3.1\n"}}


def test_the_recipe_says_what_is_split_off() -> None:
    assert zlib().split == {"dev": ("usr/include/**",), "debug": recipe.DEFAULT_DEBUG}


def test_the_id() -> None:
    assert nginx().id == "nginx 1.26.3"


def test_a_feature_of_a_version_that_is_built_in_its_own_way() -> None:
    text = changed(NGINX, 'version = "1.26.3"\n', 'version = "1.26.3"\nbuild = { style = "make" }\n')
    with pytest.raises(RecipeError) as error:
        nginx(text, features=("debug",))
    assert str(error.value) == (
        "recipes/nginx.toml: nginx 1.26.3: has no feature debug: it is built in a way of its own\n"
        "  next: take another version, or leave the feature out of the profile"
    )


# ---- series


def series(*paths: str, skip: Mapping[str, str] | None = None) -> PatchSet:
    patches = tuple(Patch(source="debian", path=each, none="test") for each in paths)
    return PatchSet(patches=patches, series="series", skip=dict(skip or {}))


def test_a_series_that_is_met() -> None:
    assert series_problems(series("a", "c", skip={"b": "why"}), ["a", "b", "c"]) == []


@pytest.mark.parametrize(("patches", "listed", "problems"), [
    (series("a"), ["a", "b"], ["'b' is in the series, but neither applied nor skipped"]),
    (series("a", "b"), ["a"], ["'b' is not in the series"]),
    (series("a", skip={"b": "why"}), ["a"], ["'b' is not in the series"]),
    (series("b", "a"), ["a", "b"], ["the patches are not in the order of the series"]),
    (series("a", "a"), ["a"], ["the patches are not in the order of the series"]),
    (series("x"), ["a"], ["'a' is in the series, but neither applied nor skipped", "'x' is not in the series"]),
])
def test_a_series_that_is_not_met(patches: PatchSet, listed: list[str], problems: list[str]) -> None:
    assert series_problems(patches, listed) == problems


def test_a_requirement_that_the_lock_lost() -> None:
    with pytest.raises(RecipeError, match=r"nginx 1.26.3: needs \$\{module.version\}, which no requirement in the lock gives"):
        nginx(wants={**WANTS, "build_requires": ("toolset 1",)})


def test_a_feature_that_only_the_lock_names() -> None:
    with pytest.raises(RecipeError, match=r"nginx 1\.26\.3: has no feature tls, which the lock names"):
        nginx(features=("tls",))


def test_a_union_joins_outputs_by_their_names_and_so_does_its_key() -> None:
    made = union()
    swapped = tuple(replace(each, output={"out": "dev", "dev": "out"}[each.output]) for each in made.inputs)
    assert replace(made, inputs=swapped).key != made.key
