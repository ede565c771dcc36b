"""Archives on this machine whose bytes are not what their name says, or not what the lock says of them."""

import os
from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.base import digest

ID = "source-bytes"


def check(context: Context) -> Iterator[Finding]:
    seen: set[tuple[str, int | None]] = set()
    for package, source in context.sources:
        if source.sha256 is None or (source.sha256, source.size) in seen:
            continue
        seen.add((source.sha256, source.size))
        path = context.store.file_path(source.sha256)
        place = context.place(package, source)
        try:
            size = os.stat(path).st_size
            found = digest.of_file(path)
        except FileNotFoundError:
            continue  # it was never fetched here, or was removed to save room
        except OSError as error:
            yield Finding(ID, place, f"{path} cannot be read: {error.strerror}", "see to the disk and its permissions")
            continue
        if found != source.sha256:
            reason = f"{path} is damaged: its SHA-256 is {found}"
            yield Finding(ID, place, reason, "remove the file; the next build fetches it again")
        elif source.size is not None and size != source.size:
            reason = f"the lock says {source.size} bytes, but the file with this very SHA-256 has {size}"
            yield Finding(ID, f"{place}, size", reason, "correct the size in the recipe or the lock")


RULE = Rule(ID, "an archive in the store is not what the lock pins", check)
