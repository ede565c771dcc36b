"""A source over plain http that no hash guards: any machine on the way can replace it."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "plain-http-unpinned"


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        plain = [each for each in source.locations if each.startswith("http://")]
        if plain and source.sha256 is None and source.tree is None:
            reason = f"{plain[0]} is fetched without encryption, and no hash tells whether it was replaced on the way"
            remedy = "declare sha256 and size in the recipe, or use https"
            yield Finding(ID, context.place(package, source), reason, remedy, package.profiles)


RULE = Rule(ID, "a source comes over plain http, and nothing pins it", check)
