"""The file system that a container of an image sees: its layers put on each other, and links followed inside."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from builder.image.oci.entry import DIR, FILE, LINK, Entry

_MOST_LINKS = 40  # as Linux (MAXSYMLINKS)


class Rootfs:
    """Entries by path, upper layers over lower ones. Paths have no leading slash; "" is the root."""

    def __init__(self, layers: Iterable[Sequence[Entry]]) -> None:
        self.entries: dict[str, Entry] = {}
        self.replaced: list[tuple[Entry, Entry]] = []  # (lower, upper) where an upper layer has another kind of thing
        for layer in layers:
            for entry in layer:
                self._put(entry)

    def _put(self, entry: Entry) -> None:
        lower = self.entries.get(entry.path)
        if lower is not None and lower.kind != entry.kind:
            self.replaced.append((lower, entry))
            if lower.kind == DIR:
                for path in [path for path in self.entries if path.startswith(entry.path + "/")]:
                    del self.entries[path]
        self.entries[entry.path] = entry

    def files(self) -> Iterator[Entry]:
        return (each for each in self.entries.values() if each.kind == FILE)

    def resolve(self, path: str) -> str | None:
        """`path` (absolute or not, seen from the root) with every link followed; None when it leads nowhere."""
        todo = [part for part in reversed(path.split("/")) if part]
        found = ""
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                found = posixpath.dirname(found)
            elif part != ".":
                step = f"{found}/{part}" if found else part
                entry = self.entries.get(step)
                if entry is None:
                    return None
                if entry.kind == LINK:
                    links += 1
                    if links > _MOST_LINKS:
                        return None
                    found = "" if entry.target.startswith("/") else found
                    todo.extend(part for part in reversed(entry.target.split("/")) if part)
                elif entry.kind == FILE and todo:
                    return None
                else:
                    found = step
        return found

    def file(self, path: str) -> str | None:
        """Where the regular file `path` is after links; None when there is none."""
        found = self.resolve(path)
        return found if found and self.entries[found].kind == FILE else None

    def is_folder(self, path: str) -> bool:
        found = self.resolve(path)
        return found == "" or (found is not None and self.entries[found].kind == DIR)


def read(entry: Entry) -> bytes:
    """The bytes of a file's entry."""
    if entry.data is not None:
        return entry.data
    with open(entry.source, "rb") as file:
        return file.read()
