"""The store: stage, then commit. The layout, and which lock guards what, are in the package's docstring."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from builder.base import digest
from builder.base.errors import MismatchError, StoreError
from builder.store import form, record, sealed
from builder.store import gc_root as root
from builder.store.gc_root import Root
from builder.store.guard import Guard, is_locked, key_lock
from builder.store.record import Record
from builder.store.remove import remove_tree
from builder.store.trouble import ELSEWHERE, trying
from builder.tree import nar

FOLDERS = ("trees", "records", "roots", "logs", "files", "quarantine", "tmp", "locks")


def _silent(_text: str) -> None:
    pass


def _never() -> bool:
    return False


def _hex(sri: str) -> str:
    name = digest.to_hex(sri)
    assert len(name) == 64, sri
    return name


class Store:
    """One store, open: its trees stay there until `close()`, because gc waits for all processes that have it open.

    root: a directory, made with its parents if it is missing. say: called with one line before waiting for another
    process. Safe for threads and processes, except `gc`, which needs the store for itself.

    Raises:
        StoreError: the directory cannot be made, written to, or locked.
    """

    def __init__(self, root: str, *, say: Callable[[str], object] = _silent) -> None:
        self.root = os.path.abspath(root)
        self.trees_dir, self.records_dir, self.roots_dir, self.logs_dir, self.files_dir, self.quarantine_dir = (
            os.path.join(self.root, name) for name in FOLDERS[:6]
        )
        self._tmp = os.path.join(self.root, "tmp")
        self._locks = os.path.join(self.root, "locks")
        self._say = say
        with trying("open the store", self.root, ELSEWHERE):
            _make_folders(self.root)
            self.guard = Guard(os.path.join(self._locks, "guard"), say)
            if self.guard.alone():
                self.sweep()
            self.guard.share()

    def close(self) -> None:
        """Let other processes collect garbage. Nothing else of the store may be used afterwards."""
        self.guard.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Trees

    def tree_path(self, tree: str) -> str:
        """The path of the tree, present or not."""
        return f"{self.trees_dir}/{_hex(tree)}"

    def has_tree(self, tree: str) -> bool:
        path = self.tree_path(tree)
        with trying("look up a tree", path):
            return _exists(path)

    @contextmanager
    def stage(self) -> Iterator[str]:
        """A fresh directory to make trees in, on the store's file system; it is removed at the end.

        Raises:
            StoreError: it cannot be made.
        """
        path = self._scratch()
        with trying("make a directory to build in", path):
            os.mkdir(path, 0o700)
        try:
            yield path
        finally:
            with suppress(StoreError):  # the next process that has the store alone removes the rest
                remove_tree(path)

    def add_tree(self, path: str, *, expect: str | None = None) -> str:
        """Take over the directory or file `path` (from `stage()`), name it by its content, and return its digest.

        It is brought into canonical form and hashed in one pass, then renamed: `path` is gone afterwards. A tree that
        is there already stays as it is.

        Raises:
            MismatchError: the digest is not `expect`; then the canonical tree stays at `path` to be compared.
            StoreError: devices, pipes and sockets, a full disk.
        """
        top = os.fsencode(path)
        with trying("add a tree to the store", path):
            form.refuse_link(top, os.lstat(top))
            tree = nar.hash_tree(top, visitor=form.Settle(top))
            if expect is not None and tree != expect:
                raise MismatchError(
                    f"the tree is {tree}, not {expect}",
                    where=nar.shown(path),
                    hint="compare the two trees; take the new digest only if the difference is wanted",
                )
            self._name(path, self.tree_path(tree))
        return tree

    def _name(self, path: str, target: str) -> None:
        """Rename in two steps: a directory must be writable to change its parent, but not when it gets its name."""
        if _exists(target):
            remove_tree(path)
            return
        new = f"{self.trees_dir}/.new-{_unique()}"
        os.rename(path, new)
        if os.path.isdir(new):
            form.close(os.fsencode(new))
        try:
            os.rename(new, target)
        except OSError:
            if not _exists(target):
                raise
            remove_tree(new)  # another process was first

    def discard_tree(self, tree: str) -> int:
        """Remove one tree (that `verify` found damaged), in one step for other processes; the bytes freed."""
        gone = f"{self.trees_dir}/.gone-{_unique()}"
        with trying("remove a tree", self.tree_path(tree)):
            try:
                os.rename(self.tree_path(tree), gone)
            except FileNotFoundError:
                return 0
        return remove_tree(gone)

    # Records, logs, archives

    def record(self, key: str) -> Record | None:
        """The record of the derivation `key`; None if there is none, or it is damaged (it will be written again).

        Its trees can be missing after a loss of power or by hand: ask `has_tree`.

        Raises:
            StoreError: it cannot be read.
        """
        path = self.record_path(key)
        with trying("read a record", path):
            try:
                return record.from_dict(sealed.read(path), key)
            except (FileNotFoundError, ValueError):
                return None

    def put_record(self, key: str, value: Record) -> None:
        """Record the outputs of `key`, after their trees were added. Replaces an older record.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.record_path(key)
        with trying("write a record", path):
            sealed.write(path, record.to_dict(value, key), self._scratch())

    def record_path(self, key: str) -> str:
        name = _hex(key)
        return f"{self.records_dir}/{name[:2]}/{name}.json"

    def log_path(self, key: str) -> str:
        return f"{self.logs_dir}/{_hex(key)}.log"

    def file_path(self, sha256: str) -> str:
        """The path of the verified archive with these bytes, present or not: rename it there from `quarantine_dir`."""
        assert digest.is_hex(sha256), sha256
        return f"{self.files_dir}/{sha256}"

    def lock_key(
        self, key: str, *, cancelled: Callable[[], bool] = _never, say: Callable[[], object] | None = None
    ) -> AbstractContextManager[None]:
        """Context in which no other process or thread builds `key`; look for its record again inside.

        say: called once if another has it. cancelled: called while waiting.

        Raises:
            StoreError: `cancelled` became true.
        """
        return key_lock(f"{self._locks}/{_hex(key)}", say or self._say_waiting, cancelled)

    def is_building(self, key: str) -> bool:
        """Whether another process or thread builds `key` now."""
        return is_locked(f"{self._locks}/{_hex(key)}")

    def _say_waiting(self) -> None:
        self._say("waiting for another builder that builds the same thing")

    # Roots and garbage

    def set_root(
        self,
        name: str,
        trees: Iterable[str] = (),
        *,
        keys: Iterable[str] = (),
        files: Iterable[str] = (),
        owner: str = "",
    ) -> None:
        """Make gc keep trees, records with their trees, and archives; replaces the root of this name. See `Root`.

        Raises:
            StoreError: it cannot be written.
        """
        value = Root(name=name, trees=tuple(trees), keys=tuple(keys), files=tuple(files), owner=owner)
        path = self._root_path(name)
        with trying("write a root", path):
            sealed.write(path, root.to_dict(value), self._scratch())

    def drop_root(self, name: str) -> None:
        path = self._root_path(name)
        with trying("remove a root", path), suppress(FileNotFoundError):
            os.unlink(path)

    def roots(self) -> dict[str, Root]:
        """All roots by name, sorted.

        Raises:
            StoreError: a root cannot be read (then nothing may be removed).
        """
        with trying("list the roots", self.roots_dir):
            found = [self._read_root(name) for name in os.listdir(self.roots_dir)]
        return {each.name: each for each in sorted(found, key=lambda each: each.name)}

    def _read_root(self, name: str) -> Root:
        path = os.path.join(self.roots_dir, name)
        try:
            return root.from_dict(sealed.read(path))
        except ValueError as error:
            raise StoreError(
                f"the root is damaged: {error}",
                where=nar.shown(path),
                hint="remove the file; if its project is still in use, run `touch lock.toml` and the build there "
                "again, which writes it",
            ) from error

    def _root_path(self, name: str) -> str:
        return os.path.join(self.roots_dir, root.file_name(name))

    def sweep(self) -> int:
        """Remove the leftovers of killed processes; the bytes freed. Only with the guard held exclusively."""
        left = [os.path.join(self._tmp, name) for name in os.listdir(self._tmp)]
        left += [os.path.join(self.trees_dir, name) for name in os.listdir(self.trees_dir) if name.startswith(".")]
        left += [os.path.join(self._locks, name) for name in os.listdir(self._locks) if name != "guard"]
        if left:
            self._say("removing what an interrupted builder left behind")
        freed = 0
        for path in left:
            with suppress(StoreError):  # a process still writes there: the next one tries again
                freed += remove_tree(path)
        return freed

    def _scratch(self) -> str:
        return f"{self._tmp}/{_unique()}"


def _make_folders(root: str) -> None:
    """A new store is closed to other users, because it holds the files of running builds."""
    if not _exists(os.path.join(root, FOLDERS[-1])):
        os.makedirs(root, mode=0o700, exist_ok=True)
    for name in FOLDERS:
        with suppress(FileExistsError):
            os.mkdir(os.path.join(root, name))


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _unique() -> str:
    """A name that no other thread, process or machine uses; the process number is for people that look into tmp/."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"
