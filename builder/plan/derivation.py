"""A derivation: everything that can influence one build, and nothing else, in canonical JSON. Its SHA-256 is the key.

Inputs are named by the digests of their output trees, not by how these were made, so a rebuilt input with the same
bytes changes no key after it (early cutoff). Its limits, how many cores it may use and where the store lies are not
part of the key: they must not matter. A derivation, with the trees that it names, is enough to run it anywhere.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from builder.base import canonical, digest
from builder.base.environment import SOURCES, STANDARD, Environment
from builder.base.errors import Problem, RecipeError
from builder.lock.lock import LockedPackage
from builder.recipe.recipe import Limits, Recipe, Version, builtin_variables, expand, merge_feature
from builder.recipe.source import Patch, PatchSet
from builder.recipe.styles import STYLES, Step, shell

# Raised when the meaning of a derivation changes, and with it every key. Its meaning: the trees of the inputs are
# merged at "/", those of the sources lie below `environment.sources`, both read-only. /tmp and /dev/shm are writable
# and empty; there are /proc, the usual devices, one user, no network and no other process. The script's exit code
# decides, and `environment.output` is taken, split by globs: a file goes to the first output with a glob for it, else
# to "out".
FORMAT = 2

NOTHING: Mapping[str, str] = {}
Trees = Mapping[str, str]  # output name ("out", "dev", "debug") -> tree digest


class Input(Struct, frozen=True, kw_only=True):
    """A tree that the build sees at its final path, and whose output it is."""

    package: str  # "name version"
    output: str
    tree: str


class Derivation(Struct, frozen=True, kw_only=True, dict=True):
    """One build as data. `steps` run in order in a sandbox; with `builtin` the builder joins trees by `options`.

    build_platform: of the machine that builds. host_platform: of the machines that the outputs are for. limits: the
    most that the build may use, for its executor; not part of the key.
    """

    name: str
    version: str
    build_platform: str
    host_platform: str
    builtin: str = ""  # "", "prebuilt" or "union"
    options: Mapping[str, Any]
    steps: tuple[Step, ...]
    sources: Mapping[str, str]  # source name -> tree digest
    inputs: tuple[Input, ...]
    split: Mapping[str, tuple[str, ...]]
    environment: Environment = STANDARD
    limits: Limits = field(default_factory=Limits)

    @property
    def id(self) -> str:
        return f"{self.name} {self.version}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for canonical JSON. Which package an input came from does not count, only its tree; nor do
        limits."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "platforms": {"build": self.build_platform, "host": self.host_platform},
            "builtin": self.builtin,
            "options": self.options if self.builtin else {},
            "script": "" if self.builtin else self.script(),
            "environment": "" if self.builtin else self.environment.key,
            "sources": dict(self.sources),
            "inputs": sorted({each.tree for each in self.inputs if not self.builtin or each.output == "out"}),
            "split": {name: list(globs) for name, globs in self.split.items()},
        }

    @cached_property
    def key(self) -> str:
        """`sha256-<base64>` of the canonical form."""
        return canonical.key(self.as_dict())

    def parts(self) -> dict[str, str]:
        """The parts of the key by readable names, each as a digest: to tell later which of them changed."""
        steps = (FORMAT, self.steps, self.options if self.builtin else {})
        around = (self.build_platform, self.host_platform, self.environment.key)
        told = {"its steps": steps, "its outputs' globs": self.split, "the environment of builds": around}
        found = {name: digest.of_bytes(repr(each).encode()) for name, each in told.items()}
        found |= {f"source '{name}'": tree for name, tree in self.sources.items()}
        return found | {f"{each.package} ({each.output})": each.tree for each in self.inputs}

    def script(self) -> str:
        """The dash source that is run: each step in a subshell of its own, announced in the log."""
        steps = (
            f"printf '==> %s\\n' {each.name}\n(\ncd {self.environment.workdir}\n{each.run}\n)\n" for each in self.steps
        )
        return "".join(("set -eu\n", *steps))


def derive(
    recipe: Recipe, package: LockedPackage, *, build_platform: str, host_platform: str, sources: Mapping[str, str],
    inputs: Iterable[Input],
    provided: Mapping[str, str] = NOTHING,
) -> Derivation:
    """The derivation of a locked package, given its recipe, its sources' trees, and the trees that it sees.

    provided: package -> version, of the packages that its requirements carry inside.

    Raises:
        RecipeError: the lock names a feature that the recipe has not, or lacks a requirement of the recipe's build.
    """
    version = recipe.version(package.version)
    assert version is not None, f"{package.id} is in the lock but not in its recipe; relock first"
    style = STYLES[version.style]
    build: Mapping[str, Any] = version.build
    if version.own_style and package.features:
        raise RecipeError(
            [Problem(
                f"{recipe.path}: {package.id}", f"has no feature {package.features[0]}: it is built in a way of its own"
            )],
            hint="take another version, or leave the feature out of the profile",
        )
    for feature in package.features:
        if feature not in recipe.features:
            raise RecipeError(
                [Problem(f"{recipe.path}: {package.id}", f"has no feature {feature}, which the lock names")],
                hint="run `builder resolve` to write lock.toml again",
            )
        build = merge_feature(build, recipe.features[feature].build)
    try:
        options = expand(build, _variables(recipe, package, provided))
    except KeyError as error:  # the recipe's own requirements have it: the lock lost one
        raise RecipeError(
            [Problem(
                f"{recipe.path}: {package.id}", f"needs ${{{error.args[0]}}}, which no requirement in the lock gives"
            )],
            hint="run `builder resolve` to write lock.toml again",
        ) from error
    steps = () if style.builtin else (*_prepare(version), *style.steps(options))
    return Derivation(
        name=package.name,
        version=package.version,
        build_platform=build_platform,
        host_platform=host_platform,
        builtin=version.style if style.builtin else "",
        options=options,
        steps=steps,
        sources=sources,
        inputs=tuple(sorted(inputs, key=lambda each: (each.package, each.output))),
        split={} if style.builtin else recipe.split,
        limits=recipe.limits,
    )


def _variables(recipe: Recipe, package: LockedPackage, provided: Mapping[str, str]) -> dict[str, str]:
    known = builtin_variables(recipe, package.version)
    known.update({f"{name}.version": version for name, version in provided.items()})
    for each in (*package.requires, *package.build_requires):
        name, _, version = each.partition(" ")
        known[f"{name}.version"] = version
    return known


def _prepare(version: Version) -> tuple[Step, ...]:
    """Steps before the style's own: a writable copy of the main source, then its patches."""
    steps = []
    if any(source.name == "main" for source in version.sources):
        # All times in the store are equal, and stay so: no file looks older than the files it is generated from.
        copy = f"cp -R --preserve=timestamps,links {SOURCES}/main/. .\nchmod -R u+w ."
        steps.append(Step("unpack", copy))
    patches = [patch for each in version.patches for patch in each.patches]
    if patches:
        steps.append(Step("patch", "\n".join(map(_apply, patches))))
    return tuple(steps)


def _apply(patch: Patch) -> str:
    path = f"{SOURCES}/{patch.source}/{patch.path}"
    quoted = "'" + path.replace("'", "'\"'\"'") + "'"
    place = f" -d {shell.glob(patch.directory)}" if patch.directory else ""
    options = f"-p{patch.strip} --fuzz=0 --no-backup-if-mismatch --batch --forward{place}"
    return f"echo {shlex.quote(path)}\npatch {options} -i {quoted}"


def series_problems(patches: PatchSet, listed: Sequence[str]) -> list[str]:
    """Problems of a recipe's patch list, against the paths that the source's series lists in order."""
    mine = [each.path for each in patches.patches]
    expected = [path for path in listed if path not in patches.skip]
    problems = [f"'{path}' is in the series, but neither applied nor skipped" for path in expected if path not in mine]
    problems += [f"'{path}' is not in the series" for path in (*mine, *patches.skip) if path not in listed]
    if not problems and mine != expected:
        problems.append("the patches are not in the order of the series")
    return problems
