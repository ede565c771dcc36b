"""A project: all recipes, images and profiles of a folder, validated as a whole.

    recipes/NAME.toml            packages
    recipes/tools/NAME.toml      packages too: the prebuilt tools of builds
    recipes/images/NAME.toml     images
    recipes/profiles/NAME.toml   profiles

Reading is lazy where it can be: files that have not changed since a run that found them sound are not read again, and a
recipe becomes a `Recipe` when it is first asked for.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import tomli

from builder import image, memo, profile, recipe
from builder.crosscheck import Crosscheck, Facts, facts
from builder.decode import Problems
from builder.errors import Problem, RecipeError
from builder.image import ImageRecipe
from builder.profile import Profile
from builder.recipe import Recipe

PACKAGES, TOOLS, IMAGES, PROFILES = "recipes", "recipes/tools", "recipes/images", "recipes/profiles"
FOLDERS = (PACKAGES, TOOLS, IMAGES, PROFILES)
# File systems stamp files with a clock of up to 10 ms a tick: a file as young as that may change without a new stamp.
_TICK = 20_000_000


class Signature(NamedTuple):
    """What tells that a file was not written since: times in nanoseconds, size in bytes, inode."""

    mtime: int
    ctime: int
    size: int
    inode: int


class Raw(NamedTuple):
    """A recipe file that was found sound: the digest of its content, its parsed TOML, and its facts."""

    digest: str
    table: dict[str, Any]
    facts: Facts


class Recipes(Mapping[str, Recipe]):
    """Recipes by name, sorted; each is decoded when it is first asked for."""

    def __init__(self, raws: Mapping[str, Raw], places: Mapping[str, str]) -> None:
        self._raws = raws
        self._places = places
        self._read: dict[str, Recipe] = {}

    def __getitem__(self, name: str) -> Recipe:
        found = self._read.get(name)
        if found is None:
            raw = self._raws[name]
            found = self._read[name] = recipe.build(raw.table, path=self._places[name], digest=raw.digest)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._raws)

    def __len__(self) -> int:
        return len(self._raws)

    def __contains__(self, name: object) -> bool:
        return name in self._raws

    def digest(self, name: str) -> str:
        """The recipe's digest, without decoding it."""
        return self._raws[name].digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """All that a folder declares. `root` is the absolute path of the folder that holds `recipes/`."""

    root: str
    recipes: Recipes
    images: Mapping[str, ImageRecipe]
    profiles: Mapping[str, Profile]

    def profiles_of(self, image_name: str) -> tuple[str, ...]:
        """Profiles that an image resolves in, its default first."""
        return self.images[image_name].profiles or tuple(self.profiles)


def stamp(root: str) -> str:
    """A digest that changes when any file of the project's recipes was written, added or removed; reads no file.

    Files younger than a clock tick make it differ from the stamp of the next run, which then looks closer.
    """
    young = time.time_ns() - _TICK
    rows = [(path, *sign) for path, sign in sorted(_scan(root)[0].items())]
    rows += [("young", young, 0, 0, 0)] if any(row[2] > young for row in rows) else []
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def load(root: str, *, cache_dir: str | None = None) -> Project:
    """Read and validate the project in folder `root`. `cache_dir`: folder to remember sound files in, or None.

    Raises:
        RecipeError: with all problems of all files.
    """
    return _Loader(os.path.abspath(root), cache_dir).load()


def _scan(root: str) -> tuple[dict[str, Signature], Problems]:
    """All TOML files by their path from the root, in sorted order within each folder."""
    files: dict[str, Signature] = {}
    problems: Problems = []
    for folder in FOLDERS:
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                names = {each.name: each for each in entries if each.name.endswith(".toml") and not each.name.startswith(".")}
        except FileNotFoundError:
            continue
        for name in sorted(names):
            try:
                stat = names[name].stat()
            except OSError as error:
                problems.append(Problem(f"{folder}/{name}", f"cannot be read: {error.strerror}"))
                continue
            files[f"{folder}/{name}"] = Signature(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    if not os.path.isdir(os.path.join(root, PACKAGES)):
        problems.append(Problem(PACKAGES, f"there is no such folder in {root}", "run builder in a project's folder, or name it with --project"))
    return files, problems


@dataclass(slots=True)
class _Loader:
    """One run of `load`.

    kept: what an earlier run found sound: path -> (signature, Raw). fresh: the same of this run. decoded: recipes that had
    to be decoded to be checked.
    """

    root: str
    kept: Mapping[str, tuple[Signature, Raw]]
    problems: Problems
    fresh: dict[str, tuple[Signature, Raw]] = field(default_factory=dict)
    decoded: dict[str, Recipe] = field(default_factory=dict)
    images: dict[str, ImageRecipe] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # recipe name -> path, broken ones too

    def read(self, path: str, sign: Signature) -> None:
        """Read one file, or remember it, and put it where it belongs."""
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".toml")
        if folder in (PACKAGES, TOOLS):
            if stem in self.places:
                hint = "packages and tools share their names; rename one"
                self.problems.append(Problem(path, f"{self.places[stem]} has this name too", hint))
                return
            self.places[stem] = path
        kept = self.kept.get(path)
        raw = kept[1] if kept is not None and kept[0] == sign else None
        if raw is not None and raw.facts is not None:
            self.fresh[path] = (sign, raw)
        elif (table := raw.table if raw else self._parse(path)) is not None:
            raw = self._decode(folder, path, stem, table)
            if raw is not None:
                self.fresh[path] = (sign, raw)

    def _parse(self, path: str) -> dict[str, Any] | None:
        try:
            with open(os.path.join(self.root, path), "rb") as file:
                return tomli.loads(file.read().decode())
        except OSError as error:
            self.problems.append(Problem(path, f"cannot be read: {error.strerror}"))
        except UnicodeDecodeError as error:
            self.problems.append(Problem(path, f"is not UTF-8 text at byte {error.start}", "TOML files are UTF-8"))
        except tomli.TOMLDecodeError as error:
            self.problems.append(syntax_problem(path, error))
        return None

    def _decode(self, folder: str, path: str, stem: str, table: dict[str, Any]) -> Raw | None:
        if folder == IMAGES:
            if (made := image.read(table, path=path, stem=stem, problems=self.problems)) is not None:
                self.images[stem] = made
                return Raw(made.digest, table, None)
        elif folder == PROFILES:
            if (chosen := profile.read(table, path=path, stem=stem, problems=self.problems)) is not None:
                self.profiles[stem] = chosen
                return Raw(chosen.digest, table, None)
        elif (found := recipe.read(table, path=path, stem=stem, problems=self.problems)) is not None:
            self.decoded[stem] = found
            return Raw(found.digest, table, facts(table))
        return None

    def crosscheck(self) -> None:
        """Check files against each other, unless what they see of each other is as it was when it was found sound."""
        if not self.problems and self._seen(self.fresh) == self._seen(self.kept):
            return
        known = {name: self.fresh[path][1].facts for name, path in self.places.items() if path in self.fresh}
        check = Crosscheck(self.places, {name: each for name, each in known.items() if each is not None}, self.problems)
        check.recipes()
        for each in self.profiles.values():
            check.profile(each)
        for image_recipe in self.images.values():
            check.image(image_recipe, self._profile_names())

    def _profile_names(self) -> list[str]:
        """Names of all profile files, broken ones too: what is wrong with these was said already."""
        return self._names

    @staticmethod
    def _seen(files: Mapping[str, tuple[Signature, Raw]]) -> dict[str, object]:
        return {path: raw.facts if raw.facts is not None else raw.digest for path, (_, raw) in files.items()}
