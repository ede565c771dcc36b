"""An output of the same inputs that the lock says was built in another sandbox than before."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.lock.lock import LockedOutput

ID = "sandbox-changed"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    old = {output.key: output for package in context.since.lock.packages for output in package.outputs.values()}
    for package in context.packages:
        for platform, output in sorted(package.outputs.items()):
            before = old.get(output.key)
            if before is not None and before.sandbox != output.sandbox:
                reason = (
                    f"it was built in {_sandbox(before)} at {context.since.name}, and the lock says "
                    f"{_sandbox(output)} now"
                )
                command = f"`builder build --check {context.named(package)}`"
                remedy = f"{command} builds it again; take back the change, or say why in the commit"
                yield Finding(ID, context.place(package, key=f"output for {platform}, sandbox"), reason, remedy)


def _sandbox(output: LockedOutput) -> str:
    return f"sandbox {output.sandbox}" if output.sandbox else "the full sandbox"


RULE = Rule(ID, "an output is said to come from another sandbox than before", check)
