"""From quarantine into the store: a file or tree gets a name there only after it was compared with its pins.

A file is admitted when its SHA-256 is the pinned one, and its tree too where that is pinned. A file with another
SHA-256 is admitted, with a warning, when it unpacks to the pinned tree: the tree is the identity, and forges
recompress. Where nothing is pinned, a file is admitted when it unpacks within the limits and is no HTML page.
"""

import os
import threading
from contextlib import ExitStack

from msgspec.structs import replace

from builder.base import digest, units
from builder.base.errors import ArchiveError, MismatchError
from builder.fetch.mismatch import Inquest, limits
from builder.fetch.part import File
from builder.fetch.unpack import Totals, unpack
from builder.fetch.wanted import Pinned, Wanted, unpack_key
from builder.progress.reporter import Reporter
from builder.recipe.source import Source
from builder.store import Record, Store
from builder.tree import nar


class Admission:
    """Looks for sources in the store, and brings files into it. Any thread may use it."""

    def __init__(self, store: Store, reporter: Reporter, cancel: threading.Event) -> None:
        self._store = store
        self._reporter = reporter
        self._cancel = cancel

    def present(self, source: Source, *, tree: bool) -> Pinned | None:
        """The measures of a source whose tree (without `tree`: whose file) is in the store; else None."""
        if not tree:
            size = self._size(source)
            known = (source.tree, source.unpacked, source.entries)
            return None if size is None else Pinned(source.sha256, size, *known)
        found = source.tree or self._recorded(source)
        if found is None or not self._store.has_tree(found):
            return None
        unpacked, entries = source.unpacked, source.entries
        if unpacked is None or entries is None:
            unpacked, entries = self._measure(found)
        return Pinned(source.sha256, source.size or self._size(source), found, unpacked, entries)

    def archive(self, source: Source) -> str | None:
        """The source's verified file, if the store has it."""
        path = self._store.file_path(source.sha256) if source.sha256 else ""
        return path if path and os.path.exists(path) else None

    def from_archive(self, wanted: Wanted) -> Pinned | None:
        """Unpack the file that the store has; a damaged one is removed, so that it is fetched again."""
        path = self.archive(wanted.source)
        if path is None:
            return None
        with self._reporter.task("verify", wanted.title, brief=True):
            sha256 = digest.of_file(path)
        if sha256 != wanted.source.sha256:
            self._reporter.warn(f"{path} was damaged and is fetched again")
            os.unlink(path)
            return None
        return self._unpack(wanted, File(path, sha256, os.stat(path).st_size))

    def admit(self, wanted: Wanted, file: File, *, tree: bool) -> Pinned:
        """Take a file from quarantine into the store, and its tree if that is wanted or needed as a proof.

        Raises:
            MismatchError: it is not the pinned file.
            ArchiveError: it is the pinned file, or nothing was pinned, but it cannot be unpacked.
        """
        source = wanted.source
        inquest = Inquest(self._store, source, file, self._cancel)
        exact = file.sha256 == source.sha256
        if exact:
            file = self._name(file)
        elif source.tree is None and (source.sha256 is not None or inquest.page()):
            raise inquest.page() or inquest.wrong_file()
        if not tree and (exact or source.tree is None):
            self._name(file)
            return Pinned(file.sha256, file.size, source.tree, source.unpacked, source.entries)
        pinned = self._unpack(wanted, file)
        self._name(file)
        if source.sha256 is not None and not exact:
            where = f"{wanted.title}: {source.filename}"
            self._reporter.warn(f"{where} was recompressed: same tree, but its sha256 is {file.sha256}")
        return pinned

    def measured(self, wanted: Wanted, file: File) -> Pinned:
        """The measures of a file that no pin proves, for a person to compare. Nothing of it gets a name in the store.

        Raises:
            ArchiveError: it cannot be unpacked.
            MismatchError: it is an HTML page.
        """
        page = Inquest(self._store, wanted.source, file, self._cancel).page()
        if page is not None:
            raise page
        with self._store.stage() as stage:
            into = os.path.join(stage, "tree")
            os.mkdir(into)
            totals = self._unpack_into(wanted.source, file.path, into)
            return Pinned(file.sha256, file.size, nar.hash_tree(into), totals.unpacked, totals.entries)

    def _unpack(self, wanted: Wanted, file: File) -> Pinned:
        source = wanted.source
        inquest = Inquest(self._store, source, file, self._cancel)
        with ExitStack() as stack:
            into = os.path.join(stack.enter_context(self._store.stage()), "tree")
            os.mkdir(into)
            task = stack.enter_context(self._reporter.task("unpack", wanted.title, brief=True))
            try:
                totals = self._unpack_into(source, file.path, into)
            except ArchiveError as error:
                if file.sha256 == source.sha256 or (source.sha256 is None and source.tree is None):
                    raise
                raise inquest.unreadable(error) from error
            task.line(f"hashing {units.counted(totals.entries, 'entry')}")
            try:
                tree = self._store.add_tree(into, expect=source.tree)
            except MismatchError as error:
                raise inquest.wrong_tree(nar.hash_tree(into), into) from error
        self._store.put_record(unpack_key(source, file.sha256), Record(trees={"out": tree}))
        return Pinned(file.sha256, file.size, tree, totals.unpacked, totals.entries)

    def _unpack_into(self, source: Source, path: str, into: str) -> Totals:
        return unpack(path, source.filename, into, strip=source.strip, limits=limits(source), cancel=self._cancel)

    def _name(self, file: File) -> File:
        """Give a file its name in the store."""
        target = self._store.file_path(file.sha256)
        if file.path != target:
            os.chmod(file.path, 0o444)
            os.replace(file.path, target)
        return replace(file, path=target)

    def _recorded(self, source: Source) -> str | None:
        """The tree that the file with the pinned SHA-256 unpacked to before."""
        record = self._store.record(unpack_key(source)) if source.sha256 else None
        return record.trees.get("out") if record else None

    def _size(self, source: Source) -> int | None:
        path = self.archive(source)
        return os.stat(path).st_size if path else None

    def _measure(self, tree: str) -> tuple[int, int]:
        entries = nar.scan(self._store.tree_path(tree))[1:]  # without the top directory
        return sum(entry.size for entry in entries), len(entries)
