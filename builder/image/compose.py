"""The verb that makes an image from outputs: layers, contract check, OCI layout, and the lock's pin of the layer."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from builder.base import canonical, digest
from builder.base.errors import BuildError
from builder.base.platform import PLATFORMS
from builder.image.oci import image as oci
from builder.image.oci import index
from builder.image.oci.compress import Blob
from builder.image.oci.config import LOCK, About
from builder.image.oci.entry import Entry
from builder.lock.lock import Lock, LockedImage, LockedLayer, LockedPackage
from builder.plan.derivation import Trees
from builder.plan.plan import Graph, is_builtin
from builder.recipe.image import ImageRecipe
from builder.recipe.recipe import Recipe
from builder.store import Store

FORMAT = 1
Layer = oci.Composed | oci.Tarball


class Request(Struct, frozen=True, kw_only=True):
    """An image to make: its recipe, its block of the lock, and the outputs of all that it needs."""

    recipe: ImageRecipe
    locked: LockedImage
    graph: Graph
    trees: Mapping[str, Trees]
    recipes: Mapping[str, Recipe]
    platform: str
    below: "Request | None" = None  # the image that this one stands on

    @property
    def own(self) -> list[str]:
        """Packages whose files are the layer, sorted: the run-time closure, without what the layers below bring."""
        lower = {*self.base, *(self.below.packages if self.below else ())}
        return [name for name in self.graph.closure(self.locked.packages) if name not in lower]

    @property
    def base(self) -> list[str]:
        return self.graph.closure(self.locked.base)

    @property
    def packages(self) -> list[str]:
        """All packages of the image, those of its own layer first, the base's last."""
        return [*self.own, *(self.below.packages if self.below else self.base)]

    @property
    def layers_below(self) -> tuple[str, ...]:
        """The digests that the lock pins for the layers of the image below; none when it does not."""
        pinned = self.below.locked.outputs.get(self.platform) if self.below else None
        return (*pinned.base, pinned.layer) if pinned is not None else ()

    @property
    def version(self) -> str:
        """The image is called by it: that of the package that its recipe names first, at the bottom of the stack."""
        if self.below:
            return self.below.version
        mine = [self.graph.packages[name] for name in self.locked.packages]
        first = self.recipe.packages[0].name
        return next((each for each in mine if each.name == first), mine[0]).version  # another one may provide it

    def key(self) -> str:
        """Digest of all that the layers are composed from: outputs, or for the layers of an
        image below, their digests."""
        told: dict[str, Any] = {
            "format": FORMAT,
            "image": self.locked.recipe,
            "layer": [[name, self.trees[name]["out"]] for name in self.own],
            "platform": self.platform,
        }
        if self.below:
            return canonical.key(told | {"from": list(self.layers_below)})
        return canonical.key(
            told | {"base": [[name, self.trees[name]["out"], *self._archive(name)] for name in self.base]}
        )

    def _archive(self, name: str) -> list[str]:
        """The SHA-256 of a package's archive, where its bytes are the layer: two archives of one tree can differ."""
        package = self.graph.packages[name]
        found = base_archive(package, self.recipes[package.name], self.platform)
        return [found] if found else []

    def about(self, lock_digest: str) -> About:
        packages = [self.graph.packages[name] for name in self.packages]
        return About(
            name=self.recipe.name, version=self.version, platform=self.platform, config=self.recipe.config,
            packages={each.name: each.version for each in packages}, lock=lock_digest,
        )


def request(
    locked: LockedImage, *, lock: Lock, images: Mapping[str, ImageRecipe], graph: Graph, trees: Mapping[str, Trees],
    recipes: Mapping[str, Recipe], platform: str,
) -> Request:
    """The request for a locked image and those that it stands on; `graph` and `trees` are of all their packages."""
    found: Request | None = None
    for each in lock.stack(locked):
        found = Request(
            recipe=images[each.name],
            locked=each,
            graph=graph,
            trees=trees,
            recipes=recipes,
            platform=platform,
            below=found,
        )
    assert found is not None, "an image is in its own stack"
    return found


def base_archive(package: LockedPackage, recipe: Recipe, platform: str) -> str:
    """The SHA-256 of the archive that is a whole base layer by itself: a prebuilt root file system, used byte for byte.
    "" for a package that has none."""
    if not is_builtin(recipe, package.version):
        return ""
    sources = [each for each in package.sources if each.platform in (None, platform)]
    if len(sources) != 1 or not sources[0].filename.endswith(".tar.gz"):
        return ""
    return sources[0].sha256 or ""


def absent(request: Request, store: Store) -> list[LockedPackage]:
    """Packages of the base whose archive is used byte for byte, and is not in the store. A
    layer that is made of its tree would have other bytes."""
    while request.below:
        request = request.below
    packages = [request.graph.packages[name] for name in request.base]
    found = [(each, base_archive(each, request.recipes[each.name], request.platform)) for each in packages]
    return [each for each, sha256 in found if sha256 and not os.path.exists(store.file_path(sha256))]


