"""`builder build --check [NAME]`: rebuild, compare, tell."""

import sys

from builder.base.errors import UsageError
from builder.build.recheck import Recheck, Verdict
from builder.cli import output
from builder.cli.named import located
from builder.cli.session import Session


def run(opened: Session) -> int:
    """Check the named packages, or all that an image needs.

    Exit code 1 when any is not reproduced, or gives other outputs than the lock pins.

    Raises:
        UsageError: the arguments do not go together, or name no package.
    """
    options = opened.options
    if options.all or options.dry_run:
        raise UsageError("--check builds the named packages again", hint="leave out --all and --dry-run")
    builder = opened.builder
    if options.names:
        lock, profile, names, _ = located(opened, options.names)
        targets = names
    else:
        image, lock, names = opened.image(), opened.lock, []
        profile, targets = image.profile, list(lock.targets(image))
    plan = builder.plan(lock, profile, targets)
    wanted = names or [name for name in plan.graph.order if not builder.is_builtin(plan, name)]
    if not wanted:
        raise UsageError("nothing of it is built in a sandbox", hint="name a package to see it joined again")
    plan = builder.plan(lock, profile, targets, doubted=frozenset(wanted))
    builder.build(plan, wanted, inputs_of=wanted)
    executor = opened.executor(lambda package: builder.tool(plan, package), cores=opened.cores + 1)
    checker = Recheck(store=opened.store, executor=executor, reporter=opened.reporter)
    verdicts, pinned = [], {}
    for name in wanted:
        builder.bring(plan, name)
        verdict = checker.check(builder.order(plan, name), plan.trees[name])
        verdicts.append(verdict)
        pinned[name] = plan.locked(name) in (None, plan.trees[name])
        if not options.json:
            sys.stdout.write(_text(verdict, pinned=pinned[name]))
            sys.stdout.flush()
    if options.json:
        rows = [
            {
                "package": each.package, "reproduced": each.same, "pinned": pinned[each.package],
                "seconds": round(each.seconds, 1), "differences": list(each.lines),
            }
            for each in verdicts
        ]
        output.say(output.document("check", rows))
    return 0 if all(each.same for each in verdicts) and all(pinned.values()) else 1


def _text(verdict: Verdict, *, pinned: bool) -> str:
    word = "reproduced" if verdict.same else "NOT REPRODUCED"
    more = "" if pinned else ", but lock.toml pins other outputs"
    lines = [f"{verdict.package}: {word} ({verdict.seconds:.1f} s){more}", *("  " + line for line in verdict.lines)]
    return "\n".join(lines) + "\n"
