"""The fetcher's questions and answers as values."""

from msgspec import Struct

from builder.base import canonical
from builder.recipe.source import Source

LACKS = "has none of them"  # the answer of a user's directory for many files; no cause, other places come first


class Wanted(Struct, frozen=True):
    """One source of one version of a package. snapshot: the archive of last resort may be asked for it too."""

    package: str
    version: str
    source: Source
    snapshot: bool = True

    @property
    def title(self) -> str:
        """Like "nginx 1.26.3", or "nginx 1.26.3 patches" for a source that is not the main one."""
        name = self.source.name
        return f"{self.package} {self.version}" + ("" if name == "main" else f" {name}")


class Pinned(Struct, frozen=True):
    """The measures of a source's bytes, or its pins where nothing had to be read.

    sha256: 64 hex digits; size: bytes of the file; tree: SRI digest; unpacked: bytes of the tree's files; entries of
    the tree. A measure is None when it was neither pinned nor taken.
    """

    sha256: str | None
    size: int | None
    tree: str | None
    unpacked: int | None
    entries: int | None


class Attempt(Struct, frozen=True):
    """One place that was tried, and its answer.

    cause: the answer without the parts that are true of one source only; many sources can share it. wrong: the place
    gave a file, but not the pinned one.
    """

    place: str
    said: str
    cause: str = ""
    wrong: bool = False


def unpack_key(source: Source, sha256: str | None = None) -> str:
    """Key of the store's record of the tree in the source's pinned file, or in one with another `sha256`."""
    return canonical.key({"unpack": sha256 or source.sha256, "strip": source.strip})


class Unavailable(Exception):  # noqa: N818 - one place's answer; an error only when all places fail
    """A place does not have or give the file. cause: the reason without the parts that are true of this file only."""

    def __init__(self, reason: str, *, cause: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause or reason