def compose(request: Request, store: Store) -> list[Layer]:
    """The layers, base first, the image's own last, checked against the contract.

    Raises:
        RefusedError: packages collide, or the image breaks its contract; with all findings.
        RecipeError: the image recipe speaks of paths that the layer does not have.
    """
    from builder.image import contract  # noqa: PLC0415 - only a new layer pays for what reads binaries
    from builder.image.contract.image import BUILD_PATHS  # noqa: PLC0415

    made = layers(request, store)
    machine = PLATFORMS[request.platform].machine
    found = contract.survey([entries for _, entries in made], machine=machine, build_paths=(*BUILD_PATHS, store.root))
    contract.require(
        found, name=f"{request.recipe.name}, profile {request.locked.profile}", waivers=request.recipe.waivers
    )
    return [layer for layer, _ in made]


def layers(request: Request, store: Store) -> list[tuple[Layer, Sequence[Entry]]]:
    """The layers with what they hold, base first, those of an image below before its own.
    The contract is not looked at.

    Raises: as `compose`.
    """
    from builder.image.oci import layer  # noqa: PLC0415 - only a new layer pays for what reads trees

    made = layers(request.below, store) if request.below else _base(request, store)
    below = {each.path: each for _, entries in made for each in entries} if request.below else {}
    entries = layer.compose(layer.scan(_trees(request, request.own, store)), request.recipe, below)
    title = f"image {request.recipe.name}: " + ", ".join(request.own)
    return [*made, (oci.Composed(entries=entries, title=title), entries)]


def _base(request: Request, store: Store) -> list[tuple[Layer, Sequence[Entry]]]:
    from builder.image.oci import base as tarball_base  # noqa: PLC0415
    from builder.image.oci import layer  # noqa: PLC0415

    made: list[tuple[Layer, Sequence[Entry]]] = []
    composed = []
    for name in request.base:
        package = request.graph.packages[name]
        if sha256 := base_archive(package, request.recipes[package.name], request.platform):
            path = store.file_path(sha256)
            made.append((oci.Tarball(path=path, title=f"base: {name}"), tarball_base.entries(path, origin=name)))
        else:
            composed.append(name)
    if composed:
        entries = layer.compose(layer.scan(_trees(request, composed, store)))
        made.append((oci.Composed(entries=entries, title="base: " + ", ".join(composed)), entries))
    return made


def _trees(request: Request, names: Sequence[str], store: Store) -> list[tuple[str, str]]:
    return [(name, store.tree_path(request.trees[name]["out"])) for name in names]


def pin(lock: Lock, request: Request, made: Sequence[Blob]) -> Lock:
    """The lock with the image's layer pinned.

    Raises:
        BuildError: the same inputs gave another layer than the lock pins.
    """
    *base, own = made
    found = LockedLayer(
        key=request.key(), layer=own.diff_id, size=own.diff_size, base=tuple(each.diff_id for each in base)
    )
    old = request.locked.outputs.get(request.platform)
    if old is not None and old.key == found.key and old != found:
        raise BuildError(
            f"not reproduced: the same outputs gave layer {found.layer} on base {', '.join(found.base)}; the lock pins "
            f"{old.layer} on {', '.join(old.base)}",
            where=f"image {request.recipe.name}, profile {request.locked.profile}",
            hint="composing is not deterministic, or the pin was edited; remove the image's output from lock.toml "
            "to pin anew",
        )
    if old == found:
        return lock
    images = tuple(
        replace(each, outputs={**each.outputs, request.platform: found})
        if (each.name, each.profile) == (request.locked.name, request.locked.profile)
        else each
        for each in lock.images
    )
    return replace(lock, images=images)


def label(lock_text: str) -> str:
    """The label that names the lock that an image was made from."""
    return "sha256:" + digest.to_hex(digest.of_bytes(lock_text.encode()))


def is_current(
    target: str, request: Request, lock_digest: str, compression: str, layers: Sequence[oci.Kept] | None = None
) -> bool:
    """Whether `target` holds the very image that the lock pins, with this lock's digest on its label, byte for byte.

    layers: the result of `oci.kept` for `target`, so that their bytes are not hashed again.
    """
    try:
        _, config = index.documents(os.path.join(target, oci.LAYOUT))
        if config["config"]["Labels"][LOCK] != lock_digest:  # so that nothing is read of an image that will be replaced
            return False
        found = layers_of(target, request, compression, layers)
        return bool(found) and oci.is_written(target, found, request.about(lock_digest))
    except index.DAMAGED:
        return False


def layers_of(
    target: str, request: Request, compression: str, layers: Sequence[oci.Kept] | None = None
) -> Sequence[oci.Kept]:
    """The layers that lie in `target` already, when they are the pinned ones of this request; else none.

    layers: as for `is_current`.
    """
    try:
        manifest, config = index.documents(os.path.join(target, oci.LAYOUT))
        if not _is_pinned(request, manifest, config, compression):
            return []
        return oci.kept(target) if layers is None else layers
    except index.DAMAGED:
        return []


def _is_pinned(request: Request, manifest: Mapping[str, Any], config: Mapping[str, Any], compression: str) -> bool:
    pinned = request.locked.outputs.get(request.platform)
    if pinned is None or pinned.key != request.key():
        return False
    wanted = [f"sha256:{each}" for each in (*pinned.base, pinned.layer)]
    return bool(
        config["rootfs"]["diff_ids"] == wanted and manifest["layers"][-1]["mediaType"].endswith(f"+{compression}")
    )
