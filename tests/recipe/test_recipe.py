"""Recipes: what a file means once read, and every problem of one file with its exact text."""

from typing import Any

import pytest
import tomli

from builder.base.shape import Problems
from builder.recipe import recipe
from builder.recipe.recipe import DEFAULT_DEBUG, DEFAULT_DEV, Limits, Recipe
from builder.recipe.requirement import Requirement
from builder.recipe.source import Patch, PatchSet, Source

TREE = "sha256-eQFhcNyomqfkMxDtfDid6TY9nxIDyA6lrbrPomU7Ie0="
HEX = "69ee2b237744036e61d24b836668aad3040dda461fe6f570f1787eab570c75aa"
WHOLE = f"""
name = "nginx"
summary = "a web server"
license = "BSD-2-Clause"
homepage = "https://nginx.org"
requires = ["zlib"]
build-requires = ["perl"]

[vars]
prefix = "/usr/local/${{name}}/${{version}}"

[build]
style = "nginx"
configure = ["--prefix=${{prefix}}", "--with-zlib=${{zlib.version}}"]

[feature.lua]
requires = ["luajit"]
build-requires = ["lua-module"]
[feature.lua.build]
configure = ["--lua=${{luajit.version}}"]
modules = ["lua=lua-module"]

[split]
dev = ["include/**"]

[limits]
seconds = 60

[[version]]
version = "1.26.3"
requires = ["pcre2 10.*"]
end-of-life = "2026-04-23"

[[version.source]]
locations = ["https://nginx.org/download/nginx-1.26.3.tar.gz", "mirror://debian/pool/nginx_1.26.3.orig.tar.gz"]
size = 1260179
sha256 = "{HEX}"
tree = "{TREE}"

[[version.source]]
name = "patches"
folder = "recipes/patches/nginx"
strip = 0

[[version.patches]]
source = "patches"
series = "series"
skip = {{ "docs.patch" = "documentation" }}
patch = [{{ path = "fix.patch", string = "fixed" }}, {{ path = "b.patch", strip = 0, none = "comment only" }}]

[[version]]
version = "1.24.0"
build = {{ configure = ["--old"] }}

[[version]]
version = "bundle"
build = {{ style = "make" }}
provides = {{ pcre2 = "10.42" }}
"""
SMALL = 'name = "a"\n[[version]]\nversion = "1"\n'


def read(text: str, stem: str) -> Recipe:
    problems: Problems = []
    found = recipe.read(tomli.loads(text), path=f"recipes/{stem}.toml", stem=stem, problems=problems)
    assert problems == []
    assert found is not None
    return found


def problems_of(text: str, stem: str = "a") -> list[str]:
    problems: Problems = []
    assert recipe.read(tomli.loads(text), path=f"recipes/{stem}.toml", stem=stem, problems=problems) is None
    return [str(each) for each in problems]


def test_what_the_whole_recipe_says() -> None:
    found = read(WHOLE, "nginx")
    assert (found.name, found.path, found.summary, found.license) == ("nginx", "recipes/nginx.toml", "a web server", "BSD-2-Clause")
    assert found.tools == "toolset"
    assert found.limits == Limits(memory=8192, processes=512, seconds=60)
    assert found.split == {"dev": ("include/**",), "debug": DEFAULT_DEBUG}
    assert [each.version for each in found.versions] == ["1.26.3", "1.24.0", "bundle"]
    assert found.version("1.24.0") is found.versions[1]
    assert found.version("9") is None


def test_a_version_adds_to_what_the_recipe_requires() -> None:
    first, second, _ = read(WHOLE, "nginx").versions
    assert first.requires == (Requirement("zlib"), Requirement("pcre2", (), ("10.*",)))
    assert first.build_requires == second.build_requires == (Requirement("perl"),)
    assert second.requires == (Requirement("zlib"),)


def test_a_version_replaces_options_of_the_same_name() -> None:
    first, second, _ = read(WHOLE, "nginx").versions
    assert first.build == {"configure": ["--prefix=${prefix}", "--with-zlib=${zlib.version}"]}
    assert second.build == {"configure": ["--old"]}
    assert (second.style, second.own_style) == ("nginx", False)


def test_a_version_with_a_style_takes_no_options_from_the_recipe() -> None:
    bundle = read(WHOLE, "nginx").versions[2]
    assert (bundle.style, bundle.own_style, bundle.build) == ("make", True, {})
    assert bundle.provides == {"pcre2": "10.42"}


