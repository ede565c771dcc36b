"""The tools of a command, opened once and closed in the right order: workspace, store, fetcher, builder, reporter."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from builder.base import outside, within
from builder.base import settings as user_settings
from builder.base.errors import BuilderError, UsageError
from builder.cache import noop
from builder.cli.options import Options
from builder.cli.parser import meant
from builder.lock.lock import Lock, LockedImage
from builder.progress.choose import choose
from builder.progress.reporter import Reporter
from builder.recipe.project import PACKAGES
from builder.resolve import unneeded
from builder.resolve.workspace import Workspace
from builder.store import Store

if TYPE_CHECKING:
    from builder.build.build import Builder
    from builder.build.local import LocalExecutor
    from builder.fetch import Fetcher
    from builder.image.make import ImageMaker
    from builder.sandbox import Sandbox


_COMPILER = "/opt/ziglang/zig"  # it finds its files by /proc/self/exe, which --sandbox chroot must make up


class Session(Struct, dict=True):
    """One command's nouns. Everything but the workspace is opened when first asked for."""

    options: Options
    stack: ExitStack
    watch: noop.Watch
    topic: tuple[str, str] = ("", "")  # image and profile of the build, where commands that name none take others
    _fresh: bool = False

    @cached_property
    def settings(self) -> user_settings.Settings:
        return user_settings.load()

    @cached_property
    def workspace(self) -> Workspace:
        options = self.options
        torn = options.command == "resolve" and not options.check
        return Workspace.open(options.root, self.settings.cache_dir, torn=torn)

    def out(self, name: str) -> str:
        """The path of a file or directory below the project's out/.

        Raises:
            UsageError: a link leads elsewhere, where the builder has nothing to write or to remove.
        """
        path = os.path.join(self.workspace.root, "out", name)
        real = os.path.realpath(path)
        if real != os.path.join(os.path.realpath(self.workspace.root), "out", name):
            hint = "remove the link; `builder build --out DIR` writes images to another place"
            raise UsageError(
                f"a link leads to {real}, and the builder replaces only its own files", where=path, hint=hint
            )
        return path

    @cached_property
    def reporter(self) -> Reporter:
        return self.stack.enter_context(choose(sys.stderr, quiet=self.options.quiet, verbose=self.options.verbose))

    @cached_property
    def store(self) -> Store:
        return self.stack.enter_context(Store(self.store_root, say=self._say))

    @property
    def store_root(self) -> str:
        """Where the store lies, or will lie."""
        return os.path.abspath(self.options.store or self.settings.store)

    def there(self) -> Store:
        """The store of a command that only looks at it or removes from it.

        Raises:
            UsageError: there is none.
        """
        if not os.path.isdir(self.store_root):
            hint = "name the one that you mean with --store or BUILDER_STORE; the first build makes one"
            raise UsageError("there is no store", where=self.store_root, hint=hint)
        return self.store

    def _say(self, text: str) -> None:
        self.reporter.say(text)

    @cached_property
    def fetcher(self) -> "Fetcher":
        from builder.fetch import Fetcher, Mirrors  # noqa: PLC0415

        return Fetcher(
            self.store, mirrors=Mirrors(self.settings.mirrors),
            distdirs=(*self.options.distdir, *self.settings.distdirs),
            offline=self.options.offline, reporter=self.reporter, verbose=self.options.verbose,
        )

    @cached_property
    def cancel(self) -> threading.Event:
        return threading.Event()

    @property
    def cores(self) -> int:
        return int(self.options.cores or self.settings.cores or len(os.sched_getaffinity(0)))

    @cached_property
    def builder(self) -> "Builder":
        from builder.build.build import Builder, Options  # noqa: PLC0415

        told = self.options
        return Builder(
            root=self.workspace.root, cache_dir=self.workspace.cache_dir, recipes=self.workspace.project.recipes,
            store=self.store, fetcher=lambda: self.fetcher,
            executor=self.executor, reporter=self.reporter, cancel=self.cancel,
            options=Options(
                platform=told.platform, jobs=told.jobs or self.settings.jobs or self.cores,
                keep_going=told.keep_going, locked=told.locked,
                allow_weak=told.allow_weak_sandbox,
            ),
        )

    @cached_property
    def maker(self) -> "ImageMaker":
        from builder.image import make  # noqa: PLC0415

        told = self.options
        return make.ImageMaker(
            workspace=self.workspace, builder=self.builder, store=self.store, reporter=self.reporter,
            options=make.Options(platform=told.platform, compression=told.compression, locked=told.locked),
            target=self.target, look=self.watch.look, made=self.watch.made, begin=self.about,
        )

    def target(self, image: LockedImage) -> str:
        """The directory of an image, in out/ unless another place was given by hand.

        Raises:
            UsageError: images may not be written there.
        """
        name = self.workspace.project.folder_of(image.name, image.profile)
        given = self.options.out
        if given and not within.leads_out(os.path.join(self.workspace.root, PACKAGES), given):
            raise UsageError(
                "images do not go among the recipes", where=given, hint="name another directory with --out"
            )
        return os.path.join(given, name) if given else self.out(name)

    def image_directory(self, image: LockedImage) -> str:
        """The directory of an image, which is built first where it is not as the lock says."""
        self.maker.make([image])
        return self.target(image)

    def executor(self, tool: Callable[[str], str | None], cores: int = 0) -> "LocalExecutor":
        """The executor of this machine. tool: gives the directory of a tool's output by its name."""
        from builder.build.local import LocalExecutor  # noqa: PLC0415

        failed = self.out("failed") if self.options.keep_failed and not cores else ""
        tools = () if self.options.sandbox == "chroot" or outside.find("bwrap") else ("launcher",)
        made = LocalExecutor(
            lambda: self._sandbox(tool), self.reporter, cores=cores or self.cores, keep_failed=failed, tools=tools
        )
        return self.stack.enter_context(made)

    def _sandbox(self, tool: Callable[[str], str | None]) -> "Sandbox":
        from builder import sandbox  # noqa: PLC0415

        if self.options.sandbox == "chroot":
            self.reporter.warn(
                "--sandbox chroot: builds share the host's processes, and are recorded as built in the weaker mode"
            )
        scratch = self.stack.enter_context(self.store.stage()) if self.options.sandbox == "chroot" else ""
        return sandbox.find(self.options.sandbox, tool("launcher") or "", scratch=scratch, self_exe=_COMPILER)

    def launcher(self, image: LockedImage) -> str:
        """The tool root with the launcher for programs of an image, for `sandbox.find`; "" for the system's."""
        if outside.find("bwrap"):
            return ""
        name = package_id(self, image.profile, "launcher")
        plan = self.builder.plan(self.lock, image.profile, [name])
        self.builder.build(plan, [name])
        return self.store.tree_path(plan.trees[name]["out"])

    @property
    def lock(self) -> Lock:
        """The lock, fresh; changes by relocking are reported. Commands that build write it with their pins."""
        if self._fresh and self.workspace.lock is not None:
            return self.workspace.lock
        self._fresh = True
        found = self.workspace.fresh_lock(locked=self.options.locked)
        for note in self.workspace.notes:
            self.reporter.say(f"lock: {note}")
        self.workspace.notes.clear()
        return found

    def about(self, image: LockedImage) -> None:
        """Make this image the subject: hints name it and its profile, unless commands take these by themselves."""
        project, default = self.workspace.project, self.workspace.default_image
        profiles = project.profiles_of(default) if default in project.images else ()
        self.topic = (
            image.name if image.name != default else "", image.profile if image.profile not in profiles[:1] else ""
        )

    def image(self, name: str | None = None, profile: str | None = None) -> LockedImage:
        """The locked image that the arguments name, in the profile that they name or its default.

        Raises:
            UsageError: there is no such image, or it does not resolve in that profile.
        """
        project = self.workspace.project
        wanted = name or self.options.image or self.workspace.default_image
        if wanted not in project.images:
            known = sorted(project.images)
            raise UsageError(
                f"there is no image '{wanted}'", hint=meant(wanted, known, hint=f"images here: {', '.join(known)}")
            )
        profiles = project.profiles_of(wanted)
        profile = profile or self.options.profile or profiles[0]
        found = self.lock.image(wanted, profile)
        if found is None:
            hint = unneeded.profile(project, wanted, profile)
            raise UsageError(f"image '{wanted}' does not resolve in profile '{profile}'", hint=hint)
        return found


@contextmanager
def session(options: Options) -> Iterator[Session]:
    """A session that closes all that it opened, also on errors and interrupts. Hints of errors repeat its arguments."""
    with ExitStack() as stack:
        opened = Session(options, stack, noop.Watch(options.taken))
        try:
            yield opened
        except BuilderError as error:
            from builder.cli import hints  # noqa: PLC0415 - only errors need it

            error.hint = hints.completed(error.hint, options, *opened.topic)
            error.message = hints.completed_within(error.message, options, *opened.topic)
            raise


def package_id(opened: Session, profile: str, name: str) -> str:
    """The id "name version" of a package in a profile, given by name or by id.

    Raises:
        UsageError: the profile holds no such package.
    """
    for each in opened.lock.in_profile(profile).values():
        if name in (each.name, each.id):
            return each.id
    hint = unneeded.recipe(opened.workspace.project, opened.lock, profile, name)
    raise UsageError(f"there is no package '{name}' in profile '{profile}'", hint=hint)
