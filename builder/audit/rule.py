"""A rule and its findings."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.audit.context import Context


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    rule: id of the rule; place: which package, source and key, or which file; reason: what is wrong; remedy: what to do.
    """

    rule: str
    place: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """id: kebab-case, for people and machines; summary: one line that says what a finding means."""

    id: str
    summary: str
    check: Callable[["Context"], Iterable[Finding]]
