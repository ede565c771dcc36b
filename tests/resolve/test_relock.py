"""Relocking: what is kept, what changes, what is refused; the short way gives what the long way gives."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from builder.base import digest
from builder.base.errors import ConflictError, RefusedError, UsageError
from builder.lock import text as lock_text
from builder.lock.lock import Lock, LockedLayer, LockedOutput, LockedPackage
from builder.recipe import project
from builder.recipe.project import Project
from builder.resolve import relock, resolver

MUSL = "x86_64-linux-musl"
SRI = [digest.of_bytes(bytes([i])) for i in range(9)]
HEX = [digest.to_hex(each) for each in SRI]
OUTPUT = LockedOutput(key=SRI[0], trees={"out": SRI[1]})
LAYER = LockedLayer(key=SRI[2], layer=HEX[3], size=10)

OPENSSL = f"""
tools = ""
[[version]]
version = "3.5.7"
source = [{{ locations = ["https://openssl.org/3.5.7.tgz"], sha256 = "{HEX[1]}" }}]
[[version]]
version = "3.0.20"
source = [{{ locations = ["https://openssl.org/3.0.20.tgz"], sha256 = "{HEX[2]}" }}]
"""
FILES = {
    "openssl": OPENSSL,
    "zlib": 'tools = ""\n[[version]]\nversion = "1"\nsource = [{ locations = ["https://zlib.net/zlib-1.tgz"] }]\n',
    "nginx": 'requires = ["openssl", "zlib"]\ntools = "sh"\n[feature.lua]\n[[version]]\nversion = "2"\n[[version]]\nversion = "1"\n',
    "tools/sh": 'tools = ""\n[[version]]\nversion = "5"\n',
    "musl": 'tools = "sh"\n[[version]]\nversion = "1"\n',
    "images/web": 'packages = ["nginx"]\n',
    "profiles/new": 'base = ["musl"]\n',
    "profiles/old": 'constraints = { openssl = "3.0.*" }\n',
}


def write(root: Path, files: Mapping[str, str]) -> Project:
    """Write files of a project (their names are added) and load it."""
    for path, text in files.items():
        target = root / "recipes" / f"{path}.toml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f'name = "{target.stem}"\n{text}')
    return project.load(str(root))


class Pinned(Struct, frozen=True):
    """What a fetcher measured."""

    size: int | None = 7
    sha256: str | None = HEX[5]
    tree: str | None = SRI[6]
    unpacked: int | None = 70
    entries: int | None = 3


def locked(found: Project, before: Lock | None = None, **more: object) -> Lock:
    return relock.relock(found, before, **more).lock  # type: ignore[arg-type]


def lines(found: Project, before: Lock | None, **more: object) -> list[str]:
    return [str(each) for each in relock.relock(found, before, **more).changes]  # type: ignore[arg-type]


def package(lock: Lock, name: str, profile: str = "new") -> LockedPackage:
    [found] = [each for each in lock.packages if each.name == name and profile in each.profiles]
    return found


def measured(lock: Lock) -> Lock:
    """The lock after everything was fetched and built."""
    lock = relock.with_pins(lock, {each: Pinned() for each in relock.missing_pins(lock)})
    packages = tuple(replace(each, outputs={MUSL: OUTPUT}) for each in lock.packages)
    return Lock(images=tuple(replace(each, outputs={MUSL: LAYER}) for each in lock.images), packages=packages)


# ---- the first lock


def test_every_image_is_locked_in_every_profile(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES))
    assert [(each.name, each.profile, each.packages, each.base) for each in lock.images] == [
        ("web", "new", ("nginx 2",), ("musl 1",)), ("web", "old", ("nginx 2",), ()),
    ]
    assert [(each.id, each.profiles) for each in lock.packages] == [
        ("musl 1", ("new",)), ("nginx 2", ("new",)), ("nginx 2", ("old",)), ("openssl 3.0.20", ("old",)), ("openssl 3.5.7", ("new",)),
        ("sh 5", ("new", "old")), ("zlib 1", ("new", "old")),
    ]


def test_a_block_is_shared_when_everything_below_it_is_the_same(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES | {"profiles/old": ""}))
    assert package(lock, "nginx").profiles == ("new", "old")
    assert package(lock, "nginx").requires == ("openssl 3.5.7", "zlib 1")
    assert package(lock, "nginx").build_requires == ("sh 5",)


def test_a_block_is_split_when_something_far_below_differs(tmp_path: Path) -> None:
    top = 'tools = ""\nrequires = ["nginx"]\n[[version]]\nversion = "1"\n'
    lock = locked(write(tmp_path, FILES | {"images/web": 'packages = ["top"]\n', "top": top}))
    assert [each.profiles for each in lock.packages if each.name == "top"] == [("new",), ("old",)]


def test_features_split_a_block_too(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES | {"profiles/old": 'features = { nginx = ["lua"] }\n'}))
    assert [(each.profiles, each.features) for each in lock.packages if each.name == "nginx"] == [(("new",), ()), (("old",), ("lua",))]


def test_images_of_a_profile_are_resolved_together(tmp_path: Path) -> None:
    found = write(tmp_path, FILES | {"images/api": 'packages = ["openssl 3.0.*"]\nprofiles = ["new"]\n'})
    lock = locked(found)
    assert package(lock, "openssl", "new").version == "3.0.20"
    assert [(each.name, each.profile) for each in lock.images] == [("api", "new"), ("web", "new"), ("web", "old")]


def test_the_lock_is_written_and_read_back_as_it_is(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES))
    assert lock_text.parse(lock_text.format(lock)) == lock


def test_the_first_lock_lists_all_that_was_added(tmp_path: Path) -> None:
    assert lines(write(tmp_path, FILES), None) == [
        "musl 1 added (new)", "nginx 2 added (new, old)", "openssl 3.5.7 added (new)", "openssl 3.0.20 added (old)",
        "sh 5 added (new, old)", "zlib 1 added (new, old)", "image web in new added", "image web in old added",
    ]


# ---- what is kept


def test_an_unchanged_project_changes_nothing(tmp_path: Path) -> None:
    found = write(tmp_path, FILES)
    lock = measured(locked(found))
    again = relock.relock(found, lock)
    assert again.lock is lock
    assert again.changes == ()
    assert relock.is_stale(found, lock) == []


def test_a_locked_version_is_kept_when_a_better_one_is_listed(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES))
    zlib = 'tools = ""\n[[version]]\nversion = "2"\n' + FILES["zlib"].removeprefix('tools = ""\n')
    found = write(tmp_path, {"zlib": zlib})
    assert package(locked(found, before), "zlib").version == "1"
    assert package(locked(found, before, update={"openssl"}), "zlib").version == "1"
    assert package(locked(found, before, update={"zlib"}), "zlib").version == "2"
    assert package(locked(found, before, update_all=True), "zlib").version == "2"


def test_only_what_is_updated_moves(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES | {"profiles/new": 'constraints = { nginx = "1", openssl = "3.0.20" }\n'}))
    found = write(tmp_path, {"profiles/new": ""})
    assert package(locked(found, before), "nginx").version == "1"
    lock = locked(found, before, update={"openssl"})
    assert (package(lock, "nginx").version, package(lock, "openssl").version) == ("1", "3.5.7")


def test_changes_name_versions_and_the_profiles_they_changed_in(tmp_path: Path) -> None:
    found = write(tmp_path, FILES)
    before = locked(write(tmp_path, {"profiles/new": 'base = ["musl"]\nconstraints = { openssl = "3.0.20", nginx = "1" }\n'}))
    found = write(tmp_path, {"profiles/new": FILES["profiles/new"]})
    assert lines(found, before, update_all=True) == [
        "nginx 1 -> 2 (new)", "openssl 3.0.20 -> 3.5.7 (new)", "image web in new: the image or the profile changed",
    ]


def test_outputs_and_pins_of_what_is_the_same_are_kept(tmp_path: Path) -> None:
    before = measured(locked(write(tmp_path, FILES)))
    found = write(tmp_path, {"nginx": 'summary = "x"\n' + FILES["nginx"], "profiles/old": 'constraints = { openssl = "3.0.20" }\n'})
    lock = locked(found, before)
    assert {each.id: each.outputs for each in lock.packages} == {each.id: {MUSL: OUTPUT} for each in before.packages}
    assert [each.outputs for each in lock.images] == [{MUSL: LAYER}, {MUSL: LAYER}]
    [source] = package(lock, "zlib").sources
    assert (source.sha256, source.tree, source.size, source.unpacked, source.entries) == (HEX[5], SRI[6], 7, 70, 3)
    assert package(lock, "nginx").recipe == found.recipes.digest("nginx") != package(before, "nginx").recipe


def test_outputs_of_another_version_or_other_features_are_not_kept(tmp_path: Path) -> None:
    before = measured(locked(write(tmp_path, FILES)))
    found = write(tmp_path, {"profiles/new": 'features = { nginx = ["lua"] }\n', "profiles/old": ""})
    lock = locked(found, before, update={"openssl"})
    assert package(lock, "nginx", "new").outputs == {}
    assert package(lock, "nginx", "old").outputs == {MUSL: OUTPUT}
    assert package(lock, "openssl", "old").version == "3.5.7"


def test_a_removed_image_and_what_only_it_needed_go(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES | {"images/tls": 'packages = ["openssl"]\nprofiles = ["new"]\n', "profiles/new": ""}))
    (tmp_path / "recipes" / "images" / "web.toml").unlink()
    assert lines(project.load(str(tmp_path)), before) == [
        "nginx 2 removed (new, old)", "openssl 3.0.20 removed (old)", "sh 5 removed (new, old)", "zlib 1 removed (new, old)",
        "image web in new removed", "image web in old removed",
    ]


def test_an_unknown_name_cannot_be_updated(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        relock.relock(write(tmp_path, FILES), None, update={"opensll"})
    assert str(caught.value) == "there is no recipe 'opensll' to update\n  next: did you mean 'openssl'?"


def test_a_conflict_names_image_and_profile(tmp_path: Path) -> None:
    found = write(tmp_path, FILES | {"images/web": 'packages = ["nginx", "openssl 3.5*"]\n'})
    with pytest.raises(ConflictError) as caught:
        relock.relock(found, None)
    assert str(caught.value) == """\
