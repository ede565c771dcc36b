"""The rules of the audit, each with what it is for and what it must leave alone."""

import re
from pathlib import Path

import pytest
import sample
from msgspec.structs import replace
from sample import PLATFORM, Sample, only, rows

from builder.audit import Rule
from builder.audit.context import Context
from builder.audit.rules.single_location import RULE as SINGLE
from builder.audit.rules.weak_pin import RULE as WEAK
from builder.lock.lock import Lock, LockedPackage
from builder.recipe.source import Source
from builder.store import Store

ZLIB_URL = "https://zlib.net/zlib-1.3.1.tar.gz"


# ---- recipes


def test_a_changed_recipe_makes_the_lock_stale(project: Sample) -> None:
    old = project.project().recipes.digest("zlib")
    project.replace("recipes/zlib.toml", 'name = "zlib"', 'name = "zlib"\nsummary = "x"')
    new = project.project().recipes.digest("zlib")
    assert only(project) == (
        "stale-recipe", "zlib 1.3.1, recipe",
        f"it was locked from another recipes/zlib.toml: the lock has {old}, the file is {new}",
    )


def test_a_changed_image_or_profile_makes_the_lock_stale(project: Sample) -> None:
    project.replace("recipes/images/web.toml", 'name = "web"', 'name = "web"\nsummary = "x"')
    (rule, place, reason), *_ = rows(project)
    assert (rule, place) == ("stale-recipe", "image web in embedded, recipe")
    assert reason.startswith("the image or the profile changed: the lock has sha256-")


def test_versions_and_recipes_that_are_gone(project: Sample) -> None:
    project.replace("recipes/zlib.toml", 'version = "1.3.1"', 'version = "1.3.2"')
    (project.root / "recipes/images/more.toml").unlink()
    (project.root / "recipes/cookie.toml").unlink()
    found = rows(project, every=True)
    assert ("stale-recipe", "zlib 1.3.1", "recipes/zlib.toml has no version 1.3.1; it has 1.3.2, 1.3") in found
    assert ("stale-recipe", "cookie 0.1", "there is no recipe of this name") in found
    assert ("stale-recipe", "image more in extra", "there is no such image any more") in found


def test_what_only_resolving_tells(project: Sample) -> None:
    lock = project.lock
    project.lock = replace(lock, packages=tuple(
        replace(each, build_requires=()) if each.name == "musl" else each for each in lock.packages
    ))
    (rule, place, reason), *_ = rows(project)
    assert (rule, place) == ("stale-recipe", "lock.toml")
    assert reason.startswith("resolving now gives something else: ")


# ---- pins


def test_pins_that_are_not_the_declared_ones(project: Sample) -> None:
    declared = sample.pins("zlib-1.3.1.tar.gz")["sha256"]
    project.change_source("zlib", sha256="0" * 64)
    assert only(project) == (
        "pin-disagrees", "zlib 1.3.1, source main, sha256", f"the lock has {'0' * 64}, the recipe declares {declared}"
    )


def test_locations_that_are_not_the_recipes(project: Sample) -> None:
    project.change_source("zlib", locations=("https://evil.example/zlib-1.3.1.tar.gz", "mirror://debian/pool/x"))
    places = {place: reason for rule, place, reason in rows(project) if rule == "pin-disagrees"}
    assert places == {"zlib 1.3.1, source main, locations": (
        "the lock has https://evil.example/zlib-1.3.1.tar.gz, mirror://debian/pool/x, "
        f"the recipe declares {ZLIB_URL}, mirror://debian/pool/zlib_1.3.1.orig.tar.gz"
    )}


def test_sources_that_only_one_side_has(project: Sample) -> None:
    lock = project.lock
    project.lock = replace(lock, packages=tuple(
        replace(each, sources=tuple(replace(one, name="x" if one.name == "debian" else one.name) for one in each.sources))
        if each.name == "nginx" else each for each in lock.packages
    ))
    found = [(place, reason) for rule, place, reason in rows(project) if rule == "pin-disagrees"]
    assert found == [
        ("nginx 1.26.3, source x", "the recipe has no such source"),
        ("nginx 1.26.3, source debian", "the recipe has this source, but the lock has not"),
    ]


def test_measured_pins_are_checked_against_this_machine(project: Sample) -> None:
    real = sample.pins("openssl-3.5.7.tar.gz")
    project.change_source("openssl", tree=sample.pins("zlib-1.3.tar.gz")["tree"])
    assert rows(project)[0] == (
        "measured-pin", "openssl 3.5.7, source main, tree",
        f"the lock pins {sample.pins('zlib-1.3.tar.gz')['tree']}, but the file with the pinned sha256 unpacks to {real['tree']}",
    )
    project.change_source("openssl", tree=real["tree"], entries=7)
    assert only(project) == (
        "measured-pin", "openssl 3.5.7, source main, entries", "the lock says 7, but the tree holds 1"
    )


