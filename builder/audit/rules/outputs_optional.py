"""A promise that was taken back: an audit looks at profiles whose outputs are required, so one
that became optional is not looked at any more, and when none is left there is nothing to find.
"""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "outputs-optional"


def check(context: Context) -> Iterator[Finding]:
    if context.project is None or context.lock is None:
        return
    if not context.profiles and context.lock.images:
        names = ", ".join(sorted({each.profile for each in context.lock.images}))
        reason = f"no profile requires outputs, so nothing was looked at; the lock has {names}"
        yield Finding(
            ID, "recipes/profiles", reason, "name one with --profile, or take --all; or let one require its outputs"
        )
    if context.since is None:
        return
    for name, old in sorted(context.since.profiles.items()):
        new = context.project.profiles.get(name)
        if old.outputs_required and new is not None and not new.outputs_required:
            reason = f'its outputs were required at {context.since.name}, and are optional now'
            yield Finding(
                ID,
                f"{new.path}: outputs",
                reason,
                "take back `outputs`, or say in the commit why nothing is promised now",
            )


RULE = Rule(ID, "a profile does not promise its outputs any more, or none does", check)
