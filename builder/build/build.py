"""The verb `build`: from a lock to outputs in the store, packages in dependency order, sources only of packages that
are built."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from builder.base.errors import BuilderError, MachineError, RefusedError
from builder.base.platform import PLATFORMS
from builder.build import scheduler
from builder.build.executor import Executor
from builder.build.realise import Order, Realiser
from builder.cache import memo
from builder.fetch import Wanted, unpack_key
from builder.lock.lock import Lock, LockedOutput, LockedPackage
from builder.plan.derivation import Trees
from builder.plan.plan import Graph, Plan, UnmeasuredError, is_builtin, priorities
from builder.progress.reporter import Reporter
from builder.recipe.recipe import Recipe
from builder.recipe.source import Source
from builder.store import Store
from builder.store.trouble import explain
from builder.tree import worktree

if TYPE_CHECKING:
    from builder.fetch import Fetcher

_MOST_NAMED = 10  # packages that were not built because others failed
UNKNOWN_SECONDS = 30.0  # how long a build without a record is taken to need when builds are put in order


class Options(Struct, frozen=True, kw_only=True):
    """How to build. locked: fill in no output. allow_weak: outputs of a weaker sandbox are accepted under `locked`."""

    platform: str
    jobs: int = 2
    keep_going: bool = False
    locked: bool = False
    allow_weak: bool = False


class Built(Struct, frozen=True, kw_only=True):
    """The result of a build: the outputs of each package of the graph that is known now, and the newly built ones."""

    graph: Graph
    trees: Mapping[str, Trees]
    outputs: Mapping[str, LockedOutput]
    realised: tuple[str, ...]


class StoreView:
    """The plan's view of a store (`builder.plan.plan.Known`)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def has_tree(self, tree: str) -> bool:
        return self.store.has_tree(tree)

    def outputs(self, key: str) -> Trees | None:
        record = self.store.record(key)
        return record.trees if record is not None else None


