"""What the contract check finds, and what an image may be allowed."""

from dataclasses import dataclass

from builder import globs


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One breach: the rule's name, the path in the image (for Lua with ":LINE"), what is wrong and what to do."""

    rule: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"[{self.rule}] {self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """A breach that is allowed: of `rule`, on paths that `glob` matches, and why."""

    rule: str
    glob: str
    why: str

    def covers(self, finding: Finding) -> bool:
        return finding.rule == self.rule and globs.matches(finding.path.partition(":")[0], (self.glob,))
