"""A workspace: the directory with recipes and lock as a command finds it, and reading and replacing the lock."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct, field

from builder.base import textfile, within
from builder.base.errors import LockError, MachineError, Problem, RefusedError, UsageError
from builder.lock import text as lock_text
from builder.lock.lock import Lock
from builder.lock.merge import merged
from builder.recipe import project
from builder.recipe.project import Project
from builder.resolve import relock

LOCK = "lock.toml"
_LEFT = re.compile(r"lock\.toml\.(\d+)\.tmp")
DEFAULT_IMAGE = "gateway"


class Workspace(Struct):
    """`root` is the directory that holds recipes/ and lock.toml; `lock` is None before the first resolve."""

    root: str
    cache_dir: str
    project: Project
    lock: Lock | None
    lock_text: str = ""
    notes: list[str] = field(default_factory=list)
    _saved: Lock | None = None

    @classmethod
    def open(cls, root: str, cache_dir: str, *, torn: bool = False) -> "Workspace":
        """Read recipes and lock. torn: also a lock whose blocks do not fit together, to relock it.

        Raises:
            UsageError: there are no recipes here.
            RecipeError, LockError: with all their problems.
        """
        root = find_root(root)
        _sweep(root)
        loaded = project.load(root, cache_dir=cache_dir)
        text = read_lock(root)
        lock = lock_text.parse(text, LOCK, cache_dir=cache_dir, torn=torn) if text else None
        return cls(root=root, cache_dir=cache_dir, project=loaded, lock=lock, lock_text=text, _saved=lock)

    @property
    def lock_path(self) -> str:
        return os.path.join(self.root, LOCK)

    @property
    def written(self) -> Lock | None:
        """The lock as the file has it; `lock` can be fresher."""
        return self._saved

    @property
    def default_image(self) -> str:
        """The image of a command that names none: the project's only one, or the one of this name."""
        images = list(self.project.images)
        return images[0] if len(images) == 1 else DEFAULT_IMAGE

    def fresh_lock(self, *, locked: bool) -> Lock:
        """The lock, brought up to date with the recipes when it may be; `save` writes it.

        Raises:
            RefusedError: it is stale, or there is none, and it must not be written (`locked`).
        """
        if locked:
            self._refuse_stale()
        else:
            relocked = relock.relock(self.project, self.lock)
            if relocked.lock is not self.lock:
                self.notes += [str(change) for change in relocked.changes]
                self.lock = relocked.lock
        assert self.lock is not None
        return self.lock

    def _refuse_stale(self) -> None:
        reasons = relock.is_stale(self.project, self.lock) if self.lock is not None else ["there is no lock"]
        if reasons:
            hint = "run `builder resolve`, look at the difference, commit it"
            raise RefusedError("the lock is stale: " + "\n".join(reasons), where=LOCK, hint=hint)

    def save(self, lock: Lock) -> bool:
        """Replace lock.toml when its text changes; whether it did. An interrupt leaves the old or the new file.

        Where the file changed since it was read, outputs that were added there are kept; `lock` is then the written
        one.

        Raises:
            RefusedError: the file changed in more than that.
            MachineError: it cannot be written.
        """
        if lock is self._saved:
            return False
        text, found = lock_text.format(lock), self.lock_text
        if text != found:
            with self._alone():
                found = read_lock(self.root)
                if found != self.lock_text:
                    lock = self._with_theirs(lock, found)
                    text = lock_text.format(lock)
                if text != found:
                    self._write(text)
            self.lock_text = text
            lock_text.remember(lock, text, self.cache_dir)
        self.lock = self._saved = lock
        return text != found

    def is_as_saved(self) -> bool:
        """Whether lock.toml is as it was read or written last."""
        try:
            return read_lock(self.root) == self.lock_text
        except LockError:
            return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One builder at a time compares and replaces the lock. The lock is on the directory of the recipes: a file
        that is replaced cannot hold one, and a file for it alone would litter the repository."""
        place = os.open(os.path.join(self.root, project.PACKAGES), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A file system without locks: then only two builders in the same moment can collide.
            with suppress(OSError):
                fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)  # lets go of the lock

    def _with_theirs(self, ours: Lock, text: str) -> Lock:
        """`ours` with the outputs that another command added to lock.toml meanwhile."""
        found = None
        with suppress(LockError):
            found = merged(self._saved or Lock(), ours, lock_text.parse(text, LOCK) if text else Lock())
        if found is None:
            hint = "look at the change there, then run the same command again: finished builds stay in the store"
            raise RefusedError(
                "it was changed by another program since this command read it", where=self.lock_path, hint=hint
            )
        return found

    def _write(self, text: str) -> None:
        try:  # durable: it is the one file here that cannot be computed again
            with textfile.replaced(os.path.realpath(self.lock_path), durable=True) as file:
                file.write(text.encode())
        except OSError as error:
            hint = "make room and let the directory be writable; the old lock is whole"
            raise MachineError(
                f"the lock cannot be written: {error.strerror}", where=self.lock_path, hint=hint
            ) from error


def _sweep(root: str) -> None:
    """Remove the files that killed builders left beside the lock while they wrote it."""
    for name in os.listdir(root):
        found = _LEFT.fullmatch(name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            with suppress(OSError):
                os.unlink(os.path.join(root, name))


def find_root(start: str) -> str:
    """The nearest directory at or above `start` that has recipes/.

    Raises:
        UsageError: there is none.
    """
    folder = os.path.abspath(start)
    while not os.path.isdir(os.path.join(folder, "recipes")):
        parent = os.path.dirname(folder)
        if parent == folder:
            hint = "change into the project, or name it with --root DIR"
            raise UsageError("there is no directory recipes/ here or above", where=os.path.abspath(start), hint=hint)
        folder = parent
    return folder


def read_lock(root: str) -> str:
    """The text of the project's lock.toml; "" when there is none.

    Raises:
        LockError: it cannot be read, or is a link out of the project.
    """
    path = os.path.join(root, LOCK)
    if place := within.leads_out(root, path):
        raise LockError(
            [Problem(LOCK, f"is a link out of the project, to {place}")], hint="put the file itself in its place"
        )
    try:
        return textfile.read(path).decode().replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        problem = Problem(LOCK, f"is not UTF-8 text at byte {error.start}")
    except OSError as error:
        problem = Problem(LOCK, f"cannot be read: {error.strerror}")
    raise LockError([problem], hint=lock_text.UNREADABLE.format(path=LOCK))
