"""`builder build --check [NAME]`: rebuild, compare, tell."""

import sys

from builder.cli import output
from builder.cli.named import located
from builder.cli.session import Session
from builder.errors import UsageError
from builder.recheck import Recheck, Verdict


def run(opened: Session) -> int:
    """Check the named packages, or all that an image needs; exit 1 when any is not reproduced."""
    options = opened.options
    if options.all or options.dry_run:
        raise UsageError("--check builds again what it is given", hint="leave out --all and --dry-run")
    builder = opened.builder
    if options.names:
        lock, profile, names, _ = located(opened, options.names)
        plan = builder.plan(lock, profile, names)
    else:
        image, names = opened.image(), []
        plan = builder.plan(opened.lock, image.profile, opened.lock.targets(image))
    wanted = names or [name for name in plan.graph.order if not builder.is_builtin(plan, name)]
    if not wanted:
        raise UsageError("nothing of it is built in a sandbox", hint="name a package to see it joined again")
    inputs = [each for name in wanted for each in plan.visible(name)]
    builder.build(plan, [*wanted, *inputs])
    executor = opened.executor(lambda package: builder.tool(plan, package), cores=opened.cores + 1)
    checker = Recheck(store=opened.store, executor=executor, reporter=opened.reporter)
    verdicts = []
    for name in wanted:
        builder.bring(plan, name)
        verdict = checker.check(builder.order(plan, name), plan.trees[name])
        verdicts.append(verdict)
        if not options.json:
            sys.stdout.write(_text(verdict))
            sys.stdout.flush()
    if options.json:
        rows = [
            {"package": each.package, "reproduced": each.same, "seconds": round(each.seconds, 1), "differences": list(each.lines)}
            for each in verdicts
        ]
        output.say(output.document("check", rows))
    return 0 if all(each.same for each in verdicts) else 1


def _text(verdict: Verdict) -> str:
    word = "reproduced" if verdict.same else "NOT REPRODUCED"
    lines = [f"{verdict.package}: {word} ({verdict.seconds:.1f} s)", *("  " + line for line in verdict.lines)]
    return "\n".join(lines) + "\n"
