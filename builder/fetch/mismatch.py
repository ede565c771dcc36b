"""The kinds of wrong files, so that the user knows what to do:

    HTML page              an error or login page with a good status
    truncated              the beginning of the file
    longer                 more than was pinned
    other top directory    the pinned tree lies at another depth, or below a directory of another name
    recompressed           another file with the same tree, where no tree is pinned that would prove it good
    different content      the first differing files, when there is something to compare with
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from builder.base.errors import ArchiveError, MismatchError
from builder.fetch.part import File
from builder.fetch.unpack import Limits, TruncatedError, unpack
from builder.fetch.wanted import unpack_key
from builder.progress.clean import clean
from builder.recipe.source import Source
from builder.store import Store
from builder.tree import difference, nar

_HEAD = 1 << 16
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_DEEPEST = 3  # leading directories that are tried when the top directory may have changed
_LINES = 10
_UNPACKED, _ENTRIES = 1 << 28, 50_000  # limits for a wrong file, where no pin has any

TRY_AGAIN = "fetch it again; if it stays so, see what upstream published, then change the pin in the recipe"


def limits(source: Source) -> Limits:
    """The limits of the source's tree."""
    usual = Limits()
    return Limits(unpacked=source.unpacked or usual.unpacked, entries=source.entries or usual.entries)


def html_title(path: str) -> str | None:
    """The title of an HTML page ("" if it has none); None for anything else."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower()
    if not start.startswith((b"<!doctype html", b"<html")):
        return None
    found = _TITLE.search(head)
    return clean(" ".join(found.group(1).decode("utf-8", "replace").split())) if found else ""


class Inquest:
    """Identifies a wrong file in quarantine, and makes the error that describes it."""

    def __init__(self, store: Store, source: Source, file: File, cancel: threading.Event) -> None:
        self._store = store
        self._source = source
        self._file = file
        self._cancel = cancel

    def too_long(self, announced: int) -> MismatchError:
        """The error for a file that is, or is announced to be, longer than its pinned size."""
        came = f"{announced} bytes are announced" if announced else f"more than {self._file.size} bytes came"
        size = self._source.size
        pinned = f"pinned are {size}" if size else "and its size is not pinned"
        return self._error(self._page() or f"it is too long: {came}, {pinned}")

    def page(self) -> MismatchError | None:
        """The error for an HTML page in place of a source without pins; None for any other file."""
        found = self._page()
        return self._error(found) if found else None

    def wrong_file(self) -> MismatchError:
        """The error for a file that is not the pinned one, where no pinned tree could prove it good."""
        try:
            with self._unpacked(self._source.strip) as tree:
                known = self._page() or self._against_known(tree)
                return self._error(known or f"the content is different: {self._hashes()}")
        except ArchiveError as error:
            return self.unreadable(error)

    def unreadable(self, error: ArchiveError) -> MismatchError:
        """The error for a file that is not the pinned one and cannot be unpacked."""
        if isinstance(error, TruncatedError):
            short = self._source.size is not None and self._file.size < self._source.size
            found = f"{self._file.size} of {self._source.size} bytes" if short else self._hashes()
            return self._error(self._page() or f"it is truncated: {found}")
        other = self._page() or self._other_folder()
        return self._error(other or f"it is something else, and no good archive ({error.message}): {self._hashes()}")

    def wrong_tree(self, tree: str, path: str) -> MismatchError:
        """The error for a file that was unpacked to `path` and has another tree than the pinned one."""
        expected = self._source.tree
        assert expected is not None
        found = self._other_folder() or self._differences(expected, path)
        if found is None:
            found = f"the content is different: its tree is {tree}, pinned is {expected}"
        if self._file.sha256 == self._source.sha256:
            found = f"the file is the pinned one, but its tree is not, so the two pins do not belong together; {found}"
        return self._error(found)

    def _error(self, message: str) -> MismatchError:
        return MismatchError(message, where=self._source.filename, hint=TRY_AGAIN)

    def _hashes(self) -> str:
        pinned = self._source.sha256
        return f"its sha256 is {self._file.sha256}" + (f", pinned is {pinned}" if pinned else "")

    def _page(self) -> str | None:
        title = html_title(self._file.path)
        if title is None:
            return None
        return "it is an HTML page" + (f" ('{title}')" if title else "") + ", no archive: an error or a login, perhaps"

    @contextmanager
    def _unpacked(self, strip: int) -> Iterator[str]:
        with self._store.stage() as stage:
            into = os.path.join(stage, "tree")
            os.mkdir(into)
            most = Limits(unpacked=self._source.unpacked or _UNPACKED, entries=self._source.entries or _ENTRIES)
            unpack(self._file.path, self._source.filename, into, strip=strip, limits=most, cancel=self._cancel)
            yield into

    def _other_folder(self) -> str | None:
        """A message if the pinned tree is there at another depth."""
        wanted = self._source.strip
        for strip in {*range(_DEEPEST + 1)} - {wanted}:
            with suppress(ArchiveError), self._unpacked(strip) as tree:
                if nar.hash_tree(tree) == self._source.tree:
                    return f"its top directory changed: the pinned tree is there with strip = {strip}, not {wanted}"
        return None

    def _against_known(self, path: str) -> str | None:
        """Compare with the tree that the pinned file once unpacked to, if this store has a record of it."""
        known = self._store.record(unpack_key(self._source))
        if known is None:
            return None
        tree = nar.hash_tree(path)
        if tree == known.trees["out"]:
            return f"it was recompressed: it has the same tree {tree}, so it is good if you pin that; {self._hashes()}"
        return self._differences(known.trees["out"], path)

    def _differences(self, expected: str, path: str) -> str | None:
        """The first differing files, if the expected tree is in the store."""
        if not self._store.has_tree(expected):
            return None
        before = self._store.tree_path(expected)
        renamed = _renamed(before, path)
        if renamed:
            return renamed
        return "\n  ".join(["the content is different:", *difference.compare(before, path, limit=_LINES)])


def _renamed(before: str, after: str) -> str | None:
    """A message if two trees are one directory each, of different names and the same content."""
    old, new = os.listdir(before), os.listdir(after)
    if len(old) != 1 or len(new) != 1 or old == new:
        return None
    if nar.hash_tree(os.path.join(before, old[0])) != nar.hash_tree(os.path.join(after, new[0])):
        return None
    names = f"from '{nar.shown(old[0])}' to '{nar.shown(new[0])}'"
    return f"its top directory was renamed {names}; all below it is the same"