def test_a_measured_file_hash_is_checked_against_the_file_the_tree_came_from(project: Sample) -> None:
    project.replace("recipes/openssl.toml", f'sha256 = "{sample.pins("openssl-3.5.7.tar.gz")["sha256"]}"\n', "")
    project.resolve()
    baseline = rows(project)
    project.change_source("openssl", sha256="0" * 64)
    new = [each for each in rows(project) if each not in baseline]
    assert new == [(
        "measured-pin", "openssl 3.5.7, source main, sha256",
        f"the lock pins {'0' * 64}, but the pinned tree came out of the file {sample.pins('openssl-3.5.7.tar.gz')['sha256']}",
    )]


def audit_source(rule: Rule, tmp_path: Path, source: Source) -> list[str]:
    """Reasons that one rule gives for one source."""
    package = LockedPackage(name="p", version="1", profiles=("embedded",), recipe="", sources=(source,))
    with Store(str(tmp_path / "store")) as store:
        context = Context(
            project=None, lock=Lock(packages=(package,)), store=store, platform=PLATFORM, profiles=("embedded",)
        )
        return [each.reason for each in rule.check(context)]


TREE = "sha256-" + "A" * 43 + "="
FORGE = "https://forge.example/a/archive/v1.tar.gz"
SITE = "https://site.example/a-1.tar.gz"


@pytest.mark.parametrize(("source", "reasons"), [
    (Source(locations=(SITE,), sha256="0" * 64, size=1), []),
    (Source(locations=(SITE,), sha256="0" * 64, size=1, tree=TREE), []),
    (Source(locations=(FORGE,), tree=TREE), []),
    (Source(locations=("https://codeload.forge.example/a/tar.gz/v1",), tree=TREE), []),
    (Source(locations=("https://lab.example/g/a/-/archive/v1/a.tar.gz",), tree=TREE, size=7), []),
    (Source(folder="lua"), []),
    (Source(locations=(SITE,)), []),  # that is unpinned-source
    (Source(locations=(SITE,), size=1), ["only its size is pinned, and other bytes can have it too"]),
    (Source(locations=(SITE,), sha256="0" * 64), [
        "its size is not pinned: a download is only known to be wrong when it ends"
    ]),
    (Source(locations=(FORGE, SITE), tree=TREE, size=1), [
        f"its file's bytes are not pinned, although {SITE} publishes fixed ones"
    ]),
    (Source(locations=("mirror://debian/pool/archive/a.tar.gz",), tree=TREE), [
        "its file's bytes are not pinned, although mirror://debian/pool/archive/a.tar.gz publishes fixed ones"
    ]),
])  # fmt: skip
def test_weak_pins(tmp_path: Path, source: Source, reasons: list[str]) -> None:
    assert audit_source(WEAK, tmp_path, source) == reasons


@pytest.mark.parametrize(("locations", "reasons"), [
    (("mirror://debian/pool/a",), []),
    (("pypi://a/1/a.whl",), []),
    ((SITE, FORGE), []),
    ((SITE,), ["it can be had from site.example only"]),
    ((SITE, "https://site.example/other/a-1.tar.gz"), ["it can be had from site.example only"]),
    ((SITE, "http://SITE.example:8080/a"), ["it can be had from site.example only"]),
    (("https://me:secret@[::1/a",), ["it can be had from [: only"]),
])
def test_single_locations(tmp_path: Path, locations: tuple[str, ...], reasons: list[str]) -> None:
    assert audit_source(SINGLE, tmp_path, Source(locations=locations)) == reasons


def test_unpinned_and_plain_http(project: Sample) -> None:
    project.change_source(
        "zlib", locations=("http://zlib.net/zlib-1.3.1.tar.gz", "mirror://debian/x"), sha256=None, tree=None, size=None
    )
    found = [(rule, reason) for rule, place, reason in rows(project) if place == "zlib 1.3.1, source main"]
    assert found == [
        ("unpinned-source", "nothing of its bytes is pinned"),
        ("plain-http-unpinned", "http://zlib.net/zlib-1.3.1.tar.gz is fetched without encryption, and no hash tells "
                                "whether it was replaced on the way"),
        ("plain-http-first", "http://zlib.net/zlib-1.3.1.tar.gz is asked first, without encryption, and mirror://debian/x only after it"),
    ]


def test_plain_http_with_a_pin_is_no_finding_where_it_is_the_last_place(project: Sample) -> None:
    project.change_source("zlib", locations=("mirror://debian/x", "http://zlib.net/zlib-1.3.1.tar.gz"))
    assert {rule for rule, _, _ in rows(project)} == {"pin-disagrees"}


# ---- the store