def test_sources_are_read_with_their_defaults() -> None:
    assert read(WHOLE, "nginx").versions[0].sources == (
        Source(
            name="main", filename="nginx-1.26.3.tar.gz", size=1260179, sha256=HEX, tree=TREE,
            locations=("https://nginx.org/download/nginx-1.26.3.tar.gz", "mirror://debian/pool/nginx_1.26.3.orig.tar.gz"),
        ),
        Source(name="patches", folder="recipes/patches/nginx", strip=0),
    )


def test_patches_keep_their_order_and_witnesses() -> None:
    patches = (
        Patch(source="patches", path="fix.patch", string="fixed"),
        Patch(source="patches", path="b.patch", strip=0, none="comment only"),
    )
    found = read(WHOLE, "nginx").versions[0].patches
    assert found == (PatchSet(patches=patches, series="series", skip={"docs.patch": "documentation"}),)


def test_a_feature_adds_to_lists_and_replaces_everything_else() -> None:
    feature = read(WHOLE, "nginx").features["lua"]
    assert (feature.requires, feature.build_requires) == ((Requirement("luajit"),), (Requirement("lua-module"),))
    merged = recipe.merge_feature({"configure": ["-a"], "env": {"A": "1"}, "before": "x"}, {"configure": ["-b"], "env": {}, "before": "y"})
    assert merged == {"configure": ["-a", "-b"], "env": {}, "before": "y"}


def test_a_small_recipe_copies_and_splits_development_files_off() -> None:
    found = read(SMALL, "a")
    assert (found.versions[0].style, found.split) == ("copy", {"dev": DEFAULT_DEV, "debug": DEFAULT_DEBUG})


def test_comments_and_order_of_keys_do_not_change_the_digest_but_values_do() -> None:
    one = read('name = "a"\nsummary = "x"\n[[version]]\nversion = "1"\n', "a")
    two = read('# hello\nsummary = "x"\nname = "a"\n[[version]]\nversion = "1"\n', "a")
    three = read('summary = "y"\nname = "a"\n[[version]]\nversion = "1"\n', "a")
    assert one.digest == two.digest == "sha256-jSTFg1CKMH/4Ri/DvtsPDS+ZiHgkbEP/A+FZ7Ry1iEY="
    assert one.digest != three.digest


def test_variables_are_expanded_everywhere_and_the_shell_keeps_its_own() -> None:
    value = {"a": ["${name}-${version}", 1], "b": {"c": "$name ${HOME} ${prefix}"}}
    names = {"name": "n", "version": "1", "prefix": "/p"}
    assert recipe.expand(value, names) == {"a": ["n-1", 1], "b": {"c": "$name ${HOME} /p"}}
    assert sorted(recipe.variables_in(value)) == ["name", "prefix", "version"]


def test_a_recipes_own_variables_may_use_name_and_version() -> None:
    found = read(WHOLE, "nginx")
    assert recipe.builtin_variables(found, "1.26.3") == {"name": "nginx", "version": "1.26.3", "prefix": "/usr/local/nginx/1.26.3"}


