"""Fetching sources in parallel, each from the first place that has it; one error reports all failures."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from builder.base import canonical, digest
from builder.base.errors import ArchiveError, MismatchError
from builder.fetch import distdir, pool, report
from builder.fetch.admit import Admission
from builder.fetch.hosts import USUAL, Patience
from builder.fetch.mirrors import Mirrors
from builder.fetch.mismatch import Inquest
from builder.fetch.part import Part, TooLarge
from builder.fetch.places import SNAPSHOT, Place, local, no_base, places
from builder.fetch.wanted import Attempt, Pinned, Unavailable, Wanted
from builder.progress.reporter import Reporter, Task
from builder.recipe.source import Source
from builder.store import Store
from builder.store.trouble import trying

if TYPE_CHECKING:
    from builder.fetch.http import Http

_LARGEST = 1 << 30  # bytes of a file whose size is not pinned
_SLACK = 1 << 16
_OF_THE_NETWORK = ("could not connect through the proxy", "could not connect securely")  # whatever the host

_Outcome: TypeAlias = Pinned | tuple[Attempt, ...]  # its measures, or the answer of every place


class Fetcher:
    """Brings sources into `store`.

    mirrors: base addresses by mirror name, from the user's settings; `Mirrors` adds to them. distdirs: directories with
    files that the user brought. offline: no socket is opened and no program started. jobs: sources at a time. snapshot:
    the state of the archive of last resort. verbose: errors have every detail of each source. After an interrupt or a
    StoreError a fetcher cannot be used again.
    """

    def __init__(
        self,
        store: Store,
        *,
        mirrors: Mapping[str, tuple[str, ...]],
        distdirs: Iterable[str] = (),
        offline: bool = False,
        reporter: Reporter,
        jobs: int = 4,
        snapshot: str = SNAPSHOT,
        patience: Patience = USUAL,
        verbose: bool = False,
    ) -> None:
        self._store = store
        self._mirrors = mirrors if isinstance(mirrors, Mirrors) else Mirrors(mirrors)
        self._distdirs = tuple(distdirs)
        self._offline = offline
        self._reporter = reporter
        self._jobs = jobs
        self._snapshot = snapshot
        self._patience = patience
        self._verbose = verbose
        self._cancel = threading.Event()
        self._admission = Admission(store, reporter, self._cancel)
        self._http: Http | None = None

    def fetch(self, wanted: Iterable[Wanted], *, unpack: bool = True) -> dict[Wanted, Pinned]:
        """Fetch all sources into the store; the measures of each. Sources that are there already are not read.

        unpack: their trees are wanted. Without it their files are, and unpacked only to prove a recompressed one.

        Raises:
            SourceError: some could not be fetched; it names all of them. The others are in the store, unless it was
                clear from the start that some cannot be fetched.
            MismatchError: the same, and at least one place gave a file that is not the pinned one.
            StoreError: the disk is full, or the store not writable.
        """
        every = list(dict.fromkeys(wanted))
        found: dict[Wanted, Pinned] = {}
        missing: dict[tuple[str | int | None, ...], list[Wanted]] = {}
        for each in every:
            assert each.source.folder is None, "a directory of the repository is not fetched"
            present = self._admission.present(each.source, tree=unpack)
            if present is not None:
                found[each] = present
            else:
                missing.setdefault((_lock(each.source), each.source.tree, each.source.strip), []).append(each)
        failed: dict[Wanted, tuple[Attempt, ...]] = {}
        for same, outcome in self._fetch_all(list(missing.values()), unpack):
            for each in same:
                if isinstance(outcome, Pinned):
                    found[each] = outcome
                else:
                    failed[each] = outcome
        if failed:
            told = {each: failed[each] for each in every if each in failed}
            raise report.failure(told, offline=self._offline, verbose=self._verbose)
        return {each: found[each] for each in every}

    def _fetch_all(self, missing: list[list[Wanted]], unpack: bool) -> list[tuple[list[Wanted], _Outcome]]:
        """The outcome for each group of sources with the same bytes. The largest begin, so that none ends alone."""
        if not self._offline:  # nothing is downloaded for a run that is bound to fail
            hopeless: list[tuple[list[Wanted], _Outcome]] = [
                (same, said) for same in missing if (said := self._hopeless(same[0])) is not None
            ]
            if hopeless:
                return hopeless
        missing.sort(key=lambda same: -(same[0].source.size or 0))
        if missing and not self._offline and self._http is None:
            from builder.fetch.http import Http  # noqa: PLC0415 - requests takes 100 ms to import

            self._http = Http(self._cancel, self._patience)
        if absent := [same[0].title for same in missing if self._admission.archive(same[0].source) is None]:
            self._reporter.expect("fetch", dict.fromkeys(absent))
        stop = self._http.stop if self._http else _nothing
        outcomes = pool.run(
            lambda same: self._fetch_one(same[0], unpack), missing, jobs=self._jobs, cancel=self._cancel, stop=stop
        )
        return list(zip(missing, outcomes, strict=True))

    def _fetch_one(self, wanted: Wanted, unpack: bool) -> _Outcome:
        def say() -> None:
            self._reporter.say(f"waiting for another builder that fetches {wanted.title}")

        key = _lock(wanted.source)
        lock = self._store.lock_key(key, cancelled=self._cancel.is_set, say=say)
        with trying("fetch a source", self._store.root), lock:
            present = self._admission.present(wanted.source, tree=unpack)
            if present is not None:
                self._reporter.skip("fetch", wanted.title)
                return present
            try:
                cached = self._admission.from_archive(wanted) if unpack else None
            except (MismatchError, ArchiveError) as error:
                return (Attempt("the store's copy of it", error.message, wrong=True),)
            return cached or self._bring(wanted, unpack)

    def _bring(self, wanted: Wanted, unpack: bool) -> _Outcome:
        """Try one place after another."""
        if (hopeless := self._hopeless(wanted)) is not None:
            return hopeless
        attempts = []
        with self._reporter.task("fetch", wanted.title, wanted.source.size) as task:
            for place in self._places(wanted):
                try:
                    return self._from(place, wanted, task, unpack)
                except Unavailable as answer:
                    attempts.append(_attempt(place, answer))
                except (MismatchError, ArchiveError) as error:
                    attempts.append(Attempt(place.shown, error.message, wrong=True))
                    if self._admission.archive(wanted.source):
                        break  # these were the pinned bytes: no other place has better ones
            task.done("failed")
        return tuple(attempts)

    def _hopeless(self, wanted: Wanted) -> tuple[Attempt, ...] | None:
        """The answers of all places, if it is clear without a download that none of them has the source."""
        if self._admission.archive(wanted.source) or os.path.exists(self._part(wanted.source)):
            return None
        attempts = []
        for place in self._places(wanted):
            if (attempt := _without_trying(place, wanted.source)) is None:
                return None
            attempts.append(attempt)
        return tuple(attempts)

    def _places(self, wanted: Wanted) -> list[Place]:
        if self._offline:
            return local(self._distdirs)
        return places(wanted, self._mirrors, self._distdirs, self._snapshot)

    def _from(self, place: Place, wanted: Wanted, task: Task, unpack: bool) -> Pinned:
        """Fetch the source from one place; again from its beginning if the bytes of an earlier run turn out wrong."""
        source = wanted.source
        path = self._part(source)
        resume = source.sha256 is not None or source.tree is not None
        while True:
            opened = Part(path, limit=_limit(source), cancel=self._cancel, progress=task.advance)
            with opened as part, _without_empty(path):
                long = self._load(place, source, part, resume)
            try:
                if long is not None:
                    raise Inquest(self._store, source, part.file, self._cancel).too_long(long)
                if place.address.startswith("http://") and source.sha256 is None and source.tree is None:
                    measured = self._admission.measured(wanted, part.file)
                    os.unlink(path)
                    raise Unavailable(report.unproved(source, measured))
                return self._admission.admit(wanted, part.file, tree=unpack)
            except (MismatchError, ArchiveError):
                with suppress(FileNotFoundError):
                    os.unlink(path)
                if not part.resumed:
                    raise
            resume = False

    def _part(self, source: Source) -> str:
        return os.path.join(self._store.quarantine_dir, f"{source.sha256 or digest.to_hex(_lock(source))}.part")

    def _load(self, place: Place, source: Source, part: Part, resume: bool) -> int | None:
        """Fill the part; the announced size (or 0) if the file is too long."""
        if part.size and part.file.sha256 == source.sha256:
            return None  # an earlier run fetched all of it
        try:
            self._load_from(place, source, part, resume)
        except TooLarge as error:
            return error.size
        return None

    def _load_from(self, place: Place, source: Source, part: Part, resume: bool) -> None:
        if place.kind == "folder":
            distdir.copy(place.address, source, part)
        elif place.kind == "pypi":
            from builder.fetch import pypi  # noqa: PLC0415 - what it needs to run a program takes 10 ms to import

            pypi.download(place.address, source.sha256, part, self._cancel)
        elif place.kind == "unknown":
            raise no_base(place.address)
        else:
            assert self._http is not None, "offline there are only directories"
            pinned = source.sha256 is not None
            self._http.download(place.address, part, size=source.size, pinned=pinned, resume=resume)


def _attempt(place: Place, answer: Unavailable) -> Attempt:
    cause = answer.cause.removeprefix("not asked again: ")
    known = place.whole in cause or cause.startswith(_OF_THE_NETWORK)
    return Attempt(place.shown, answer.reason, cause if known else f"{place.whole}: {cause}")


def _without_trying(place: Place, source: Source) -> Attempt | None:
    """The answer of a place that can be judged at once and does not have the source."""
    try:
        if place.kind == "unknown":
            raise no_base(place.address)
        if place.kind == "folder":
            distdir.find(place.address, source)
    except Unavailable as answer:
        return _attempt(place, answer)
    return None


def _lock(source: Source) -> str:
    """Key of the lock that a process holds while it fetches these bytes."""
    return canonical.key({"fetch": source.sha256 or source.tree or [*source.locations, source.filename]})


def _limit(source: Source) -> int:
    """The most bytes that a file may have. The file of a pinned tree may come from a worse compressor."""
    if source.size is None:
        return _LARGEST
    return source.size if source.tree is None else source.size + source.size // 8 + _SLACK


@contextmanager
def _without_empty(path: str) -> Iterator[None]:
    """Leave no empty file behind where no byte came."""
    try:
        yield
    except BaseException:
        if os.stat(path).st_size == 0:
            os.unlink(path)
        raise


def _nothing() -> None:
    pass
