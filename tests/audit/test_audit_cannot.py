"""Profiles that say which rules of the audit they cannot meet."""

import pytest
from sample import PLATFORM, Sample, rows

from builder.audit import RULES, run
from builder.audit.rules.cannot_unneeded import CHECKED
from builder.base.errors import RecipeError
from builder.recipe.profile import SOURCE_RULES

EXTRA, EMBEDDED = "recipes/profiles/extra.toml", "recipes/profiles/embedded.toml"


def cannot(project: Sample, path: str, rule: str, why: str) -> None:
    text = (project.root / path).read_text()
    project.write(path, f'{text}\n[audit.cannot]\n{rule} = "{why}"\n')


def test_a_finding_that_its_profile_accounts_for_does_not_count(project: Sample) -> None:
    cannot(project, EXTRA, "single-location", "one forge")
    report = run(project.context(profiles=["extra"]), RULES)
    assert report.exit_code == 0
    (row,) = report.rows()
    assert (row["rule"], row["place"], row["profiles"], row["accounted"]) == (
        "single-location", "cookie 0.1, source main", ("extra",), "one forge"
    )
    assert report.text() == (
        "accounted for: a profile cannot meet a rule, and gives a reason\n"
        "  single-location: 1 finding\n"
        "    one forge\n"
        "\n"
        f"no findings, and 1 that profiles account for; {len(RULES)} rules looked at "
        f"3 packages of profile extra on {PLATFORM}\n"
    )


def test_other_findings_of_the_profile_count(project: Sample) -> None:
    cannot(project, EXTRA, "single-location", "one forge")
    project.change_source("cookie", size=None)
    report = run(project.context(profiles=["extra"]), RULES)
    assert report.exit_code == 1
    assert {each.rule for each in report.counting} == {"pin-disagrees", "weak-pin"}
    assert f"\n2 findings of 2 rules, and 1 that profiles account for; {len(RULES)} rules" in report.text()


def test_a_source_counts_while_one_profile_that_needs_it_has_no_reason(project: Sample) -> None:
    project.change_source("musl", locations=("https://musl.example/musl.tar.gz",))
    found = ("single-location", "musl 1.2.5, source main", "it can be had from musl.example only")
    cannot(project, EXTRA, "single-location", "one forge")
    assert found not in counting(project, "extra")
    assert found in counting(project, "embedded")
    assert found in counting(project, "extra", "embedded")
    cannot(project, EMBEDDED, "single-location", "one site")
    assert found not in counting(project, "extra", "embedded")


def counting(project: Sample, *profiles: str) -> list[tuple[str, str, str]]:
    report = run(project.context(profiles=profiles), RULES)
    return [(each.rule, each.place, each.reason) for each in report.counting]


def test_a_reason_that_nothing_needs_is_a_finding(project: Sample) -> None:
    cannot(project, EMBEDDED, "single-location", "it was so once")
    place = f"{EMBEDDED}: audit.cannot.single-location"
    assert rows(project) == [("cannot-unneeded", place, "the rule finds nothing in this profile")]


def test_one_image_does_not_tell_that_a_reason_is_not_needed(project: Sample) -> None:
    cannot(project, EMBEDDED, "single-location", "it was so once")
    assert rows(project, image="web") == []


def test_a_reason_does_not_make_the_lock_stale(project: Sample) -> None:
    before = project.project().profiles["extra"].digest
    cannot(project, EXTRA, "single-location", "one forge")
    assert project.project().profiles["extra"].digest == before


@pytest.mark.parametrize(("rule", "why", "problem"), [
    ("single-locaton", "x", "audit.cannot.single-locaton: unknown key (did you mean 'single-location'?)"),
    ("tree-bytes", "x", "audit.cannot.tree-bytes: unknown key (known here: "),
    ("weak-pin", " ", "audit.cannot.weak-pin: must say why"),
])
def test_a_rule_that_does_not_exist_or_finds_damage_is_an_error(
    project: Sample, rule: str, why: str, problem: str
) -> None:
    cannot(project, EXTRA, rule, why)
    with pytest.raises(RecipeError) as caught:
        project.project()
    assert f"{EXTRA}: {problem}" in str(caught.value)


def test_rules_that_a_profile_may_be_unable_to_meet() -> None:
    assert set(CHECKED) == set(SOURCE_RULES)
    assert set(SOURCE_RULES) < {rule.id for rule in RULES}
