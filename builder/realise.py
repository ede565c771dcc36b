"""Realising one derivation: from inputs in the store to outputs in the store.

    stage/
      build/     the sandbox's /build: $HOME, and src/ where the steps run
      output/    the sandbox's /output: $OUT
      dev/, debug/   what the split takes out of output/

Nothing of it has a name in the store before the build has ended well, the outputs were split and the witnesses of its
patches were found.
"""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from builder import failures, join, kept, nar, textfile, within, witness, workbench
from builder.derivation import Derivation, series_problems
from builder.errors import BuilderError, BuildError, Problem, RecipeError, StoreError
from builder.jobserver import Jobserver
from builder.lock import LockedOutput
from builder.log import Log
from builder.recipe import Limits, Version
from builder.reporter import Reporter, Task
from builder.sandbox import environment
from builder.sandbox.layout import plan_mounts
from builder.sandbox.listing import tree_listing
from builder.sandbox.port import Outcome, Sandbox, limit_error
from builder.sandbox.spec import Mount, SandboxSpec
from builder.store import Record, Store
from builder.store.remove import remove_tree
from builder.store.trouble import trying

LAST_LINES = 30
LONGEST = 300  # characters of a log line in an error
_ROOM = 1 << 20  # bytes; a disk with less is full


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to build: the derivation, and of its recipe what does not belong in a key."""

    derivation: Derivation
    version: Version
    limits: Limits
    pinned: Mapping[str, str] | None = None  # outputs that the lock holds for this very key


@dataclass(kw_only=True, slots=True)
class Realiser:
    """Builds derivations. `keep_failed`: folder that the tree of a failed build is moved to, or "" to drop it."""

    store: Store
    sandbox: Callable[[], Sandbox]  # opened when the first build needs it: the tools that start it are built first
    reporter: Reporter
    jobserver: Jobserver
    cancel: threading.Event = field(default_factory=threading.Event)
    keep_failed: str = ""
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
            if not again:  # before the lock is released: who waits for it looks for this record
                self.store.put_record(derivation.key, record)
                failures.forget(self.store.log_path(derivation.key))
        return LockedOutput(key=derivation.key, trees=record.trees, sandbox=weakness(record.sandbox))

    def _build(self, order: Order) -> Record:
        derivation = order.derivation
        self._check_series(order)
        if before := failures.last(self.store.log_path(derivation.key)):
            self.reporter.say(f"{derivation.id}: {before} with the same inputs; it is tried again")
        with ExitStack() as stack:
            stage = stack.enter_context(self.store.stage())
            task = stack.enter_context(self.reporter.task("build", derivation.id))
            started = time.monotonic()
            for name in ("build", "output", *derivation.split):
                os.mkdir(os.path.join(stage, name))
            if derivation.builtin:
                self._join(derivation, os.path.join(stage, "output"))
            else:
                self._run(order, stage, task)
            task.line("hashing its output")
            trees = self._take(order, stage)
            task.done()
            self.last_seconds = time.monotonic() - started
            return Record(
                trees=trees,
                sandbox="" if derivation.builtin else self.sandbox().name,
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
            parts = [join.Part(each.package, self.store.tree_path(each.tree)) for each in derivation.inputs if each.output == "out"]
        chosen = {name: options[name] for name in ("include", "exclude", "move") if name in options}
        join.join(parts, output, **chosen)
        added = {name: options.get(name, {}) for name in ("files", "programs", "links")}
        join.add_files(output, **added)

    def spec(self, order: Order, build: str, output: str) -> SandboxSpec:
        """The sandbox of a build: read-only inputs at their final paths, sources, and the two writable folders."""
        derivation = order.derivation
        trees = [tree_listing(self.store.tree_path(each.tree), each.package) for each in derivation.inputs]
        layout = plan_mounts(trees, environment.BASE_FILES)
        sources = [Mount(self.store.tree_path(tree), f"/sources/{name}") for name, tree in sorted(derivation.sources.items())]
        writable = [Mount(build, "/build", writable=True), Mount(output, "/output", writable=True)]
        return SandboxSpec(
            mounts=(*layout.mounts, *sources, *writable),
            links=layout.links,
            folders=layout.folders,
            argv=("/bin/sh", "/build/.builder.sh"),
            env=environment.build_env(self.jobserver.cores, {"MAKEFLAGS": self.jobserver.makeflags}),
            workdir="/build/src",
            limits=order.limits,
            pass_fds=self.jobserver.fds,
        )

    def prepare(self, order: Order, build: str) -> None:
        """Fill the folder that becomes /build: the script, src/ and tmp/."""
        for name in ("src", "tmp"):
            os.mkdir(os.path.join(build, name))
        with open(os.path.join(build, ".builder.sh"), "w", encoding="utf-8") as file:
            file.write(order.derivation.script())

    def _run(self, order: Order, stage: str, task: Task) -> None:
        derivation = order.derivation
        build, output = os.path.join(stage, "build"), os.path.join(stage, "output")
        self.prepare(order, build)
        spec = self.spec(order, build, output)
        path = self.store.log_path(derivation.key)
        if not self.jobserver.acquire(self.cancel):
            raise KeyboardInterrupt
        try:
            with Log(path, task, every=self.reporter.verbose) as log:
                outcome = self.sandbox().run(spec, log.fd, self.cancel)
        finally:
            self.jobserver.release()
        if outcome.killed == "cancelled":
            raise KeyboardInterrupt
        if outcome.code != 0 or outcome.killed:
            full = _is_full(build)
            if not full:
                failures.note(path)
            place = self._keep(derivation, build)
            raise _failed(order, outcome, path, log.step, place, full=full)

    def shell(self, order: Order, stage: str, words: tuple[str, ...], failed: str = "") -> int:
        """Run `words`, or a shell, on this terminal in the sandbox of a build whose sources are ready; the exit code.

        failed: folder of a kept tree to enter instead.
        """
        folders = {name: os.path.join(stage, name) for name in ("build", "output", "bench")}
        for folder in folders.values():
            os.mkdir(folder)
        if not failed:
            self.prepare(order, folders["build"])
        workbench.write(folders["bench"], order.derivation, prepare=not failed, quiet=self.reporter.quiet)
        spec = self.spec(order, failed or folders["build"], folders["output"])
        terminal = {"TERM": os.environ.get("TERM", "dumb"), "ENV": f"{workbench.PLACE}/settings"}
        if not words:
            self.reporter.say(workbench.banner(order.derivation, failed))
        spec = replace(
            spec, argv=("/bin/sh", f"{workbench.PLACE}/start", *(words or ("/bin/sh", "-i"))), interactive=True,
            mounts=(*spec.mounts, Mount(folders["bench"], workbench.PLACE)),
            env={**spec.env, **({} if words else terminal)},
        )  # fmt: skip
        try:
            return self.sandbox().run(spec, 2, self.cancel).code
        finally:
            if failed:
                kept.settle(failed)

    def _keep(self, derivation: Derivation, build: str) -> str:
        if not self.keep_failed:
            return ""
        target = os.path.join(self.keep_failed, derivation.id.replace(" ", "-"))
        number = 1
        while os.path.lexists(place := f"{target}-{number}"):
            number += 1
        kept.settle(build)
        try:
            os.makedirs(self.keep_failed, mode=0o700, exist_ok=True)
            shutil.move(build, place)  # may be another file system than the store's
        except OSError as error:  # how the build failed is more than its tree
            remove_tree(place)
            why = error.strerror or "it could not be copied"
            self.reporter.warn(f"the tree of the failed build could not be kept in {place}: {why}")
            return ""
        os.mkdir(build)
        return place

    def _take(self, order: Order, stage: str) -> dict[str, str]:
        """Split the output, look for the witnesses, and bring the parts into the store."""
        derivation = order.derivation
        output = os.path.join(stage, "output")
        with _fit(derivation, output):
            return self._parts(order, stage, output)

    def _parts(self, order: Order, stage: str, output: str) -> dict[str, str]:
        derivation = order.derivation
        if not derivation.builtin:
            nar.require_shallow(output)  # before anything walks it
        folders = {"out": output, **{name: os.path.join(stage, name) for name in derivation.split}}
        if derivation.split:
            join.split(output, derivation.split, folders)
        patches = [patch for each in order.version.patches for patch in each.patches]
        if absent := witness.missing(patches, list(folders.values())):
            names = ", ".join(f"{each.path} ({each.symbol or each.string})" for each in absent)
            raise BuildError(
                f"the build went through, but patches left no trace in its output: {names}",
                where=derivation.id,
                hint="a witness must be a string or symbol that the built files have; see [[version.patches.patch]] in its recipe",
            )
        parts = {name: folder for name, folder in folders.items() if name == "out" or os.listdir(folder)}
        return {name: self.store.add_tree(folder) for name, folder in parts.items()}

    def _check_series(self, order: Order) -> None:
        for number, patches in enumerate(order.version.patches):
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
                raise RecipeError([Problem(place, f"'{patches.series}' cannot be read: {error.strerror}")], hint=hint) from error
            if problems := [Problem(place, text) for text in series_problems(patches, listed)]:
                raise RecipeError(problems, hint=f"make the recipe's list agree with {patches.series}, or name what is left out in `skip`")

    def _not_reproduced(self, order: Order, built: Mapping[str, str]) -> BuildError:
        pinned = order.pinned or {}
        lines = []
        for name in sorted({*pinned, *built}):
            old, new = pinned.get(name), built.get(name)
            if old != new:
                lines.append(f"{name}: the lock has {old or 'no such output'}, built was {new or 'no such output'}")
                if old and new and self.store.has_tree(old):
                    lines += ["  " + line for line in nar.compare(self.store.tree_path(old), self.store.tree_path(new))]
        return BuildError(
            "not reproduced: the same inputs gave other bytes than lock.toml pins\n" + "\n".join(lines),
            where=order.derivation.id,
            hint=f"`builder build --check {order.derivation.name}` shows whether the build is deterministic on this machine; "
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
        raise BuildError("its output has a path that is too long", where=derivation.id, hint="make shorter paths in its steps") from error


def weakness(sandbox: str) -> str:
    """What the lock says of the sandbox that a record names: nothing for the full one, its name for a weaker one."""
    return "" if sandbox == "bubblewrap" else sandbox


def read_series(path: str, prefix: str) -> list[str]:
    """Paths of the patches that a quilt series file lists, in order (quilt(1), "series file": comments start with #). Raises OSError."""
    lines = textfile.read(path).decode("utf-8", "replace").split("\n")
    names = [line.split("#", 1)[0].split() for line in lines]
    return [f"{prefix}/{words[0]}" if prefix else words[0] for words in names if words]


def last_lines(log: str, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log file."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 65536))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def _is_full(path: str) -> bool:
    """Whether the file system of `path` has no room: then a failure is the machine's, whatever the step made of it."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize < _ROOM


def _failed(order: Order, outcome: Outcome, log: str, step: str, place: str, *, full: bool) -> BuilderError:
    derivation, limits = order.derivation, order.limits
    if outcome.killed:
        limit = limit_error(outcome, limits, derivation.id)
        message, hint = f"in step '{step}' {limit.message}", limit.hint + ", or "
    else:
        message, hint = f"step '{step}' ended with exit code {outcome.code}", ""
    tail = "\n".join("  | " + line[:LONGEST] for line in last_lines(log))
    name = derivation.name
    more = f"its tree is kept in {place}, `builder shell --failed {name}` enters it"
    if not place:
        more = f"`builder build --keep-failed {name}` keeps its tree"
    if full:
        hint = "the disk is full: free some space there or run `builder gc`, then run the command again; or "
    return (StoreError if full else BuildError)(
        f"{message}\n{tail}",
        where=derivation.id,
        hint=f"{hint}`builder log {name}` shows the whole log ({log}); {more}; `builder shell {name}` opens its sandbox",
    )
