"""The lock as values: all that was resolved and pinned, for every image and profile.

Two profiles share a package block when everything below it (version, features, requirements, all the way down) is the
same; so a block's outputs hold for all profiles it names. The fields stand in the order of lock.toml, and `rename` has
their names there: the text is written and read by these definitions.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from builder.recipe.source import Source

LOCK_VERSION = 1


class LockedOutput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Outputs of one derivation on one platform.

    key: the derivation's digest that these outputs belong to; a different key means different inputs, so the pin is out
    of date, while the same key with other outputs means that the build is not reproducible. trees: output name ("out",
    "dev", "debug") -> tree digest. sandbox: "chroot" when built in that weaker mode, else "".
    """

    key: str
    trees: Mapping[str, str]
    sandbox: str = ""


class LockedPackage(
    Struct, frozen=True, kw_only=True, omit_defaults=True,
    rename={"build_requires": "build-requires", "sources": "source", "outputs": "output"},
):
    """One package of one or more profiles. requires and build_requires name others as "name version"."""

    name: str
    version: str
    profiles: tuple[str, ...]
    recipe: str
    features: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()  # includes the tools
    sources: tuple[Source, ...] = ()
    outputs: Mapping[str, LockedOutput] = field(default_factory=dict)  # platform -> outputs

    @property
    def id(self) -> str:
        return f"{self.name} {self.version}"


class LockedLayer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image's layer on one platform. key: digest of all that it was composed from; layer, base: SHA-256 (hex) of the
    uncompressed tar (OCI image-spec: DiffID); size: bytes of the layer's uncompressed tar."""

    key: str
    layer: str
    size: int
    base: tuple[str, ...] = ()


class LockedImage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"below": "from", "outputs": "output"}):
    """An image in one profile: packages and base packages as "name version".

    below: the image of the same profile that it extends, or "". packages: those that it adds; the base is the lowest
    one's.
    """

    name: str
    profile: str
    recipe: str  # digest of the image recipe and the profile together
    below: str = ""
    packages: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    outputs: Mapping[str, LockedLayer] = field(default_factory=dict)  # platform -> layer


class Lock(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"images": "image", "packages": "package"}):
    """The whole lock. Packages are sorted by name, version, profiles; images by name, profile."""

    images: tuple[LockedImage, ...] = ()
    packages: tuple[LockedPackage, ...] = ()

    def image(self, name: str, profile: str) -> LockedImage | None:
        return next((each for each in self.images if each.name == name and each.profile == profile), None)

    def stack(self, image: LockedImage) -> tuple[LockedImage, ...]:
        """An image after all those that it stands on, the lowest first."""
        found = [image]
        while found[-1].below:
            below = self.image(found[-1].below, image.profile)
            assert below is not None, "the lock is whole"
            found.append(below)
        return tuple(reversed(found))

    def targets(self, image: LockedImage) -> tuple[str, ...]:
        """All packages that an image names: its own, those of the images below, and the base's."""
        stack = self.stack(image)
        return (*(name for each in reversed(stack) for name in each.packages), *image.base)

    def in_profile(self, profile: str) -> dict[str, LockedPackage]:
        """Packages of a profile by their id "name version"."""
        return {each.id: each for each in self.packages if profile in each.profiles}
