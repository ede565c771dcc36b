"""A source that comes from elsewhere now, while its hash stayed: a machine that has the old
bytes never asks the new place.

So a URL that was corrected without its hash builds the old thing under the new name. A
place that is added beside an old one is no finding.
"""

from collections.abc import Iterator

from builder.audit import history
from builder.audit.context import Context
from builder.audit.history import Pair
from builder.audit.rule import Finding, Rule

ID = "url-changed-same-hash"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None:
        return
    found = list(history.pairs(context))
    for old, new in history.moved(context):
        found += history.between(context, old, new)
    for pair in found:
        same = history.same_hash(pair.old, pair.new)
        if same and pair.new.locations and pair.old.locations and not history.common_location(pair.old, pair.new):
            yield _finding(pair, same, context.since.name)


def _finding(pair: Pair, same: str, since: str) -> Finding:
    reason = (
        f"its URL was {pair.old.locations[0]} ({pair.old_id}) at {since} and is {pair.new.locations[0]}, "
        f"but the hash is still {same}"
    )
    remedy = (
        "put the hash of the new bytes in the recipe; if it is the same archive in a new place, list that place beside "
        "the old one first"
    )
    return Finding(ID, pair.place, reason, remedy)


RULE = Rule(ID, "the URL of a source changed, and its hash did not", check)
