"""The JSON Schemas for editors agree with what the decoder takes: they are two faces of one definition."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from builder.base.shape import JsonSchema, Problems
from builder.recipe import image, profile, recipe

ROOT = Path(__file__).parents[2]
Read = Callable[..., object]
KINDS: dict[str, tuple[JsonSchema, Read]] = {
    "recipe": (recipe.schema(), recipe.read), "image": (image.schema(), image.read), "profile": (profile.schema(), profile.read),
}
FOLDERS = {"recipes": "recipe", "tools": "recipe", "images": "image", "profiles": "profile"}
FILES = sorted(path for path in ROOT.glob("recipes/**/*.toml") if path.parent.name in FOLDERS)
VALIDATORS = {kind: Draft202012Validator(schema) for kind, (schema, _) in KINDS.items()}
# Problems that a schema can tell too; what only a merged [build] table tells is not among them.
SCHEMA_CAN = re.compile(
    r"must be (text|a list|a table|true or false|a whole number)|must be at least|must have at least|unknown key|is missing"
)

RECIPE = """
name = "a"
summary = "x"
license = "MIT"
homepage = "https://example.org"
tools = "toolset"
requires = ["b 1.*"]
build-requires = ["c"]
vars = { prefix = "/usr" }
split = { dev = ["include/**"] }
limits = { memory = 1, seconds = 2 }
[feature.more]
requires = ["d"]
[[version]]
version = "1"
end-of-life = "2030-01-31"
provides = { e = "1" }
[[version.source]]
locations = ["https://example.org/a-1.tar.gz"]
size = 5
strip = 0
entries = 3
[[version.patches]]
source = "main"
skip = { "b.patch" = "no" }
patch = [{ path = "a.patch", none = "x" }]
[version.build]
style = "make"
make = ["all"]
env = { CC = "cc" }
"""
IMAGE = """
name = "a"
packages = ["b"]
profiles = ["p"]
user = [{ name = "u", uid = 1, home = "/x" }]
group = [{ name = "g", gid = 2, members = ["u"] }]
mode = [{ path = "bin/*", mode = "0755", owner = "u:g" }]
directory = [{ path = "var", owner = "root:root" }]
capabilities = { "bin/x" = ["CAP_NET_BIND_SERVICE"] }
links = { "bin/y" = "x" }
files = { "etc/x" = "text" }
[config]
entrypoint = ["/bin/x"]
env = { PATH = "/bin" }
user = "u:g"
working-dir = "/"
stop-signal = "SIGQUIT"
ports = ["80/tcp"]
labels = { "a.b" = "c" }
healthcheck = { test = ["true"], interval = 5 }
"""
PROFILE = """
name = "a"
base = ["b 1"]
outputs = "optional"
constraints = { b = "1.* !1.2" }
providers = { c = "b" }
features = { b = ["f"] }
"""
SAMPLES = {"recipe": tomli.loads(RECIPE), "image": tomli.loads(IMAGE), "profile": tomli.loads(PROFILE)}


def decoded(kind: str, value: Any, stem: str = "a") -> list[str]:
    problems: Problems = []
    KINDS[kind][1](value, path="f.toml", stem=stem, problems=problems)
    return [str(each) for each in problems]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_schema_is_a_schema(kind: str) -> None:
    Draft202012Validator.check_schema(KINDS[kind][0])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sample_with_every_key_is_good_to_both(kind: str) -> None:
    assert decoded(kind, SAMPLES[kind]) == []
    assert list(VALIDATORS[kind].iter_errors(SAMPLES[kind])) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_project_is_good_to_both(path: Path) -> None:
    kind = FOLDERS[path.parent.name]
    table = tomli.loads(path.read_text())
    assert decoded(kind, table, path.stem) == []
    assert [each.message for each in VALIDATORS[kind].iter_errors(table)] == []


def test_the_project_has_files_to_check() -> None:
    assert len(FILES) > 30


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values inside `value`."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in rows:
        yield (*at, key)
        yield from places(each, (*at, key))


ODD = st.sampled_from([0, -1, 5, True, "", "x", "X/../y", "a b", [], ["x"], [1], {}, {"x": 1}, {"x": "y"}, 1.5])


@st.composite
def mutated(draw: st.DrawFn, kind: str) -> Any:
    """The sample with one value taken out, replaced, or joined by a key that nobody knows."""
    value = copy.deepcopy(SAMPLES[kind])
    place = draw(st.sampled_from(sorted(places(value), key=repr)))
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    how = draw(st.sampled_from(["drop", "replace", "add"]))
    if how == "drop":
        del holder[place[-1]]
    elif how == "replace":
        holder[place[-1]] = draw(ODD)
    else:
        assume(isinstance(holder[place[-1]], dict))
        holder[place[-1]]["unheard-of"] = draw(ODD)
    return value


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_what_the_decoder_takes_the_schema_takes(kind: str, data: st.DataObject) -> None:
    value = data.draw(mutated(kind))
    if not decoded(kind, value):
        assert [each.message for each in VALIDATORS[kind].iter_errors(value)] == []


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_what_the_decoder_refuses_for_its_shape_the_schema_refuses(kind: str, data: st.DataObject) -> None:
    value = data.draw(mutated(kind))
    if any(SCHEMA_CAN.search(each) and "build" not in each.partition(" ")[2].partition(": ")[0] for each in decoded(kind, value)):
        assert not VALIDATORS[kind].is_valid(value)
