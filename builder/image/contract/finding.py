"""A finding of the contract check."""

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """One breach: the rule's name, the path in the image (for Lua with ":LINE"), what is wrong and what to do."""

    rule: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"[{self.rule}] {self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")
