"""Runs rules over a context and shows what they found."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.base.addresses import scrubbed
from builder.base.units import counted
from builder.progress.clean import clean_lines
from builder.recipe.image import Waiver


class Report(Struct, frozen=True, kw_only=True):
    """findings: in the order of the rules, each once; those that profiles account for are among them. looked_at: what
    was audited, for people.

    waivers: (image, what its recipe lets pass of its contract), for people: no finding, but nothing to overlook either.
    """

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    looked_at: str
    waivers: tuple[tuple[str, Waiver], ...] = ()

    @property
    def exit_code(self) -> int:
        """1 when there is any finding that counts: the answer to "is it sound?" is no."""
        return 1 if self.counting else 0

    @property
    def counting(self) -> tuple[Finding, ...]:
        """Findings that no profile accounts for."""
        return tuple(finding for finding in self.findings if not finding.accounted)

    def rows(self) -> list[dict[str, object]]:
        """For `--json`."""
        return [finding.as_dict() for finding in self.findings]

    def text(self) -> str:
        """For people: findings grouped by rule, what is allowed, then a line that sums up."""
        lines: list[str] = []
        for rule in self.rules:
            mine = [finding for finding in self.counting if finding.rule == rule.id]
            if mine:
                lines.append(f"{rule.id}: {rule.summary}")
                for finding in mine:
                    lines += _finding_lines(finding)
                lines.append("")
        accounted = [finding for finding in self.findings if finding.accounted]
        lines += [*_waiver_lines(self.waivers), *_accounted_lines(accounted)]
        ids = {finding.rule for finding in self.counting}
        found = f"{counted(len(self.counting), 'finding')} of {counted(len(ids), 'rule')}" if ids else "no findings"
        more = f", and {len(accounted)} that profiles account for" if accounted else ""
        lines += [f"{found}{more}; {counted(len(self.rules), 'rule')} looked at {self.looked_at}", ""]
        return clean_lines("\n".join(lines))  # names and messages come from files of unknown authors


def run(context: Context, rules: Iterable[Rule]) -> Report:
    """Run rules in their order.

    Raises:
        BuilderError: something beside what a rule looks for went wrong (the store cannot be opened, say).
    """
    every = tuple(rules)
    with context.reporter.task("check", "the lock", len(every)) as task:
        findings: dict[Finding, None] = {}
        for rule in every:
            task.line(rule.id)
            findings.update(dict.fromkeys(_shown(each, context) for each in rule.check(context)))
            task.advance(1)
    return Report(rules=every, findings=tuple(findings), looked_at=_looked_at(context), waivers=_waivers(context))


def _shown(finding: Finding, context: Context) -> Finding:
    """A finding as it is printed, for people or as data: addresses in recipes and locks can hold secrets."""
    return replace(
        finding, place=scrubbed(finding.place), reason=scrubbed(finding.reason), remedy=scrubbed(finding.remedy),
        accounted=scrubbed(_accounted(finding, context)),
    )


def _accounted(finding: Finding, context: Context) -> str:
    """The reasons of the profiles that are looked at and need a source, when each of them has one; else ""."""
    known = context.project.profiles if context.project else {}
    needing = [name for name in finding.profiles if name in context.profiles]
    reasons = [known[name].cannot.get(finding.rule, "") if name in known else "" for name in needing]
    return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""


def _finding_lines(finding: Finding) -> list[str]:
    reason = [f"    {line}" for line in finding.reason.splitlines()]
    return [f"  {finding.place}", *reason, f"    next: {finding.remedy}"]


def _waivers(context: Context) -> tuple[tuple[str, Waiver], ...]:
    """Waivers of the images that are looked at, each once, though an image is in several profiles."""
    known = context.project.images if context.project else {}
    names = dict.fromkeys(each.name for each in context.images)
    return tuple((name, waiver) for name in names if name in known for waiver in known[name].waivers)


def _waiver_lines(waivers: Iterable[tuple[str, Waiver]]) -> list[str]:
    """One block for each reason of an image and rule, with the paths that it is given for."""
    blocks: dict[tuple[str, str, str], list[str]] = {}
    for image, waiver in waivers:
        blocks.setdefault((image, waiver.rule, waiver.why), []).append(waiver.glob)
    if not blocks:
        return []
    lines = ["allowed: an image breaks its contract in a way that its recipe gives a reason for"]
    for (image, rule, why), paths in blocks.items():
        lines += [f"  image {image}, rule {rule}, {', '.join(paths)}", f"    {why}"]
    return [*lines, ""]


def _accounted_lines(findings: Iterable[Finding]) -> list[str]:
    """One block for each rule and reason, with the number of findings."""
    blocks = Counter((each.rule, each.accounted) for each in findings)
    if not blocks:
        return []
    lines = ["accounted for: a profile cannot meet a rule, and gives a reason"]
    for (rule, why), number in blocks.items():
        lines += [f"  {rule}: {counted(number, 'finding')}", f"    {why}"]
    return [*lines, ""]


def _looked_at(context: Context) -> str:
    if context.lock is None:
        return "a lock that cannot be read"
    names = " and ".join(", ".join(context.profiles).rsplit(", ", 1)) or "no profile"
    of = f"profile{'s' if len(context.profiles) != 1 else ''} {names}" if context.profiles else names
    since = f" since {context.since.name}" if context.since else ""
    return f"{counted(len(context.packages), 'package')} of {of} on {context.platform}{since}"
