"""A rule and its findings."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

if TYPE_CHECKING:
    from builder.audit.context import Context


class Finding(Struct, frozen=True):
    """One thing that is not as it should be.

    rule: id of the rule; place: which package, source and key, or which file; reason: the fault; remedy: the next step.
    profiles: of a finding about a source, those that need the source. accounted: why it does not count, in the words of
    these profiles (`[audit.cannot]`); "" for a finding that counts.
    """

    rule: str
    place: str
    reason: str
    remedy: str
    profiles: tuple[str, ...] = ()
    accounted: str = ""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Rule(Struct, frozen=True):
    """id: kebab-case, for people and machines; summary: one line that says what a finding means."""

    id: str
    summary: str
    check: Callable[["Context"], Iterable[Finding]]
