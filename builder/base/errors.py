"""One tree of errors. Every error has three parts: what happened, where, and what to do next.

    BuilderError                  exit code
    ├── RefusedError              1   the answer is no: stale lock, not reproducible, contract broken
    ├── UsageError                2   bad arguments
    │   ├── RecipeError           2   a recipe, image, profile or settings file is wrong (carries all problems)
    │   ├── LockError             2   lock.toml is wrong (carries all problems)
    │   └── ConflictError         2   no version satisfies all requirements
    ├── SourceError               3   a source could not be had
    │   ├── MismatchError         3   bytes or tree are not the pinned ones
    │   └── ArchiveError          3   an archive is hostile or damaged
    ├── BuildError                4   a build failed
    └── MachineError              5   the machine lacks something
        ├── StoreError            5   the store is damaged, full, or not writable
        └── SandboxError          5   the kernel or a tool refuses isolation
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from builder.base.addresses import scrubbed

FEWER_FILES = "raise the limit of open files (`ulimit -n`), or run fewer jobs (`--jobs`)"


class Problem(Struct, frozen=True):
    """One thing wrong with one file: `place` is like "recipes/zlib.toml: version[0].source[1].size"."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class BuilderError(Exception):
    """Base of all errors: `message`, `where` (file, table, key, or object), `hint` (the next step)."""

    exit_code = 4
    reason = "error"

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message, self.where, self.hint = scrubbed(message), scrubbed(where), scrubbed(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  next: {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, object]:
        return {"reason": self.reason, "message": self.message, "where": self.where, "hint": self.hint}


class RefusedError(BuilderError):
    exit_code = 1
    reason = "refused"


class UsageError(BuilderError):
    exit_code = 2
    reason = "usage"


class _ProblemsError(UsageError):
    def __init__(self, problems: Iterable[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        assert self.problems
        super().__init__("\n".join(map(str, self.problems)), hint=hint)

    def as_dict(self) -> dict[str, object]:
        rows = [
            {"place": p.place, "message": scrubbed(p.message), "hint": scrubbed(p.hint)} for p in self.problems
        ]
        return {**super().as_dict(), "problems": rows}


class RecipeError(_ProblemsError):
    reason = "recipe"


class LockError(_ProblemsError):
    reason = "lock"


class ConflictError(UsageError):
    reason = "conflict"


class SourceError(BuilderError):
    """sources: one row for each missing source, with all that is known of it, for `--json`."""

    exit_code = 3
    reason = "source"

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", sources: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.sources = tuple(sources)

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "sources": list(self.sources)} if self.sources else super().as_dict()


class MismatchError(SourceError):
    reason = "mismatch"


class ArchiveError(SourceError):
    reason = "archive"


class BuildError(BuilderError):
    exit_code = 4
    reason = "build"


class MachineError(BuilderError):
    exit_code = 5
    reason = "machine"


class StoreError(MachineError):
    reason = "store"


class SandboxError(MachineError):
    reason = "sandbox"
