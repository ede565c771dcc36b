"""Outputs in the lock that are not those which the same inputs gave on this machine, or not in that way."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.lock.lock import LockedOutput

ID = "output-disagrees"


def check(context: Context) -> Iterator[Finding]:
    for package in context.packages:
        output = context.platform in package.outputs and package.outputs[context.platform]
        record = context.store.record(output.key) if output else None
        if not output or record is None:
            continue
        for name, reason in differences(context, output):
            remedy = (
                f"`builder build --check {context.named(package)}` shows whether the build is deterministic; "
                "if it is, the lock was edited: take back the change"
            )
            yield Finding(ID, context.place(package, key=f"output {name}"), reason, remedy)
        if output.sandbox != (built_in := record.sandbox):
            reason = f"the lock says {_sandbox(output.sandbox)}, but it was built here with {_sandbox(built_in)}"
            command = f"`builder build {context.named(package)}`"
            remedy = f"take back the change of lock.toml; or remove the output there, and {command} pins it again"
            yield Finding(ID, context.place(package, key="sandbox"), reason, remedy)


def differences(context: Context, output: LockedOutput) -> list[tuple[str, str]]:
    """(name, reason) of each output that is pinned otherwise than its inputs gave here."""
    record = context.store.record(output.key)
    if record is None:
        return []
    found, none = [], "no such output"
    for name in sorted({*output.trees, *record.trees}):
        mine, built = output.trees.get(name), record.trees.get(name)
        if mine != built:
            found.append((name, f"the lock pins {mine or none}, but building it here gave {built or none}"))
    return found


def _sandbox(name: str) -> str:
    return f"sandbox {name}" if name else "the full sandbox"


RULE = Rule(ID, "the same inputs gave other outputs here than the lock pins, or in another sandbox", check)