profile old: no version of openssl satisfies all requirements:
  image web (profile old) wants openssl 3.5*
  profile old constrains openssl 3.0.*
versions known: 3.5.7, 3.0.20
  next: loosen one of these, or add a version to recipes/openssl.toml that all of them admit"""


# ---- pins


def zlib(source: str, version: str = "1", more: str = "") -> dict[str, str]:
    return {"zlib": f'tools = ""\n[[version]]\nversion = "{version}"\nsource = [{{ {source} }}{more}]\n'}


AT = 'locations = ["https://zlib.net/zlib-1.tgz"]'


def test_what_nothing_pins_is_missing_once(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES))
    [(name, version, source)] = relock.missing_pins(lock)
    assert (name, version, source.locations) == ("zlib", "1", ("https://zlib.net/zlib-1.tgz",))
    folder = locked(write(tmp_path, zlib('folder = "src"')))
    assert relock.missing_pins(folder) == []


def test_measured_pins_are_filled_in_and_reported_as_new(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES))
    pinned = relock.with_pins(lock, {relock.missing_pins(lock)[0]: Pinned()})
    assert [str(each) for each in relock.changes(lock, pinned)] == [
        f"pinned newly: zlib 1, source 'main': sha256 {HEX[5]}, tree {SRI[6]}, size 7, unpacked 70, entries 3",
    ]
    assert relock.missing_pins(pinned) == []


def test_what_is_pinned_already_stays_as_it_is(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES | zlib(f'{AT}, tree = "{SRI[8]}"')))
    [source] = package(lock, "zlib").sources
    assert relock.with_pins(lock, {("zlib", "1", source): Pinned()}) != lock
    [filled] = package(relock.with_pins(lock, {("zlib", "1", source): Pinned()}), "zlib").sources
    assert (filled.tree, filled.sha256) == (SRI[8], HEX[5])


@pytest.mark.parametrize(("source", "kept"), [
    (AT, ("size", "sha256", "tree", "unpacked", "entries")),
    ('locations = ["https://mirror.org/z.tgz", "https://zlib.net/zlib-1.tgz"]\nfilename = "zlib-1.tgz"', (
        "size", "sha256", "tree", "unpacked", "entries",
    )),
    (AT + f', sha256 = "{HEX[5]}"', ("size", "sha256", "tree", "unpacked", "entries")),
    (AT + ", strip = 0", ("size", "sha256")),
    (AT + f', tree = "{SRI[8]}"', ("tree",)),
    (AT + f', sha256 = "{HEX[8]}"', ("sha256",)),
    (AT + ", size = 8", ("size",)),
    ('locations = ["https://zlib.net/other.tgz"]', ()),
])
def test_measured_pins_are_kept_while_they_can_be_of_the_same_bytes(tmp_path: Path, source: str, kept: tuple[str, ...]) -> None:
    before = measured(locked(write(tmp_path, FILES)))
    [found] = package(locked(write(tmp_path, zlib(source.replace("\n", ", "))), before), "zlib").sources
    assert tuple(key for key in ("size", "sha256", "tree", "unpacked", "entries") if getattr(found, key) is not None) == kept


def test_sources_keep_their_pins_by_name(tmp_path: Path) -> None:
    two = ', { name = "b", locations = ["https://zlib.net/b.tgz"] }'
    before = measured(locked(write(tmp_path, FILES | zlib(AT, more=two))))
    turned = zlib('name = "b", locations = ["https://zlib.net/b.tgz"]', more=f", {{ {AT} }}")
    lock = locked(write(tmp_path, turned), before)
    assert [(each.name, each.tree) for each in package(lock, "zlib").sources] == [("b", SRI[6]), ("main", SRI[6])]


def test_a_declared_pin_that_was_edited_in_the_lock_is_put_back(tmp_path: Path) -> None:
    found = write(tmp_path, FILES)
    sound = measured(locked(found))
    [source] = package(sound, "openssl").sources
    wrong = replace(source, sha256=HEX[8], locations=(*source.locations, "https://evil.example/openssl.tgz"))
    edited = tuple(replace(each, sources=(wrong,)) if each.id == "openssl 3.5.7" else each for each in sound.packages)
    lock = replace(sound, packages=edited)
    assert locked(found, lock) is lock  # the short way, for commands that only need a lock for these recipes
    assert locked(found, lock, whole=True) == sound
    assert relock.is_stale(found, lock) == [
        f"openssl 3.5.7, source 'main': sha256 {HEX[8]} -> {HEX[1]}", "openssl 3.5.7, source 'main': locations changed",
    ]


# ---- a hash that did not change

HINT = (
    "\n  next: put the hash of the new bytes there, or take it out and let `builder resolve` measure it; "
    "if the same archive only has a new place, list it beside the old one; if lock.toml was edited by hand, take that back: "
    "`git checkout lock.toml`"
)


def refused(found: Project, before: Lock, **more: object) -> str:
    with pytest.raises(RefusedError) as caught:
        locked(found, before, **more)
    with pytest.raises(RefusedError):
        relock.is_stale(found, before)
    return str(caught.value)


def test_a_changed_url_with_the_hash_of_before_is_refused(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"')))
    found = write(tmp_path, zlib(f'locations = ["https://zlib.net/zlib-2.tgz"], sha256 = "{HEX[7]}"'))
    assert refused(found, before) == (
        "recipes/zlib.toml: version 1, source 'main': the URL changed from https://zlib.net/zlib-1.tgz "
        f"to https://zlib.net/zlib-2.tgz, but the sha256 {HEX[7]} is still that of zlib 1" + HINT
    )


def test_a_changed_version_with_the_hash_of_before_is_refused(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, tree = "{SRI[7]}"')))
    found = write(tmp_path, zlib(f'{AT}, tree = "{SRI[7]}"', version="2"))
    assert refused(found, before) == (
        f"recipes/zlib.toml: the version changed from 1 to 2, but the tree {SRI[7]} is still that of zlib 1" + HINT
    )


def test_a_changed_version_and_url_with_the_hash_of_before_is_refused(tmp_path: Path) -> None:
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"')))
    found = write(tmp_path, zlib(f'locations = ["https://zlib.net/zlib-2.tgz"], sha256 = "{HEX[7]}"', version="2"))
    assert refused(found, before) == (
        "recipes/zlib.toml: version 2, source 'main': the URL changed from https://zlib.net/zlib-1.tgz "
        f"to https://zlib.net/zlib-2.tgz, but the sha256 {HEX[7]} is still that of zlib 1" + HINT
    )


def test_all_refusals_come_at_once(tmp_path: Path) -> None:
    sh = 'tools = ""\n[[version]]\nversion = "%s"\nsource = [{ locations = ["https://sh.org/sh.tgz"], sha256 = "%s" }]\n'
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"') | {"tools/sh": sh % (5, HEX[8])}))
    found = write(tmp_path, zlib(f'{AT}, sha256 = "{HEX[7]}"', version="2") | {"tools/sh": sh % (6, HEX[8])})
    assert refused(found, before, update_all=True).splitlines()[:-1] == [
        f"recipes/tools/sh.toml: the version changed from 5 to 6, but the sha256 {HEX[8]} is still that of sh 5",
        f"recipes/zlib.toml: the version changed from 1 to 2, but the sha256 {HEX[7]} is still that of zlib 1",
    ]


@pytest.mark.parametrize("source", [
    f'locations = ["https://other.org/z.tgz", "https://zlib.net/zlib-1.tgz"], sha256 = "{HEX[7]}"',  # a place more
    f'locations = ["https://zlib.net/zlib-2.tgz"], sha256 = "{HEX[8]}"',  # new bytes at a new place
    f'{AT}, sha256 = "{HEX[8]}"',  # new bytes at the old place
    'locations = ["https://zlib.net/zlib-2.tgz"]',  # to be measured
])
def test_other_changes_of_a_source_are_not_refused(tmp_path: Path, source: str) -> None:
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"')))
    assert locked(write(tmp_path, zlib(source)), before) != before


def test_a_new_version_of_which_one_source_changed_is_not_refused(tmp_path: Path) -> None:
    patches = ', { name = "patches", locations = ["https://zlib.net/p.tgz"], sha256 = "%s" }'
    before = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"', more=patches % HEX[1])))
    found = write(tmp_path, zlib(f'{AT}, sha256 = "{HEX[7]}"', version="1-r2", more=patches % HEX[2]))
    assert package(locked(found, before), "zlib").version == "1-r2"


def test_what_changed_in_a_source_is_told(tmp_path: Path) -> None:
    before = measured(locked(write(tmp_path, FILES | zlib(AT, more=', { name = "b", folder = "x" }'))))
    more = ', { name = "c", folder = "x" }'
    found = write(tmp_path, zlib('locations = ["https://zlib.net/zlib-2.tgz"], filename = "z.tgz", strip = 0', more=more))
    assert lines(found, before)[:-1] == [
        f"zlib 1, source 'main': sha256 {HEX[5]} -> not known", f"zlib 1, source 'main': tree {SRI[6]} -> not known",
        "zlib 1, source 'main': size 7 -> not known", "zlib 1, source 'main': unpacked 70 -> not known",
        "zlib 1, source 'main': entries 3 -> not known", "zlib 1, source 'main': locations changed",
        "zlib 1, source 'main': filename changed", "zlib 1, source 'main': strip changed", "zlib 1, source 'c': added",
        "zlib 1, source 'b': removed",
    ]


# ---- staleness


def test_a_stale_lock_says_why(tmp_path: Path) -> None:
    lock = locked(write(tmp_path, FILES | zlib(f'{AT}, sha256 = "{HEX[7]}"')))
    found = write(tmp_path, zlib(f'{AT}, sha256 = "{HEX[8]}", size = 5') | {"musl": 'tools = ""\n[[version]]\nversion = "1"\n'})
    assert relock.is_stale(found, lock) == [
        "pinned newly: zlib 1, source 'main': size 5", f"zlib 1, source 'main': sha256 {HEX[7]} -> {HEX[8]}",
        "musl 1: features or requirements changed", "zlib 1: the recipe changed",
    ]
    assert [str(each) for each in relock.relock(found, lock).changes] == relock.is_stale(found, lock)


def test_an_edited_block_is_stale(tmp_path: Path) -> None:
    found = write(tmp_path, FILES)
    lock = locked(found)
    edited = replace(lock, packages=tuple(replace(each, requires=()) if each.name == "nginx" else each for each in lock.packages))
    assert relock.is_stale(found, edited) == ["nginx 2: features or requirements changed"]
    more = replace(lock, packages=(*lock.packages, replace(package(lock, "sh"), name="zz")))
    assert relock.is_stale(found, more) == ["zz 5 removed (new, old)"]


# ---- the short way


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The profiles that are resolved from here on."""
    calls: list[str] = []

    def resolve(asked: resolver.Query) -> resolver.Resolution:
        calls.append(asked.label)
        return resolver.resolve(asked)

    monkeypatch.setattr(relock, "resolve", resolve)
    return calls