class Builder(Struct, kw_only=True):
    """Wires plan, fetcher, scheduler and realiser. One object serves one command."""

    root: str
    cache_dir: str
    recipes: Mapping[str, Recipe]
    store: Store
    fetcher: Callable[[], "Fetcher"]  # opened when a source must be fetched
    # Given a function that finds the tree of a tool by its name.
    executor: Callable[[Callable[[str], str | None]], Executor]
    reporter: Reporter
    options: Options
    cancel: threading.Event = field(default_factory=threading.Event)
    _folders: dict[Source, str] = field(default_factory=dict)
    _opened: Executor | None = None

    def plan(
        self, lock: Lock, profile: str, targets: Iterable[str], *, look: bool = False,
        doubted: frozenset[str] = frozenset()
    ) -> Plan:
        """The plan for some packages ("name version") of a profile, advanced as far as lock and store allow.

        look: fetch nothing to know more. Without it a source that is not measured is fetched. doubted: packages whose
        pinned outputs are neither trusted nor enforced.

        Raises:
            MachineError: to build, where nothing can be built for the platform.
        """
        graph = Graph.of(lock.in_profile(profile), targets)
        if not look:
            unpinned = (name for name, each in graph.packages.items() if self.options.platform not in each.outputs)
            self.refuse_platform(graph, unpinned)
        plan = Plan(
            graph=graph, recipes=self.recipes, host_platform=self.options.platform,
            source_tree=self._known_tree if look else self.source_tree, known=StoreView(self.store),
            remembered=memo.read(self.cache_dir, self._memo) or {}, doubted=doubted,
        )
        plan.advance()
        return plan

    def refuse_platform(self, graph: Graph, names: Iterable[str]) -> None:
        """Refuse to build for a platform whose tools do not run here, before anything is fetched.

        names: packages that must be built.

        Raises:
            MachineError: one of them needs tools that do not run here.
        """
        platform, machine = self.options.platform, os.uname().machine
        if PLATFORMS[platform].machine == machine:
            return
        packages = [graph.packages[name] for name in sorted(names)]
        missing = [each.id for each in packages if not is_builtin(self.recipes[each.name], each.version)]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise MachineError(
                f"there is no tool set that runs on {machine} and builds for {platform}; "
                f"to be built are {', '.join(missing[:3])}{more}",
                where=f"--platform {platform}",
                hint=f"leave out --platform; `builder fetch --platform {platform}` brings the sources for it, "
                "and needs no tools",
            )

    def _known_tree(self, package: LockedPackage, name: str) -> str:
        """As `source_tree`, without fetching.

        Raises:
            UnmeasuredError: only fetching would tell.
        """
        here = (None, self.options.platform)
        source = next(each for each in package.sources if each.name == name and each.platform in here)
        if source.folder is not None:
            return self._folder_tree(source)
        found = source.tree
        if found is None and source.sha256 and (record := self.store.record(unpack_key(source))) is not None:
            found = record.trees["out"]  # as an archive of these bytes was unpacked before
        if found is None:
            raise UnmeasuredError(package.id)
        return found

    def source_tree(self, package: LockedPackage, name: str) -> str:
        """The digest of one source's tree: pinned, measured before, or of a directory of this repository.

        Raises:
            SourceError: it cannot be fetched, or is not the pinned one.
        """
        try:
            return self._known_tree(package, name)
        except UnmeasuredError:
            found = self.fetcher().fetch(self.wanted([package]))
            return next(pin.tree for each, pin in found.items() if each.source.name == name and pin.tree)

    def _folder_tree(self, source: Source) -> str:
        if source not in self._folders:
            self._folders[source] = worktree.tree(self.root, source.folder or "", source.include)
        return self._folders[source]

    def wanted(self, packages: Iterable[LockedPackage]) -> list[Wanted]:
        """The fetched sources of packages on this platform."""
        return [
            Wanted(package=package.name, version=package.version, source=source)
            for package in packages
            for source in package.sources
            if source.folder is None and source.platform in (None, self.options.platform)
        ]

    def build(
        self, plan: Plan, targets: Iterable[str], *, force: Iterable[str] = (), inputs_of: Iterable[str] = ()
    ) -> Built:
        """Realise all that the targets need, and the inputs of `inputs_of`; return the outputs that are known then.

        Raises:
            BuilderError: the first failure, with the others named; the outputs built before it stay.
            RefusedError: under `locked`, an output that the lock does not have.
        """
        needed = self._with_tools(plan, plan.to_build(targets, force=force, inputs_of=inputs_of))
        self.refuse_platform(plan.graph, needed)
        self._refuse_unpinned(plan, needed)
        outputs: dict[str, LockedOutput] = {}
        if needed:
            if not all(self.is_builtin(plan, name) for name in needed):
                self.open_executor(plan).prepare()
            self._bring_sources(plan, needed)
            self._run(plan, needed, outputs, set(force))
        built = tuple(sorted(outputs))
        self._remember(plan)
        for name in plan.graph.order:
            if name in plan.trees and name in plan.keys and name not in outputs:
                outputs[name] = LockedOutput(
                    key=plan.keys[name], trees=plan.trees[name], sandbox=self._sandbox_of(plan, name)
                )
        return Built(graph=plan.graph, trees=plan.trees, outputs=outputs, realised=built)

    def _with_tools(self, plan: Plan, needed: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """`needed`, with the tools that the executor needs before its first build, where they are absent."""
        builds = [name for name in needed if not self.is_builtin(plan, name)]
        if not builds or not (names := self.open_executor(plan).tools):
            return needed
        first = plan.to_build(name for name in plan.graph.order if plan.graph.packages[name].name in names)
        before = {name: (*needed[name], *first) for name in builds if name not in first}
        return {**needed, **first, **before}

    @property
    def _memo(self) -> str:
        return "keys-" + hashlib.sha256(self.root.encode()).hexdigest()[:32]

    def _remember(self, plan: Plan) -> None:
        """Keep the keys of this plan for the next run."""
        found = {mark: plan.keys[name] for name, mark in plan.marks.items()}
        if any(mark not in plan.remembered for mark in found):
            memo.write(self.cache_dir, self._memo, found)

    def _sandbox_of(self, plan: Plan, name: str) -> str:
        pin = plan.graph.packages[name].outputs.get(self.options.platform)
        if pin is not None and pin.key == plan.keys[name]:
            return pin.sandbox
        record = self.store.record(plan.keys[name])
        return record.sandbox if record is not None else ""

    def _refuse_unpinned(self, plan: Plan, needed: Iterable[str]) -> None:
        if not self.options.locked:
            return
        pins = {name: plan.graph.packages[name].outputs.get(self.options.platform) for name in sorted(plan.graph.order)}
        for name, pin in pins.items():
            if pin is not None:
                self._refuse_weak(name, pin)
        missing = [name for name in pins if name not in plan.keys or plan.locked(name) is None]
        if missing:
            raise RefusedError(
                f"the lock pins no output for these inputs: {', '.join(missing)}",
                where=f"lock.toml, platform {self.options.platform}",
                hint="build once without --locked, look at the difference of lock.toml, commit it",
            )

    def _bring_sources(self, plan: Plan, needed: Iterable[str]) -> None:
        """Have all archives on this machine before anything is built, so that all missing ones are reported at once."""
        packages = [plan.graph.packages[name] for name in sorted(needed)]
        if wanted := self.wanted(packages):
            self.fetcher().fetch(wanted, unpack=False)
        for package in packages:
            for source in package.sources:
                if source.folder is not None:
                    self._bring_folder(source)

    def _bring_folder(self, source: Source) -> None:
        tree = self._folder_tree(source)
        if self.store.has_tree(tree):
            return
        with self.store.stage() as stage:
            try:
                worktree.copy(self.root, source.folder or "", f"{stage}/tree", source.include)
            except OSError as error:  # it names a file of the project, but the store has no room
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    full = OSError(error.errno, "")
                    raise explain(full, "copy a directory of the project", self.store.root) from error
                raise
            self.store.add_tree(f"{stage}/tree", expect=tree)

    def _run(
        self, plan: Plan, needed: Mapping[str, tuple[str, ...]], outputs: dict[str, LockedOutput], force: set[str]
    ) -> None:
        took = {name: self._took(plan, name) for name in needed}
        seconds = {name: UNKNOWN_SECONDS if known is None else known for name, known in took.items()}
        self.reporter.expect("build", took, jobs=self.options.jobs)
        realiser = Realiser(
            store=self.store, executor=self.open_executor(plan), reporter=self.reporter, cancel=self.cancel
        )

        def prepare(name: str) -> Callable[[], None] | None:
            plan.key(name)
            if plan.look_up(name) is not None and plan.present(name) and name not in force:
                self.reporter.skip("build", name)
                return None  # early cutoff: built before from inputs with these very bytes
            return lambda: work(name)

        def work(name: str) -> None:
            self._unpack(plan.graph.packages[name])
            output = realiser.realise(self.order(plan, name))
            self._refuse_weak(name, output)
            outputs[name] = output
            plan.trees[name] = output.trees

        result = scheduler.run(
            needed, prepare, jobs=self.options.jobs, priority=priorities(needed, seconds.__getitem__),
            keep_going=self.options.keep_going, cancel=self.cancel,
        )
        _raise_failures(result)

    def _unpack(self, package: LockedPackage) -> None:
        wanted = self.wanted([package])
        if wanted:
            self.fetcher().fetch(wanted)

    def _took(self, plan: Plan, name: str) -> float | None:
        """Seconds of the package's last build: with these very inputs, or else with those that the lock pins."""
        package = plan.graph.packages[name]
        pin = package.outputs.get(self.options.platform)
        for key in (plan.keys.get(name), pin.key if pin is not None else None):
            record = self.store.record(key) if key is not None else None
            if record is not None:
                return record.seconds
        return 1.0 if package.sources == () else None

    def open_executor(self, plan: Plan) -> Executor:
        """The executor of this command's builds, opened once; its tools are realised before its first build."""
        if self._opened is None:
            self._opened = self.executor(lambda package: self.tool(plan, package))
        return self._opened

    def tool(self, plan: Plan, package: str) -> str | None:
        """The directory of a package's output, where the plan has it."""
        for name, trees in plan.trees.items():
            if name.split(" ")[0] == package:
                return self.store.tree_path(trees["out"])
        return None

    def _refuse_weak(self, name: str, output: LockedOutput) -> None:
        if output.sandbox and self.options.locked and not self.options.allow_weak:
            raise RefusedError(
                f"built in the weaker sandbox '{output.sandbox}', which --locked does not accept",
                where=name,
                hint="build where the kernel allows namespaces, or say --allow-weak-sandbox",
            )

    def order(self, plan: Plan, name: str) -> Order:
        """The order to build a package whose inputs are all known."""
        package = plan.graph.packages[name]
        recipe = self.recipes[package.name]
        version = recipe.version(package.version)
        assert version is not None, f"{name} is in the lock but not in its recipe; relock first"
        return Order(derivation=plan.derive(name), patches=version.patches, pinned=plan.enforced(name))

    def bring(self, plan: Plan, name: str) -> None:
        """Have a package's sources in the store, unpacked."""
        self._bring_sources(plan, [name])
        self._unpack(plan.graph.packages[name])

    def is_builtin(self, plan: Plan, name: str) -> bool:
        package = plan.graph.packages[name]
        return is_builtin(self.recipes[package.name], package.version)


def with_outputs(lock: Lock, profile: str, platform: str, outputs: Mapping[str, LockedOutput]) -> Lock:
    """The lock with the outputs of a profile's packages filled in or replaced."""
    packages = tuple(
        replace(each, outputs={**each.outputs, platform: outputs[each.id]})
        if profile in each.profiles and each.id in outputs and each.outputs.get(platform) != outputs[each.id]
        else each
        for each in lock.packages
    )
    return replace(lock, packages=packages) if packages != lock.packages else lock


def _raise_failures(result: scheduler.Result) -> None:
    """Raise the first failure, which then also names the other failures and the packages not built because of them."""
    if not result.failed:
        return
    first, *others = result.failed.values()
    more = [f"also failed: {error}" for error in others]
    if result.skipped:
        left = len(result.skipped) - _MOST_NAMED
        rest = f" and {left} more" if left > 0 else ""
        more.append(f"not built because of that: {', '.join(result.skipped[:_MOST_NAMED])}{rest}")
    if isinstance(first, BuilderError):
        first.message = "\n".join([first.message, *more])
    raise first
