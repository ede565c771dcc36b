"""The audit: a sound project has no finding, each rule finds what it is for, and no changed digit stays hidden."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sample
from builder.audit import RULES, Finding, Rule, run
from builder.audit.context import Context
from builder.audit.rules.single_location import RULE as SINGLE
from builder.audit.rules.weak_pin import RULE as WEAK
from builder.errors import UsageError
from builder.lock import Lock, LockedPackage
from builder.source import Source
from builder.store import Store
from sample import PLATFORM, Sample

ZLIB_URL = "https://zlib.net/zlib-1.3.1.tar.gz"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample project and its store, made once."""
    folder = tmp_path_factory.mktemp("sample")
    with Store(str(folder / "store")) as store:
        sample.make(folder / "project", store)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Iterator[Sample]:
    shutil.copytree(template / "project", tmp_path / "project")
    shutil.copytree(template / "store", tmp_path / "store", copy_function=os.link)  # nothing there is written in place
    with Store(str(tmp_path / "store")) as store:
        yield Sample(tmp_path / "project", store)


def findings(project: Sample, **more: Any) -> list[Finding]:
    return list(run(project.context(**more), RULES).findings)


def rows(project: Sample, **more: Any) -> list[tuple[str, str, str]]:
    return [(each.rule, each.place, each.reason) for each in findings(project, **more)]


def only(project: Sample, **more: Any) -> tuple[str, str, str]:
    """The one finding: rule, place, reason."""
    found = rows(project, **more)
    assert len(found) == 1, found
    return found[0]


# ---- the whole


def test_a_sound_project_has_no_finding(project: Sample) -> None:
    report = run(project.context(), RULES)
    assert report.exit_code == 0
    assert report.rows() == []
    assert report.text() == (
        f"no findings; {len(RULES)} rules looked at 5 packages of profile embedded on x86_64-linux-musl\n"
    )


def test_report_for_people_and_machines(project: Sample) -> None:
    report = run(project.context(every=True), RULES)
    assert report.exit_code == 1
    assert report.text() == (
        "single-location: a source lies in one place only, which may vanish\n"
        "  cookie 0.1, source main\n"
        "    it can be had from forge.example only\n"
        "    next: add a second location (another host, a distribution mirror), or keep a copy that --distdir can name\n"
        "\n"
        f"1 finding of 1 rule; {len(RULES)} rules looked at 6 packages of profiles embedded and extra on {PLATFORM}\n"
    )
    assert report.rows() == [{
        "rule": "single-location",
        "place": "cookie 0.1, source main",
        "reason": "it can be had from forge.example only",
        "remedy": "add a second location (another host, a distribution mirror), or keep a copy that --distdir can name",
    }]


def test_rules_have_unlike_ids_and_one_line_each() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.id)
        assert rule.summary and "\n" not in rule.summary and not rule.summary.endswith(".")


def test_every_rule_file_is_in_the_list() -> None:
    import builder.audit.rules as package  # noqa: PLC0415

    files = {path.stem for path in Path(package.__path__[0]).glob("*.py")} - {"__init__"}
    assert {rule.check.__module__.rpartition(".")[2] for rule in RULES} == files


def test_a_finding_that_two_paths_give_is_shown_once(project: Sample) -> None:
    twice = Rule("twice-found", "found twice", lambda _: [Finding("twice-found", "p", "r", "n")] * 2)
    assert len(run(project.context(), [twice]).findings) == 1


def _blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """(position of the value, value, name of the block) of each pin in a lock's text."""
    name = ""
    pin = re.compile(r'^(?:(?:name|version|profile|platform) = .*|(?:[a-z0-9-]+ = )?"?([^"\n\[\]]+)"?,?)$', re.MULTILINE)
    for block in re.split(r"(?=^\[\[(?:image|package)\]\]$)", text, flags=re.MULTILINE):
        found = re.search(r'^name = "(.*)"$', block, re.MULTILINE)
        name = found[1] if found else ""
        start = text.index(block)
        if name:
            yield from (
                (start + each.start(1), each[1], name) for each in pin.finditer(block)
                if each[1] and any(c.isdigit() for c in each[1]) and not each[1].startswith("http")
            )


