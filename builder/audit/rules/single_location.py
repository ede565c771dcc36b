"""A source that lies in one place only: when that place is gone, nothing can be built from nothing any more.

Places: a distribution mirror and a package index keep what they publish, under a name that never changes
its meaning, and many unrelated hosts carry copies (behind Debian's there is an archive of all files ever): such a
location is durable, and one is enough. A project's site or a forge is one place, however many URLs of it are listed:
projects move, accounts are closed. So a source needs one durable location, or two different hosts.
"""

import re
from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.base.addresses import host

ID = "single-location"
_DURABLE = ("mirror://", "pypi://")


def check(context: Context) -> Iterator[Finding]:
    for package, source in context.sources:
        hosts = {re.sub(r":\d*$", "", host(each)).lower() for each in source.locations}
        if len(hosts) < 2 and not any(each.startswith(_DURABLE) for each in source.locations):
            reason = f"it can be had from {''.join(hosts) or 'nowhere'} only"
            remedy = (
                "add a second location (another host, a distribution mirror), or keep a copy that --distdir can name"
            )
            yield Finding(ID, context.place(package, source), reason, remedy, package.profiles)


RULE = Rule(ID, "a source lies in one place only, which may vanish", check)