def flip(path: str) -> None:
    """Change one bit of a file, whatever its mode and that of its folder."""
    file = Path(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    mode = file.parent.stat().st_mode
    file.parent.chmod(0o755)
    file.unlink()
    file.write_bytes(data)
    file.parent.chmod(mode)


def test_a_flipped_bit_in_a_cached_archive(project: Sample) -> None:
    path = project.store.file_path(sample.pins("zlib-1.3.1.tar.gz")["sha256"])
    flip(path)
    rule, place, reason = only(project)
    assert (rule, place) == ("source-bytes", "zlib 1.3.1, source main")
    assert reason.startswith(f"{path} is damaged: its SHA-256 is ")


def test_a_wrong_size_of_a_cached_archive(project: Sample) -> None:
    project.change_source("zlib", size=26)
    assert ("source-bytes", "zlib 1.3.1, source main, size",
            "the lock says 26 bytes, but the file with this very SHA-256 has 25") in rows(project)


def test_a_flipped_bit_in_a_tree(project: Sample) -> None:
    tree = sample.tree_of(sample.OUTPUTS["zlib"]["out"])
    path = project.store.tree_path(tree)
    flip(f"{path}/lib/libz.so")
    found = [each for each in rows(project) if each[0] == "tree-bytes"]
    assert len(found) == 1
    assert found[0][1] == "zlib 1.3.1, output out"
    assert re.fullmatch(rf"{path} is damaged: its content is sha256-\S+, not {re.escape(tree)}", found[0][2])


def test_an_empty_store_is_no_finding(project: Sample, tmp_path: Path) -> None:
    with Store(str(tmp_path / "other")) as empty:
        project.store = empty
        assert rows(project) == []


def test_a_patch_that_left_no_trace(project: Sample) -> None:
    project.replace("recipes/nginx.toml", "too many header lines", "a text that the patch would bring")
    project.resolve()
    found = [each for each in rows(project) if each[0] == "patch-witness"]
    assert found == [(
        "patch-witness", "nginx 1.26.3, patch debian/patches/fix.patch",
        "no built file has the text 'a text that the patch would bring', which shows that the patch was applied",
    )]


# ---- outputs


def without_output(lock: Lock, name: str) -> Lock:
    return replace(lock, packages=tuple(replace(each, outputs={}) if each.name == name else each for each in lock.packages))


def test_outputs_that_are_missing(project: Sample) -> None:
    lock = without_output(project.lock, "openssl")
    project.lock = replace(lock, images=tuple(replace(each, outputs={}) for each in lock.images))
    reason = "it has no output for x86_64-linux-musl, which the lock has for others"
    assert rows(project) == [
        ("output-missing", "openssl 3.5.7", reason), ("output-missing", "image web in embedded", reason)
    ]


def test_a_platform_that_only_some_have(project: Sample) -> None:
    lock = project.lock
    project.lock = replace(lock, packages=tuple(
        replace(each, outputs={**each.outputs, sample.OTHER: each.outputs[PLATFORM]}) if each.name == "zlib" else each
        for each in lock.packages
    ))
    assert [place for rule, place, _ in rows(project) if rule == "output-missing"] == [
        "musl 1.2.5", "nginx 1.26.3", "openssl 3.5.7", "toolset 1", "image web in embedded"
    ]


def test_a_lock_that_was_never_built_is_one_finding(project: Sample) -> None:
    lock = project.lock
    project.lock = replace(
        lock, packages=tuple(replace(each, outputs={}) for each in lock.packages),
        images=tuple(replace(each, outputs={}) for each in lock.images),
    )
    assert only(project) == ("output-missing", "lock.toml", "it pins no output at all")


def test_optional_outputs_may_be_missing(project: Sample) -> None:
    assert "output-missing" not in {rule for rule, _, _ in rows(project, every=True)}


def test_an_output_that_was_not_built_here(project: Sample, tmp_path: Path) -> None:
    """Edited by hand: the record of the same key tells the truth, and nothing else is blamed; without one, the keys of what
    needs it tell it."""
    lock = project.lock
    zlib = next(each for each in lock.packages if each.name == "zlib")
    built = zlib.outputs[PLATFORM]
    fake = replace(built, trees={**built.trees, "out": TREE})
    project.lock = replace(lock, packages=tuple(
        replace(each, outputs={PLATFORM: fake}) if each is zlib else each for each in lock.packages
    ))
    found = rows(project)
    assert ("output-disagrees", "zlib 1.3.1, output out",
            f"the lock pins {TREE}, but building it here gave {built.trees['out']}") in found
    assert [place for rule, place, _ in found if rule == "stale-output"] == []
    expected = [
        "nginx 1.26.3, output for x86_64-linux-musl", "openssl 3.5.7, output for x86_64-linux-musl",
        "image web in embedded, output for x86_64-linux-musl",
    ]
    with Store(str(tmp_path / "other")) as empty:
        project.store = empty
        assert [place for _, place, _ in rows(project)] == expected


def test_a_layer_that_is_not_what_the_outputs_give(project: Sample) -> None:
    lock = project.lock
    image = next(each for each in lock.images if each.name == "web")
    layer = image.outputs[PLATFORM]
    wrong = replace(layer, layer="1" * 64, size=layer.size + 512, base=())
    project.lock = replace(lock, images=tuple(
        replace(each, outputs={PLATFORM: wrong}) if each is image else each for each in lock.images
    ))
    assert rows(project) == [
        ("image-bytes", "image web in embedded, layer", f"the lock pins {'1' * 64}, but composing gives {layer.layer}"),
        ("image-bytes", "image web in embedded, size",
         f"the lock pins {layer.size + 512} bytes, but composing gives {layer.size} bytes"),
        ("image-bytes", "image web in embedded, base", f"the lock pins none, but composing gives {layer.base[0]}"),
    ]
