"""A source of which nothing is pinned: the server behind its URL decides what is built."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "unpinned-source"


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        if source.sha256 is None and source.tree is None and source.size is None:
            remedy = "declare sha256 and size (or tree) in the recipe, or let `builder resolve` measure them"
            place = context.place(package, source)
            yield Finding(ID, place, "nothing of its bytes is pinned", remedy, package.profiles)


RULE = Rule(ID, "a source may be any bytes", check)