@pytest.mark.parametrize(("text", "expected"), [
    ("", ["name: is missing (the file's name without .toml)", "version: is missing (the versions, best first)"]),
    ('name = "b"\n[[version]]\nversion = "1"', ["name: is 'b' but the file is a.toml (make them the same)"]),
    ('name = "a"\nversion = []', ["version: must have at least 1 of them"]),
    ('name = "a"\nlicence = "MIT"\n[[version]]\nversion = "1"', ["licence: unknown key (did you mean 'license'?)"]),
    ('name = "a"\n[[version]]\nversion = 1.2', ["version[0].version: must be text, not a number"]),
    (SMALL + '[[version]]\nversion = "1"', ["version[1].version: '1' is there twice (remove one of them)"]),
    (SMALL + 'requires = ["Zlib"]', [
        "version[0].requires[0]: 'Zlib' is not a requirement "
        "(like 'openssl', 'openssl 3.5.* | 3.0.20', 'openssl !1.1.1*' or 'nginx[lua-var] 1.26.3')",
    ]),
    (SMALL + 'build = { style = "cmake" }', [
        "version[0].build.style: 'cmake' is not one of configure-make, make, nginx, copy, script, prebuilt, union "
        "(did you mean 'make'?)",
    ]),
    (SMALL + "build = 1", ["version[0].build: must be a table, not a whole number"]),
    (SMALL + 'build = { style = "make", mak = ["x"] }', ["version[0].build.mak: unknown key (did you mean 'make'?)"]),
    (SMALL + 'build = { style = "make", make = "x" }', ["version[0].build.make: must be a list, not text"]),
    (SMALL + 'build = { style = "script" }', ["version[0].build.step: is missing (the steps in order)"]),
    (SMALL + 'build = { style = "make", make = ["${prefx}"] }\n[vars]\nprefix = "/usr"', [
        "version[0].build.make: variable ${prefx} is not defined "
        "(did you mean 'prefix'?; shell variables are written $name or in capitals)",
    ]),
    (SMALL + 'build = { style = "make", make = ["${zlib.version}"] }', [
        "version[0].build.make: variable ${zlib.version} is not defined "
        "(did you mean 'version'?; shell variables are written $name or in capitals)",
    ]),
    (SMALL + '[vars]\na = "${b}"\nb = "x"\nname = "y"', [
        "vars.a: variable ${b} cannot be used here (a variable can use ${name} and ${version} only)",
        "vars.name: is always set by builder (give it another name)",
    ]),
    (SMALL + "build = { when = 2026-01-01 }", ["version[0].build.when: unknown key (known here: files, links, remove)"]),
    (SMALL + '[feature.x.build]\nmake = ["a"]', ["feature.x.build.make: unknown key (known here: files, links, remove)"]),
    (SMALL + '[feature.x.build]\nfiles = { "${y}" = "z", a = "${y}" }', [
        "feature.x.build.files: variable ${y} is not defined "
        "(known here: name, version; shell variables are written $name or in capitals)",
    ]),
    (SMALL + '[[version]]\nversion = "2"\n[build]\nstyle = "make"\nmake = ["a", 1]\nenv = { A = "${b}" }', [
        "build.make[1]: must be text, not a whole number",
    ]),
    (SMALL + '[[version]]\nversion = "2"\nbuild = { make = ["${x}"] }\n[build]\nstyle = "make"\nenv = { A = "${b}" }', [
        "build.env: variable ${b} is not defined (known here: name, version; shell variables are written $name or in capitals)",
        "version[1].build.make: variable ${x} is not defined "
        "(known here: name, version; shell variables are written $name or in capitals)",
    ]),
    (SMALL + '[build]\nstyle = "script"', ["build.step: is missing (the steps in order)"]),
    (SMALL + '[build]\nstyle = "prebuilt"\ninto = [{}]', ["build.into: must be a table, not a list"]),
])
def test_a_wrong_recipe_says_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert problems_of(text) == [f"recipes/a.toml: {each}" for each in expected]


SOURCE = SMALL + "[[version.source]]\n"
AT = "version[0].source[0]"


@pytest.mark.parametrize(("text", "expected"), [
    ("", [f"{AT}: must have exactly one of locations, folder; it has none of them (a source is fetched or lies in this repository)"]),
    ('locations = ["https://h/a.tgz"]\ninclude = ["*.lua"]', [
        f"{AT}.include: is for a source with 'folder' only (say 'include' of the build, or take it out)",
    ]),
    ('folder = "x"\ninclude = []', [f"{AT}.include: must have at least 1 of them"]),
    ('folder = "x"\nlocations = ["https://h/a.tgz"]', [
        f"{AT}: must have exactly one of locations, folder; it has locations and folder (a source is fetched or lies in this repository)",
    ]),
    ('locations = ["mirror://debian/../x"]', [f"{AT}.locations[0]: 'mirror://debian/../x' climbs out of its directory "
        "(https://..., http://..., mirror://debian/pool/... or pypi://PROJECT/VERSION/FILE)",
    ]),
    ('locations = ["https://h/a\\u0000"]', [f"{AT}.locations[0]: 'https://h/a\x00' is not of the right form "
        "(https://..., http://..., mirror://debian/pool/... or pypi://PROJECT/VERSION/FILE)",
    ]),
    ("locations = []", [f"{AT}.locations: must have at least 1 of them"]),
    ('locations = ["ftp://h/a.tgz"]', [
        f"{AT}.locations[0]: 'ftp://h/a.tgz' is not of the right form "
        "(https://..., http://..., mirror://debian/pool/... or pypi://PROJECT/VERSION/FILE)",
    ]),
    ('locations = ["https://h/a/"]', [f"{AT}.locations[0]: no file name can be told from 'https://h/a/' (say 'filename')"]),
    ('locations = ["https://h/.."]', [f"{AT}.locations[0]: no file name can be told from 'https://h/..' (say 'filename')"]),
    ('locations = ["https://h/a.tgz"]\nfilename = "../a"', [
        f"{AT}.filename: '../a' is not of the right form (the file's bare name)",
    ]),
    ('locations = ["https://h/a.tgz"]\nsha256 = "ABC"', [
        f"{AT}.sha256: 'ABC' is not of the right form (64 hexadecimal digits, as `sha256sum` prints them)",
    ]),
    ('locations = ["https://h/a.tgz"]\ntree = "sha256-AAA="', [
        f"{AT}.tree: 'sha256-AAA=' is not a digest (like 'sha256-<44 characters of base64>', as `nix hash path --sri` prints it)",
    ]),
    ('locations = ["https://h/a.tgz"]\nsize = -1', [f"{AT}.size: must be at least 1, not -1"]),
    ('folder = "../x"', [f"{AT}.folder: '../x' is not a path inside a tree"]),
    ('folder = "/x"', [f"{AT}.folder: '/x' is not a path inside a tree"]),
    ('folder = "x"\n[[version.source]]\nfolder = "y"', ["version[0].source[1].name: two sources are called 'main' (give each a name)"]),
    ('folder = "x"\n[[version.source]]\nfolder = "y"\nplatform = "aarch64-linux-musl"', [
        "version[0].source[1].name: two sources are called 'main' (give each a name)",
    ]),
])
def test_a_wrong_source_says_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert problems_of(SOURCE + text) == [f"recipes/a.toml: {each}" for each in expected]