def _flipped(text: str) -> Iterator[tuple[str, str, str]]:
    """(lock with one digit changed, name of its block, what was changed): the first, middle and last of every pin."""
    for position, value, name in _blocks(text):
        begin = len("sha256-") if value.startswith("sha256-") else 0
        places = [at for at in range(begin, len(value)) if value[at].isdigit() or (begin and value[at] not in "=+/")]
        for number in {places[0], places[len(places) // 2], places[-1]}:
            digit = "1" if value[number] != "1" else "2"
            at = position + number
            yield text[:at] + digit + text[at + 1 :], name, value


def test_a_changed_digit_in_any_pin_is_found_and_named(project: Sample) -> None:
    text = project.lock_text
    baseline = set(rows(project, every=True))
    pins = set()
    for changed, name, what in _flipped(text):
        project.write("lock.toml", changed)
        new = [each for each in rows(project, every=True) if each not in baseline]
        assert any(name in place or name in reason for _, place, reason in new), (name, what, new)
        pins.add(what)
    assert len(pins) > 50


# ---- files


def test_unknown_keys_are_findings_with_their_places(project: Sample) -> None:
    project.replace("lock.toml", 'name = "zlib"\n', 'name = "zlib"\nnaem = "zlib"\n')
    project.replace("recipes/openssl.toml", 'name = "openssl"\n', 'name = "openssl"\nlicence = "MIT"\n')
    found = findings(project)
    assert [each.as_dict() for each in found] == [
        {
            "rule": "unknown-key", "place": "recipes/openssl.toml: licence", "reason": "nothing reads this key",
            "remedy": "did you mean 'license'?",
        },
        {
            "rule": "unknown-key", "place": "lock.toml: package[5] 'zlib 1.3.1'.naem", "reason": "nothing reads this key",
            "remedy": "did you mean 'name'?",
        },
    ]


def test_a_lock_that_cannot_be_read_is_a_finding(project: Sample) -> None:
    project.write("lock.toml", "<<<<<<< ours\n" + project.lock_text)
    report = run(project.context(), RULES)
    assert [(each.rule, each.place, each.reason) for each in report.findings] == [
        ("invalid-file", "lock.toml: line 1", "a merge conflict is left here")
    ]
    assert report.text().endswith("rules looked at a lock that cannot be read\n")


def test_a_lock_that_is_no_text_is_a_finding(project: Sample) -> None:
    (project.root / "lock.toml").write_bytes(b"a\xff")
    assert only(project) == ("invalid-file", "lock.toml", "is not UTF-8 text at byte 1")


def test_no_lock_is_a_usage_error(project: Sample) -> None:
    (project.root / "lock.toml").unlink()
    with pytest.raises(UsageError) as caught:
        project.context()
    assert str(caught.value) == f"{project.root}/lock.toml: there is no lock to audit\n  next: run `builder resolve`"


# ---- which profiles and images


def test_profiles_whose_outputs_are_optional_are_looked_at_when_named(project: Sample) -> None:
    assert project.context().profiles == ("embedded",)
    assert project.context(every=True).profiles == ("embedded", "extra")
    assert [each[0] for each in rows(project, profiles=["extra"])] == ["single-location"]


def test_one_image_means_what_it_needs(project: Sample) -> None:
    context = project.context(every=True, image="more")
    assert [each.id for each in context.packages] == ["cookie 0.1", "musl 1.2.5", "toolset 1"]


def test_unknown_profile_and_image(project: Sample) -> None:
    with pytest.raises(UsageError) as caught:
        project.context(profiles=["embeded"])
    assert str(caught.value) == "the lock has no profile 'embeded'\n  next: did you mean 'embedded'?"
    with pytest.raises(UsageError) as caught:
        project.context(image="more")
    assert str(caught.value) == (
        "the lock has no image 'more' in embedded\n"
        "  next: it has more in extra, web in embedded; name the profile with --profile, or take --all"
    )


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
    (("https://snapshot.debian.org/archive/a",), []),
    ((SITE, FORGE), []),
    ((SITE,), ["it can be had from site.example only"]),
    ((SITE, "https://site.example/other/a-1.tar.gz"), ["it can be had from site.example only"]),
    ((SITE, "http://SITE.example:8080/a"), ["it can be had from site.example only"]),
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
    ]


def test_plain_http_with_a_pin_is_no_finding(project: Sample) -> None:
    project.change_source("zlib", locations=("http://zlib.net/zlib-1.3.1.tar.gz", "mirror://debian/x"))
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
    """Edited by hand: the record of the same key tells the truth; without one, the keys of what needs it do."""
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
    stale = [place for rule, place, _ in found if rule == "stale-output"]
    expected = [
        "nginx 1.26.3, output for x86_64-linux-musl", "openssl 3.5.7, output for x86_64-linux-musl",
        "image web in embedded, output for x86_64-linux-musl",
    ]
    assert stale == expected
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


# ---- since a git revision


def git(project: Sample, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)


@pytest.fixture
def history(project: Sample) -> Sample:
    """The sample project, committed."""
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "one")
    return project