@pytest.mark.parametrize(("files", "resolved"), [
    ({"openssl": 'summary = "x"' + OPENSSL}, False),
    ({"musl": 'summary = "x"\n' + FILES["musl"]}, False),
    (zlib(f'{AT}, sha256 = "{HEX[7]}"'), False),
    ({"musl": 'tools = "sh"\nbuild-requires = ["zlib"]\n[[version]]\nversion = "1"\n'}, True),
    ({"musl": 'tools = ""\n[[version]]\nversion = "1"\n'}, True),
    ({"openssl": OPENSSL.replace("3.5.7", "3.5.8").replace(HEX[1], HEX[4])}, True),
    ({"profiles/new": 'base = ["musl"]\nsummary = "x"\n'}, True),
    ({"images/web": 'packages = ["nginx"]\nsummary = "x"\n'}, True),
    ({"images/two": 'packages = ["zlib"]\n'}, True),
    ({"nginx": FILES["nginx"].replace('"zlib"', '"zlib 1"')}, False),
    ({"nginx": FILES["nginx"].replace('requires = ["openssl", "zlib"]', 'requires = ["zlib"]')}, True),
    ({"musl": 'tools = "sh"\n[[version]]\nversion = "1"\nbuild-requires = ["nginx[lua]"]\n'}, True),
])
def test_requirements_that_are_as_locked_are_not_resolved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], resolved: bool
) -> None:
    before = measured(locked(write(tmp_path, FILES)))
    found = write(tmp_path, files)
    calls = counted(monkeypatch)
    quick = relock.relock(found, before)
    assert bool(calls) == resolved
    monkeypatch.setattr(relock, "_refreshed", lambda *_: None)
    assert relock.relock(found, before) == quick


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 25), st.data())
def test_the_short_way_gives_what_the_long_way_gives(tmp_path_factory: pytest.TempPathFactory, n: int, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("synthetic")
    made = synthetic.write(root, n)
    before = measured(locked(project.load(str(root))))
    for i in data.draw(st.lists(st.integers(0, n - 1), max_size=3)):
        synthetic.touch(root, made, i, "again")
    if data.draw(st.booleans()):
        i = data.draw(st.integers(0, n - 1))
        path = root / "recipes" / f"{synthetic.name(i)}.toml"
        path.write_text(synthetic.recipe(i, tuple(data.draw(st.sets(st.integers(0, i - 1), max_size=2))) if i else ()))
    found = project.load(str(root))
    quick = locked(found, before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relock, "_refreshed", lambda *_: None)
        assert locked(found, before) == quick
    assert relock.is_stale(found, quick) == []


def test_a_thousand_unchanged_recipes_are_remembered_and_not_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = synthetic.write(tmp_path / "p", 300)
    time.sleep(0.03)
    cache = str(tmp_path / "cache")
    before = locked(project.load(str(tmp_path / "p"), cache_dir=cache))
    synthetic.touch(tmp_path / "p", made, made.leaf, "again")
    calls = counted(monkeypatch)
    found = project.load(str(tmp_path / "p"), cache_dir=cache)
    assert lines(found, before) == [f"{synthetic.name(made.leaf)} 1: the recipe changed"]
    assert calls == []
    assert len(found.recipes._decoded) == 1
