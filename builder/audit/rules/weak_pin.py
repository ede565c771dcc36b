"""A source that is pinned, but not well enough.

A pin is strong when bytes that are not the wanted ones are refused before anything is done with
them: the SHA-256 of the file, with its size, so that a download ends. The tree's digest alone is
enough where a forge makes the archive anew for each download (its bytes change, its tree does
not). Elsewhere it is weak: an archive without a pin of its own goes through the unpacker first.
"""

import re
from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.recipe.source import Source

ID = "weak-pin"
# Archives that forges make on the fly: GitHub, Gitea (/archive/), GitLab (/-/archive/), GitHub's API (/tarball/),
# cgit (/snapshot/).
_GENERATED = re.compile(r"https?://(?:codeload\.[^/]+/|[^/]+/.*/(?:archive|tarball|zipball|snapshot)/)")


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        reason = _weakness(source)
        if reason:
            key = "sha256" if source.sha256 is None else "size"
            measured = "from the publisher or measured by `builder fetch --all --json`"
            remedy = f"declare {key} in the recipe, {measured}; run `builder resolve`"
            yield Finding(ID, context.place(package, source), reason, remedy, package.profiles)


def _weakness(source: Source) -> str:
    if source.sha256 is None and source.tree is None:
        return "only its size is pinned, and other bytes can have it too" if source.size is not None else ""
    if source.sha256 is None:
        fixed = [each for each in source.locations if not _GENERATED.match(each)]
        return f"its file's bytes are not pinned, although {fixed[0]} publishes fixed ones" if fixed else ""
    return "its size is not pinned: a download is only known to be wrong when it ends" if source.size is None else ""


RULE = Rule(ID, "a source is pinned, but other bytes are noticed late or not at all", check)
