"""`builder audit`: check the lock against recipes, sources and store."""

import sys

from msgspec.structs import replace

from builder import audit as audits
from builder.cli import hints
from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import session
from builder.resolve.workspace import find_root


def run(options: Options) -> int:
    """Findings about the lock; exit 1 when there are any."""
    if options.rules:
        if options.json:
            say_json("audit-rules", [{"rule": rule.id, "summary": rule.summary} for rule in audits.RULES])
        else:
            say("\n".join(f"{rule.id:24} {rule.summary}" for rule in audits.RULES))
        return 0
    with session(options) as opened:
        context = audits.load(
            find_root(options.root), store=opened.store, platform=options.platform,
            profiles=[options.profile] if options.profile else (), image=options.image, every=options.all,
            since=options.since, cache_dir=opened.settings.cache_dir, reporter=opened.reporter,
        )
        found = audits.run(context, audits.RULES)
        findings = [replace(each, remedy=hints.completed(each.remedy, options)) for each in found.findings]
        report = replace(found, findings=tuple(findings))
        if options.json:
            say_json("audit", report.findings)
        else:
            sys.stdout.write(report.text())
        return report.exit_code

