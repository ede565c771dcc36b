"""A key that nobody reads: usually a misspelt one, whose wish is silently not met."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "unknown-key"
MESSAGE = "unknown key"  # what `builder.base.shape.Table` says


def check(context: Context) -> Iterator[Finding]:
    for problem in context.problems:
        if problem.message == MESSAGE:
            hint = problem.hint or "remove it"
            yield Finding(ID, problem.place, "nothing reads this key", hint)


RULE = Rule(ID, "a key in the lock, a recipe, an image or a profile that nothing reads", check)
