"""The audit as a whole: a sound project has no finding, and no changed digit stays hidden."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample import PLATFORM, Sample, findings, only, rows

from builder.audit import RULES, Finding, Rule, run
from builder.base.errors import UsageError

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
        "profiles": ("extra",),
        "accounted": "",
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


def test_a_finding_cannot_steer_the_terminal(project: Sample) -> None:
    evil = Rule("evil-text", "s", lambda _: [Finding("evil-text", "p\x1b[2J", "r\x1b]0;t\x07", "n\u202e")])
    assert run(project.context(), [evil]).text().startswith("evil-text: s\n  p\n    r\n    next: n\n")


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
            "remedy": "did you mean 'license'?", "profiles": (), "accounted": "",
        },
        {
            "rule": "unknown-key", "place": "lock.toml: package[5] 'zlib 1.3.1'.naem", "reason": "nothing reads this key",
            "remedy": "did you mean 'name'?", "profiles": (), "accounted": "",
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
        "  next: it has more in extra; name the profile with --profile, or take --all"
    )
