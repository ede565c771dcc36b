"""A profile says that it cannot meet a rule, which finds nothing in it: a later finding would pass unseen."""

from collections.abc import Iterator

from msgspec.structs import replace

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules import plain_http_first, plain_http_unpinned, single_location, unpinned_source, weak_pin

ID = "cannot-unneeded"
_RULES = (unpinned_source, weak_pin, plain_http_unpinned, plain_http_first, single_location)
CHECKED = {each.ID: each.check for each in _RULES}


def check(context: Context) -> Iterator[Finding]:
    if context.project is None or context.lock is None or context.image is not None:  # one image needs a part only
        return
    for name in context.profiles:
        profile = context.project.profiles.get(name)
        if profile is None:
            continue
        alone = replace(context, profiles=(name,))
        for rule in profile.cannot:
            if not any(CHECKED[rule](alone)):
                place, reason = f"{profile.path}: audit.cannot.{rule}", "the rule finds nothing in this profile"
                yield Finding(ID, place, reason, "take it out: it would hide a later finding")


RULE = Rule(ID, "a profile says that it cannot meet a rule, which finds nothing in it", check)
