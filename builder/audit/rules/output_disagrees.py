"""Outputs in the lock that are not those which the same inputs gave on this machine."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "output-disagrees"


def check(context: Context) -> Iterator[Finding]:
    for package in context.packages:
        output = context.platform in package.outputs and package.outputs[context.platform]
        record = context.store.record(output.key) if output else None
        if not output or record is None:
            continue
        for name in sorted({*output.trees, *record.trees}):
            mine, built = output.trees.get(name), record.trees.get(name)
            if mine != built:
                reason = f"the lock pins {mine or 'no such output'}, but building it here gave {built or 'no such output'}"
                remedy = (
                    f"`builder build --check {package.name}` shows whether the build is deterministic; "
                    "if it is, the lock was edited: take back the change"
                )
                yield Finding(ID, context.place(package, key=f"output {name}"), reason, remedy)


RULE = Rule(ID, "the same inputs gave other outputs here than the lock pins", check)