def test_nothing_changed_since(history: Sample) -> None:
    report = run(history.context(since="HEAD"), RULES)
    assert report.text().startswith("no findings; ")
    assert report.text().endswith(" since HEAD\n")


def test_a_changed_url_with_the_same_hash(history: Sample) -> None:
    text = (history.root / "recipes/zlib.toml").read_text()
    text = text.replace(ZLIB_URL, "https://zlib.net/zlib-1.3.2.tar.gz").replace(
        "mirror://debian/pool/zlib_1.3.1.orig.tar.gz", "mirror://debian/pool/zlib_1.3.2.orig.tar.gz"
    )
    history.write("recipes/zlib.toml", text)
    lock = history.lock
    history.change_source("zlib", locations=(
        "https://zlib.net/zlib-1.3.2.tar.gz", "mirror://debian/pool/zlib_1.3.2.orig.tar.gz"
    ))
    assert history.lock != lock
    digest = sample.pins("zlib-1.3.1.tar.gz")["sha256"]
    assert [each for each in rows(history, since="HEAD") if each[0] == "url-changed-same-hash"] == [(
        "url-changed-same-hash", "zlib 1.3.1, source main",
        f"its URL was {ZLIB_URL} (zlib 1.3.1) at HEAD and is https://zlib.net/zlib-1.3.2.tar.gz, "
        f"but the hash is still sha256 {digest}",
    )]


def test_a_changed_url_of_a_version_that_is_only_offered(history: Sample) -> None:
    text = (history.root / "recipes/zlib.toml").read_text()
    history.write("recipes/zlib.toml", text.replace("zlib-1.3.tar.gz", "zlib-1.4.tar.gz").replace("zlib_1.3.o", "zlib_1.4.o"))
    found = [(rule, place) for rule, place, _ in rows(history, since="HEAD") if rule != "stale-recipe"]
    assert found == [("url-changed-same-hash", "recipes/zlib.toml: zlib 1.3, source main")]


def test_a_place_that_is_added_is_no_change_of_url(history: Sample) -> None:
    history.replace("recipes/zlib.toml", f'"{ZLIB_URL}"', f'"https://new.example/z.tar.gz", "{ZLIB_URL}"')
    history.replace("recipes/zlib.toml", 'size = ', 'filename = "zlib-1.3.1.tar.gz"\nsize = ')
    history.resolve()
    assert rows(history, since="HEAD") == []


def move_zlib(history: Sample, version: str, **values: Any) -> None:
    """Lock zlib at another version, by hand, with what the recipe says of it but for `values`."""
    found = history.project().recipes["zlib"].version(version)
    assert found is not None
    lock = history.lock
    packages = tuple(
        replace(each, version=version, sources=(replace(found.sources[0], **values),)) if each.name == "zlib"
        else replace(each, requires=tuple(f"zlib {version}" if one.startswith("zlib ") else one for one in each.requires))
        for each in lock.packages
    )
    history.lock = replace(lock, packages=packages)


def test_a_version_that_went_down(history: Sample) -> None:
    move_zlib(history, "1.3")
    found = [each for each in rows(history, since="HEAD") if "went-down" in each[0] or "same" in each[0]]
    assert found == [(
        "version-went-down", "zlib 1.3",
        "it was 1.3.1 at HEAD and is 1.3, which recipes/zlib.toml lists after it as less preferred",
    )]