def test_one_source_a_platform_may_share_a_name() -> None:
    text = SOURCE + 'folder = "x"\nplatform = "x86_64-linux-musl"\n[[version.source]]\nfolder = "y"\nplatform = "aarch64-linux-musl"\n'
    assert [each.name for each in read(text, "a").versions[0].sources] == ["main", "main"]


def patched(patch: str, build: str = "") -> str:
    return SOURCE + f'folder = "x"\n{build}[[version.patches]]\n{patch}'


@pytest.mark.parametrize(("text", "expected"), [
    (patched('source = "main"\npatch = [{ path = "a.patch" }]'), [
        "version[0].patches[0].patch[0]: must have exactly one of symbol, string, none; it has none of them "
        "(a patch names a witness of its effect, or says why none can exist)",
    ]),
    (patched('source = "mian"\npatch = [{ path = "a.patch", none = "x" }]'), [
        "version[0].patches[0].source: there is no source 'mian' (did you mean 'main'?)",
    ]),
    (patched('source = "main"\nskip = { "a.patch" = "x" }\npatch = [{ path = "a.patch", none = "x" }]'), [
        "version[0].patches[0].skip.a.patch: is applied and skipped (do one of them)",
    ]),
    (patched('source = "main"\npatch = []'), ["version[0].patches[0].patch: must have at least 1 of them"]),
    (patched('source = "main"\npatch = [{ path = "a.patch", none = "x" }]', '[version.build]\nstyle = "union"\n'), [
        "version[0].patches: style 'union' builds no source that a patch could change (take them out)",
    ]),
    (SOURCE + 'name = "p"\nfolder = "x"\n[[version.patches]]\nsource = "p"\npatch = [{ path = "a.patch", none = "x" }]', [
        "version[0].patches: patches are for the source 'main', and there is none (call the patched source 'main')",
    ]),
    (SOURCE + 'folder = "x"\n[version.build]\nstyle = "prebuilt"\ninto = { mani = "opt" }', [
        "version[0].build.into.mani: there is no source 'mani' (did you mean 'main'?)",
    ]),
])
def test_wrong_patches_say_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert problems_of(text) == [f"recipes/a.toml: {each}" for each in expected]


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    text = 'nam = "a"\ntools = 1\n[[version]]\nversoin = "1"\nrequires = "zlib"\n'
    assert problems_of(text) == [
        "recipes/a.toml: nam: unknown key (did you mean 'name'?)",
        "recipes/a.toml: tools: must be text, not a whole number",
        "recipes/a.toml: version[0].versoin: unknown key (did you mean 'version'?)",
        "recipes/a.toml: version[0].requires: must be a list, not text",
        "recipes/a.toml: version[0].version: is missing (as upstream calls it)",
        "recipes/a.toml: name: is missing (the file's name without .toml)",
    ]


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_file_that_is_no_table_is_a_problem(value: Any) -> None:
    problems: Problems = []
    assert recipe.read(value, path="recipes/a.toml", stem="a", problems=problems) is None
    assert len(problems) == 1


@pytest.mark.parametrize(("path", "good"), [
    ("a", True), ("a/b.c", True), ("a/..b", True), ("", False), ("/a", False), ("a/", False), ("a//b", False), ("..", False),
    ("a/../b", False), ("./a", False), ("a\nb", False),
])
def test_a_path_inside_a_tree_is_plain(path: str, good: bool) -> None:
    assert recipe.path_problem(path) == ("" if good else f"'{path}' is not a path inside a tree")
