"""A lock, recipe, image or profile that cannot be read as a whole. Other rules look only at what could be read."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules.unknown_key import MESSAGE

ID = "invalid-file"


def check(context: Context) -> Iterator[Finding]:
    for problem in context.problems:
        if problem.message != MESSAGE:
            yield Finding(ID, problem.place, problem.message, problem.hint or "correct the file")


RULE = Rule(ID, "the lock, a recipe, an image or a profile cannot be read", check)
