"""The use case of images: realise what an image needs, pin it, compose, pin the layer,
write, keep it from being collected.

The order matters: outputs are pinned before the image is composed, and the layer before the lock's digest goes on the
label, so that a label always names a lock that pins what the image holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from builder.base import digest
from builder.base.errors import RefusedError
from builder.build.build import Builder, with_outputs
from builder.image import compose
from builder.image.compose import Request
from builder.image.oci import image as oci
from builder.image.oci import index
from builder.image.oci.compress import Blob
from builder.image.oci.config import About
from builder.lock.lock import Lock, LockedImage
from builder.plan.derivation import Trees
from builder.plan.plan import Plan
from builder.progress.reporter import Reporter
from builder.resolve.workspace import Workspace
from builder.store import Store


class Options(Struct, frozen=True, kw_only=True):
    """platform: the host platform. compression: of the layers. locked: nothing may be added to the lock."""

    platform: str
    compression: str
    locked: bool = False


class Made(Struct, frozen=True, kw_only=True):
    """An image that is there now. written: its directory as it was read back. realised:
    packages that were built for it."""

    locked: LockedImage
    request: Request
    written: oci.Written
    realised: tuple[str, ...]


class ImageMaker(Struct, kw_only=True):
    """Makes images of a workspace. target: gives the directory of an image. look, made: called with each directory
    before it is read and after it was written. begin: called with each image before anything is done for it.
    """

    workspace: Workspace
    builder: Builder
    store: Store
    reporter: Reporter
    options: Options
    target: Callable[[LockedImage], str]
    look: Callable[[str], object] = lambda _: None
    made: Callable[[str], object] = lambda _: None
    begin: Callable[[LockedImage], object] = lambda _: None
    _said: bool = False

    @property
    def _lock(self) -> Lock:
        assert self.workspace.lock is not None
        return self.workspace.lock

    def make(self, images: Sequence[LockedImage]) -> list[Made]:
        """Make images in their order. Those that were written before the last one was
        pinned get the final lock's label, too.

        Raises:
            BuilderError: a build failed, or the image cannot be composed or written.
            RefusedError: under `locked`, the lock does not pin an output or the layer.
        """
        before = self.workspace.lock_text
        found = [self._one(image) for image in images]
        count = len({(each.name, each.profile) for image in images for each in self._lock.stack(image)})
        if count == 1 or self.workspace.lock_text == before:
            return found
        return [replace(self._one(image), realised=each.realised) for image, each in zip(images, found, strict=True)]

    def request(self, image: LockedImage, plan: Plan) -> Request:
        """The request for an image by the lock of now, with the outputs that a plan knows."""
        locked = self._lock.image(image.name, image.profile)
        assert locked is not None
        project = self.workspace.project
        return compose.request(
            locked, lock=self._lock, images=project.images, graph=plan.graph, trees=plan.trees, recipes=project.recipes,
            platform=self.options.platform,
        )

    def is_current(self, image: LockedImage, plan: Plan) -> bool:
        """Whether the image that lies in its directory is the one of this lock."""
        label = compose.label(self.workspace.lock_text)
        return compose.is_current(self.target(image), self.request(image, plan), label, self.options.compression)

    def save(self, lock: Lock) -> None:
        """Write the lock when its text changed, and say so. Under `locked` nothing can have."""
        if not self.options.locked and self.workspace.save(lock) and not self._said:
            self._said = True
            self.reporter.say("lock.toml: outputs pinned")

    def keep(self, name: str, trees: Mapping[str, Trees], keys: Iterable[str] = (), files: Iterable[str] = ()) -> None:
        """Keep what belongs to an image, or to packages, of this workspace from being collected."""
        place = digest.to_hex(digest.of_bytes(self.workspace.root.encode()))[:16]
        kept = sorted({tree for outputs in trees.values() for tree in outputs.values()})
        root = f"{name}-{self.options.platform}-{place}"
        self.store.set_root(root, trees=kept, keys=sorted(keys), files=sorted(files), owner=self.workspace.root)

    def _one(self, image: LockedImage) -> Made:
        """Make an image, after the one that it stands on."""
        self.begin(image)
        below = [self._one(lower).realised for lower in self._lock.stack(image)[-2:-1]]
        lock = self._lock
        targets = lock.targets(image)
        plan = self.builder.plan(lock, image.profile, targets)
        built = self.builder.build(plan, plan.graph.closure(targets))
        archives = {
            source.sha256 for package in plan.graph.packages.values() for source in package.sources if source.sha256
        }
        self.keep(f"{image.name}-{image.profile}", built.trees, plan.keys.values(), archives)
        self.save(with_outputs(lock, image.profile, self.options.platform, built.outputs))
        target = self.target(image)
        self.look(target)
        if not self.is_current(image, plan):
            self._compose(self.request(image, plan), target)
            self.made(target)
        request = self.request(image, plan)
        return Made(
            locked=request.locked, request=request, written=oci.read(target),
            realised=tuple(sorted({*built.realised, *chain(*below)})),
        )

    def _compose(self, wanted: Request, target: str) -> None:
        """Compose, check and write an image."""
        with self.reporter.task("compose", f"image {wanted.recipe.name}") as task:

            def about(made: Sequence[Blob]) -> About:
                lock = compose.pin(self._lock, wanted, made)
                if lock != self._lock and self.options.locked:
                    raise RefusedError(
                        "the lock does not pin this image's layer", where=f"image {wanted.recipe.name}",
                        hint="build once without --locked and commit lock.toml",
                    )
                self.save(lock)
                return wanted.about(compose.label(self.workspace.lock_text))

            compression = self.options.compression
            layers: Sequence[oci.Layer] = compose.layers_of(target, wanted, compression)
            if not layers:
                if absent := compose.absent(wanted, self.store):
                    self.builder.fetcher().fetch(self.builder.wanted(absent), unpack=False)
                task.line("laying out and hashing its files")
                layers = compose.compose(wanted, self.store)
                task.line("compressing and writing")
            if wanted.below:
                layers = [*self._layers_below(wanted.below), layers[-1]]
            oci.write(target, layers, about, compression=compression)

    def _layers_below(self, request: Request) -> list[oci.Kept]:
        """The very bytes of an image that another one stands on, compressed as they are
        there; it is written anew when they are damaged.
        """
        target = self.target(request.locked)
        try:
            return oci.kept(target)
        except index.DAMAGED:
            self._compose(request, target)
            return oci.kept(target)
