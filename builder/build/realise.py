"""Realising one derivation: from inputs in the store to outputs in the store.

    stage/
      run/           the executor's; the output lies below it
      dev/, debug/   files that the split takes out of the output

Nothing of it has a name in the store before the build has ended well, the outputs were split and the witnesses of its
patches were found.
"""

import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from msgspec import Struct, field

from builder.base import textfile, within
from builder.base.errors import BuildError, Problem, RecipeError
from builder.build import failures, witness
from builder.build.executor import Executor, Job
from builder.lock.lock import LockedOutput
from builder.plan.derivation import Derivation, series_problems
from builder.progress.reporter import Reporter, Task
from builder.recipe.source import PatchSet
from builder.store import Record, Store
from builder.store.trouble import trying
from builder.tree import difference, join, nar


class Order(Struct, frozen=True, kw_only=True):
    """One build to do: the derivation, and those parts of its recipe that do not belong in a key."""

    derivation: Derivation
    patches: tuple[PatchSet, ...] = ()
    pinned: Mapping[str, str] | None = None  # outputs that the lock holds for this very key


class Realiser(Struct, kw_only=True):
    """Builds derivations."""

    store: Store
    executor: Executor
    reporter: Reporter
    cancel: threading.Event = field(default_factory=threading.Event)
    last_seconds: float = 0.0

    def realise(self, order: Order, *, again: bool = False) -> LockedOutput:
        """The outputs of a derivation, built unless the store has them (or `again`).

        Raises:
            BuildError: a step failed, ran into a limit, or its outputs are not the pinned ones.
            RecipeError: the recipe's patches are not those of the source's series.
        """
        derivation = order.derivation
        with self.store.lock_key(derivation.key):
            record = None if again else self.store.record(derivation.key)
            if record is None or not all(map(self.store.has_tree, record.trees.values())):
                with trying(f"build {derivation.id}", self.store.root):
                    record = self._build(order)
            if order.pinned is not None and dict(order.pinned) != dict(record.trees):
                raise self._not_reproduced(order, record.trees)
            if not again:  # before the lock is released: the next holder looks for this record
                self.store.put_record(derivation.key, record)
                failures.forget(self.store.log_path(derivation.key))
        return LockedOutput(key=derivation.key, trees=record.trees, sandbox=record.sandbox)

    def _build(self, order: Order) -> Record:
        derivation = order.derivation
        self._check_series(order)
        if before := failures.last(self.store.log_path(derivation.key)):
            self.reporter.say(f"{derivation.id}: {before} with the same inputs; it is tried again")
        with ExitStack() as stack:
            stage = stack.enter_context(self.store.stage())
            task = stack.enter_context(self.reporter.task("build", derivation.id))
            started = time.monotonic()
            for name in ("run", *derivation.split):
                os.mkdir(os.path.join(stage, name))
            output = os.path.join(stage, "run")
            if derivation.builtin:
                self._join(derivation, output)
            else:
                output = self._execute(derivation, output, task)
            task.line("hashing its output")
            with _fit(derivation, output):
                trees = self._take(order, stage, output)
            task.done()
            self.last_seconds = time.monotonic() - started
            return Record(
                trees=trees,
                sandbox="" if derivation.builtin else self.executor.weakness,
                seconds=self.last_seconds,
                log="" if derivation.builtin else self.store.log_path(derivation.key),
                parts=derivation.parts(),
            )

    def _join(self, derivation: Derivation, output: str) -> None:
        options = derivation.options
        if derivation.builtin == "prebuilt":
            into = options.get("into", {})
            parts = [
                join.Part(f"source {name}", self.store.tree_path(tree), into.get(name, ""))
                for name, tree in derivation.sources.items()
            ]
        else:
            inputs = (each for each in derivation.inputs if each.output == "out")
            parts = [join.Part(each.package, self.store.tree_path(each.tree)) for each in inputs]
        chosen = {name: options[name] for name in ("include", "exclude", "move") if name in options}
        join.join(parts, output, **chosen)
        added = {name: options.get(name, {}) for name in ("files", "programs", "links")}
        join.add_files(output, **added)

    def _execute(self, derivation: Derivation, stage: str, task: Task) -> str:
        log = self.store.log_path(derivation.key)
        job = Job(derivation=derivation, tree_path=self.store.tree_path, stage=stage, log=log, task=task)
        try:
            return self.executor.execute(job, self.cancel)
        except BuildError:
            failures.note(log)
            raise

    def _take(self, order: Order, stage: str, output: str) -> dict[str, str]:
        """Split the output, look for the witnesses, and bring the parts into the store."""
        derivation = order.derivation
        if not derivation.builtin:
            nar.require_shallow(output)  # before anything walks it
        folders = {"out": output, **{name: os.path.join(stage, name) for name in derivation.split}}
        if derivation.split:
            join.split(output, derivation.split, folders)
        patches = [patch for each in order.patches for patch in each.patches]
        if absent := witness.missing(patches, list(folders.values())):
            names = ", ".join(f"{each.path} ({each.symbol or each.string})" for each in absent)
            raise BuildError(
                f"the build went through, but patches left no trace in its output: {names}",
                where=derivation.id,
                hint="a witness must be a string or symbol that the built files have; "
                "see [[version.patches.patch]] in its recipe",
            )
        parts = {name: folder for name, folder in folders.items() if name == "out" or os.listdir(folder)}
        return {name: self.store.add_tree(folder) for name, folder in parts.items()}

    def _check_series(self, order: Order) -> None:
        for number, patches in enumerate(order.patches):
            if patches.series is None or not patches.patches:
                continue
            tree = self.store.tree_path(order.derivation.sources[patches.patches[0].source])
            series, place = os.path.join(tree, patches.series), f"{order.derivation.id}: patches[{number}]"
            if away := within.leads_out(tree, series):
                raise RecipeError([Problem(place, f"'{patches.series}' is a link out of its source, to {away}")])
            try:
                listed = read_series(series, os.path.dirname(patches.series))
            except OSError as error:
                hint = "correct `series` of these patches in the recipe"
                raise RecipeError(
                    [Problem(place, f"'{patches.series}' cannot be read: {error.strerror}")], hint=hint
                ) from error
            if problems := [Problem(place, text) for text in series_problems(patches, listed)]:
                raise RecipeError(
                    problems,
                    hint=f"make the recipe's list agree with {patches.series}, or name the patches left out in `skip`",
                )

    def _not_reproduced(self, order: Order, built: Mapping[str, str]) -> BuildError:
        pinned = order.pinned or {}
        lines = []
        for name in sorted({*pinned, *built}):
            old, new = pinned.get(name), built.get(name)
            if old != new:
                lines.append(f"{name}: the lock has {old or 'no such output'}, built was {new or 'no such output'}")
                if old and new and self.store.has_tree(old):
                    found = difference.compare(self.store.tree_path(old), self.store.tree_path(new))
                    lines += ["  " + line for line in found]
        return BuildError(
            "not reproduced: the same inputs gave other bytes than lock.toml pins\n" + "\n".join(lines),
            where=order.derivation.id,
            hint=f"`builder build --check {order.derivation.name}` shows whether the build is deterministic here; "
            "if the pin itself is wrong, remove the package's [package.output] from lock.toml and build again",
        )


@contextmanager
def _fit(derivation: Derivation, output: str) -> Iterator[None]:
    """Context in which an output that cannot be a tree is the package's fault, and not the store's."""
    try:
        yield
    except nar.UnfitError as error:
        place = error.where.removeprefix(nar.shown(output)).lstrip("/")
        where = f"{derivation.id}: {place or 'its output'}"
        raise BuildError(error.message, where=where, hint=error.hint) from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise BuildError(
            "its output has a path that is too long", where=derivation.id, hint="make shorter paths in its steps"
        ) from error


def read_series(path: str, prefix: str) -> list[str]:
    """Paths of the patches that a quilt series file lists, in order (quilt(1), "series file": comments start with #).

    Raises:
        OSError: the file cannot be read.
    """
    lines = textfile.read(path).decode("utf-8", "replace").split("\n")
    names = [line.split("#", 1)[0].split() for line in lines]
    return [f"{prefix}/{words[0]}" if prefix else words[0] for words in names if words]
