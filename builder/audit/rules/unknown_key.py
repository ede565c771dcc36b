"""An unknown key, usually a misspelling. It would have no effect."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "unknown-key"
MESSAGE = "unknown key"  # the message of `builder.base.shape.Table`


def check(context: Context) -> Iterator[Finding]:
    for problem in context.problems:
        if problem.message == MESSAGE:
            hint = problem.hint or "remove it"
            yield Finding(ID, problem.place, "nothing reads this key", hint)


RULE = Rule(ID, "a key in the lock, a recipe, an image or a profile that nothing reads", check)