def test_a_version_that_went_up_is_no_finding(history: Sample) -> None:
    move_zlib(history, "1.3")
    git(history, "commit", "-q", "-a", "-m", "down")
    move_zlib(history, "1.3.1")
    assert not [each for each in rows(history, since="HEAD") if "went-down" in each[0]]


def test_a_replaced_version_cannot_be_placed_and_that_is_said(history: Sample) -> None:
    history.replace("recipes/zlib.toml", 'version = "1.3.1"', 'version = "1.2.13"')
    move_zlib(history, "1.2.13")
    found = {rule: reason for rule, place, reason in rows(history, since="HEAD") if place == "zlib 1.2.13"}
    assert found["version-went-down"] == (
        "it was 1.3.1 at HEAD and is 1.2.13; recipes/zlib.toml no longer lists 1.3.1, so nothing says whether that is up "
        "or down"
    )
    assert found["version-changed-same-hash"] == (
        "the version was 1.3.1 at HEAD and is 1.2.13, but the hash is still sha256 "
        + sample.pins("zlib-1.3.1.tar.gz")["sha256"]
    )


def test_changed_bytes_of_the_same_version(history: Sample) -> None:
    history.change_source("zlib", sha256="0" * 64)
    assert (
        "hash-changed-same-version", "zlib 1.3.1, source main, sha256",
        f"it was {sample.pins('zlib-1.3.1.tar.gz')['sha256']} at HEAD and is {'0' * 64}, "
        f"for the same version from {ZLIB_URL}",
    ) in rows(history, since="HEAD")


def test_since_a_revision_of_a_project_in_a_subfolder(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        inner = sample.make(tmp_path / "repository" / "inner", store)
        (inner.root / "recipes/odd.toml").write_text("not [ toml")
        outer = Sample(tmp_path / "repository", store)
        git(outer, "init", "-q")
        git(outer, "add", ".")
        git(outer, "commit", "-q", "-m", "one")
        (inner.root / "recipes/odd.toml").unlink()
        assert rows(inner, since="HEAD") == []
        since = inner.context(since="HEAD").since
        assert since is not None
        assert sorted(since.recipes) == ["cookie", "musl", "nginx", "openssl", "toolset", "zlib"]


@pytest.mark.parametrize(("revision", "text"), [
    ("v9", "{root}: there is no revision 'v9'\n  next: name a commit, tag or branch that `git log` shows; "
           "a shallow clone lacks older ones (`git fetch --unshallow`)"),
    ("--all", "'--all' is not a git revision\n  next: name a commit, tag or branch that `git log` shows; "
              "a shallow clone lacks older ones (`git fetch --unshallow`)"),
])  # fmt: skip
def test_revisions_that_do_not_exist(history: Sample, revision: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        history.context(since=revision)
    assert str(caught.value) == text.format(root=history.root)


def test_a_folder_that_is_no_checkout(project: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD")
    assert str(caught.value) == (
        f"{project.root}: git cannot read this folder: fatal: not a git repository (or any of the parent directories): "
        ".git\n  next: --since compares with a git revision: run it in a git checkout"
    )


def test_no_git(project: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Exception, match="there is no git on this machine"):
        project.context(since="HEAD")


def test_a_revision_without_a_lock_or_with_a_broken_one(project: Sample) -> None:
    text = project.lock_text
    git(project, "init", "-q")
    git(project, "add", "recipes")
    git(project, "commit", "-q", "-m", "one")
    project.write("lock.toml", "lock-version = 1\nimage = 3\n")
    git(project, "add", "lock.toml")
    git(project, "commit", "-q", "-m", "two")
    project.write("lock.toml", text)
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD~1")
    assert str(caught.value) == "revision HEAD~1: there is no lock.toml in it\n  next: name a later revision"
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD")
    assert str(caught.value) == (
        "revision HEAD: its lock cannot be read:\nlock.toml at HEAD: image: must be a list, not a whole number\n"
        "  next: name a later revision"
    )
