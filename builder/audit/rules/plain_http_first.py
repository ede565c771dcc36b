"""A source that is asked for over plain http first, though a better place is listed after it.

Its pin refuses other bytes, but only after they came: the network in between decides what
is received, and sees what is built.
"""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "plain-http-first"


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        better = [each for each in source.locations if not each.startswith("http://")]
        if better and source.locations[0].startswith("http://"):
            reason = f"{source.locations[0]} is asked first, without encryption, and {better[0]} only after it"
            remedy = f"put {better[0]} first in the recipe; run `builder resolve`"
            yield Finding(ID, context.place(package, source), reason, remedy, package.profiles)


RULE = Rule(ID, "a source is asked for over plain http first, though it has a better place", check)
