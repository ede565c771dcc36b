"""A project: all recipes, images and profiles of a directory, validated as a whole.

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
from typing import Any, NamedTuple

import tomli
from msgspec import Struct, field

from builder.base import textfile, within
from builder.base.errors import Problem, RecipeError
from builder.base.shape import Problems
from builder.cache import memo
from builder.cache.gc_pause import paused
from builder.cache.noop import sure_from
from builder.recipe import image, profile, recipe
from builder.recipe.crosscheck import Crosscheck, Facts, facts, stacking
from builder.recipe.image import ImageRecipe
from builder.recipe.profile import Profile
from builder.recipe.recipe import Recipe

PACKAGES, TOOLS, IMAGES, PROFILES = "recipes", "recipes/tools", "recipes/images", "recipes/profiles"
FOLDERS = (PACKAGES, TOOLS, IMAGES, PROFILES)
OWN = ("failed", "rootfs", "run", "tests")  # directories of out/ that are no image's
_INSTEAD = "put the file itself in its place"


class Signature(NamedTuple):
    """Evidence that a file was not written since: times in nanoseconds, size in bytes, inode."""

    mtime: int
    ctime: int
    size: int
    inode: int


# A file that was found sound: the digest of its content, its parsed TOML, and a recipe's facts (see `Facts`; None for
# images and profiles). Plain tuples, since they are remembered by `memo`, thousands at a time.
Raw = tuple[str, dict[str, Any], tuple[Any, ...] | None]
Kept = tuple[tuple[int, ...], Raw]  # a signature, and the content of the file with that signature


class Recipes(Mapping[str, Recipe]):
    """Recipes by name, in sorted order; each is decoded when it is first asked for."""

    def __init__(self, raws: Mapping[str, tuple[str, Raw]], decoded: Mapping[str, Recipe]) -> None:
        self._raws = dict(sorted(raws.items()))  # name -> (path, raw)
        self._decoded = dict(decoded)

    def __getitem__(self, name: str) -> Recipe:
        found = self._decoded.get(name)
        if found is None:
            path, raw = self._raws[name]
            found = self._decoded[name] = recipe.build(raw[1], path=path, digest=raw[0])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._raws)

    def __len__(self) -> int:
        return len(self._raws)

    def __contains__(self, name: object) -> bool:
        return name in self._raws

    def digest(self, name: str) -> str:
        """The recipe's digest, without decoding it."""
        return self._raws[name][1][0]


class Project(Struct, frozen=True, kw_only=True):
    """All that a project declares. `root` is the absolute path of the directory that holds `recipes/`."""

    root: str
    recipes: Recipes
    images: Mapping[str, ImageRecipe]
    profiles: Mapping[str, Profile]

    def profiles_of(self, image_name: str) -> tuple[str, ...]:
        """Profiles that an image resolves in, its default first."""
        return self.images[image_name].profiles or tuple(self.profiles)

    def folder_of(self, image_name: str, profile_name: str) -> str:
        """The name of an image's directory in out/: NAME, and NAME-PROFILE for any but its default profile."""
        return image_name if profile_name == self.profiles_of(image_name)[0] else f"{image_name}-{profile_name}"


@paused()
def load(root: str, *, cache_dir: str | None = None) -> Project:
    """Read and validate the project in directory `root`. `cache_dir`: directory to remember sound files in, or None.

    Raises:
        RecipeError: with all problems of all files.
    """
    root = os.path.abspath(root)
    name = "project-" + hashlib.sha256(root.encode()).hexdigest()[:2]  # one of 256, so that the directory does not grow
    known = memo.read(cache_dir, name)
    kept: Mapping[str, Kept] = known[1] if known is not None and known[0] == root else {}
    now = time.time_ns()
    files, problems = scan(root)
    loader = _Loader(root=root, kept=kept, problems=problems)
    for path, signature in files.items():
        loader.read(path, signature)
    loader.stack()
    loader.crosscheck()
    if problems:
        raise RecipeError(problems)
    if loader.read_any or len(kept) != len(files):
        sure = {path: each for path, each in loader.fresh.items() if sure_from(each[0][1]) < now}
        memo.write(cache_dir, name, (root, sure))
    project = loader.project()
    if problems := _shared_folders(project):
        raise RecipeError(problems)
    return project


def _shared_folders(project: Project) -> Problems:
    """Images that would be written to the same directory of out/, or to one that the builder uses itself."""
    problems: Problems = []
    owners = dict.fromkeys(OWN, "the builder itself")
    for name, each in sorted(project.images.items()):
        for profile_name in project.profiles_of(name):
            folder, mine = project.folder_of(name, profile_name), f"image '{name}' in profile '{profile_name}'"
            if folder in owners:
                text = f"{mine} would be written to out/{folder}, as {owners[folder]} is"
                problems.append(Problem(f"{each.path}: name", text, "rename the image"))
            owners[folder] = mine
    return problems


def scan(root: str) -> tuple[dict[str, Signature], Problems]:
    """All TOML files of the project by their path from the root, and the problems of the directories themselves."""
    files: dict[str, Signature] = {}
    problems: Problems = []
    for folder in FOLDERS:
        if place := within.leads_out(root, os.path.join(root, folder)):
            problems.append(Problem(folder, f"is a link out of the project, to {place}", _INSTEAD))
            continue
        try:
            entries = sorted(os.scandir(os.path.join(root, folder)), key=lambda each: each.name)
        except FileNotFoundError:
            if folder == PACKAGES:
                hint = "run builder in a project's directory, or name it with --root"
                problems.append(Problem(folder, f"there is no such directory in {root}", hint))
            continue
        for entry in entries:
            if entry.name.endswith(".toml") and not entry.name.startswith("."):
                path = f"{folder}/{entry.name}"
                if entry.is_symlink() and (place := within.leads_out(root, entry.path)):
                    problems.append(Problem(path, f"is a link out of the project, to {place}", _INSTEAD))
                    continue
                try:
                    stat = entry.stat()
                except OSError as error:
                    problems.append(Problem(path, f"cannot be read: {error.strerror}"))
                else:
                    files[path] = Signature(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    return files, problems


def syntax_problem(path: str, error: tomli.TOMLDecodeError) -> Problem:
    """The problem of a file that is not TOML, with line and column."""
    return Problem(
        f"{path}: line {error.lineno}, column {error.colno}", f"is not TOML: {error.msg}", "see https://toml.io"
    )


class _Loader(Struct):
    """One run of `load`.

    kept: the files that an earlier run found sound, by path. fresh: the same of this run. places: recipe name -> path,
    of broken ones too. decoded: recipes that had to be decoded to be checked.
    """

    root: str
    kept: Mapping[str, Kept]
    problems: Problems
    fresh: dict[str, Kept] = field(default_factory=dict)
    read_any: bool = False
    places: dict[str, str] = field(default_factory=dict)
    decoded: dict[str, Recipe] = field(default_factory=dict)
    images: dict[str, ImageRecipe | None] = field(default_factory=dict)
    # Images on others -> path, signature, table.
    stacked: dict[str, tuple[str, Signature, Any]] = field(default_factory=dict)
    profiles: dict[str, Profile | None] = field(default_factory=dict)

    def read(self, path: str, signature: Signature) -> None:
        """Read one file, or remember it, and put it where it belongs."""
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".toml")
        kept = self.kept.get(path)
        same = kept is not None and kept[0] == signature
        if folder in (PACKAGES, TOOLS):
            if stem in self.places:
                hint = "packages and tools share their names; rename one"
                self.problems.append(Problem(path, f"{self.places[stem]} has this name too", hint))
                return
            self.places[stem] = path
            if kept is not None and same:
                self.fresh[path] = kept
                return
        table = kept[1][1] if kept is not None and same else self._parse(path)
        if folder == IMAGES and image.stands_on(table):
            self.images[stem] = None
            self.stacked[stem] = path, signature, table
            return
        raw = self._decode(folder, path, stem, table)
        if raw is not None:
            self.fresh[path] = (tuple(signature), raw)

    def stack(self) -> None:
        """Read the images that stand on others, each after the one below it."""
        below = {name: image.stands_on(table) for name, (_, _, table) in self.stacked.items()}
        if not below:
            return
        order = stacking(below, {name: f"{IMAGES}/{name}.toml" for name in self.images}, self.problems)
        for name in (*order, *sorted(below.keys() - set(order))):
            path, signature, table = self.stacked[name]
            ground = self.images.get(below[name])
            made = image.read(table, path=path, stem=name, problems=self.problems, below=ground)
            self.images[name] = made
            if made is not None:
                self.fresh[path] = (tuple(signature), (made.digest, table, None))

    def crosscheck(self) -> None:
        """Check files against each other, unless the parts that they see of each other are as they were when found
        sound."""
        if not self.problems and _seen(self.fresh) == _seen(self.kept):
            return
        known = {name: self.fresh[path][1][2] for name, path in self.places.items() if path in self.fresh}
        found = {name: Facts(*each) for name, each in known.items() if each is not None}
        check = Crosscheck(self.places, found, self.problems)
        check.recipes()
        for profile_file in self.profiles.values():
            if profile_file is not None:
                check.profile(profile_file)
        for image_file in self.images.values():
            if image_file is not None:
                check.image(image_file, self.profiles)

    def project(self) -> Project:
        raws = {name: (path, self.fresh[path][1]) for name, path in self.places.items()}
        return Project(
            root=self.root,
            recipes=Recipes(raws, self.decoded),
            images={name: each for name, each in self.images.items() if each is not None},
            profiles={name: each for name, each in self.profiles.items() if each is not None},
        )

    def _parse(self, path: str) -> dict[str, Any] | None:
        self.read_any = True
        try:
            return tomli.loads(textfile.read(f"{self.root}/{path}").decode())
        except OSError as error:
            self.problems.append(Problem(path, f"cannot be read: {error.strerror}"))
        except UnicodeDecodeError as error:
            self.problems.append(Problem(path, f"is not UTF-8 text at byte {error.start}", "TOML files are UTF-8"))
        except tomli.TOMLDecodeError as error:
            self.problems.append(syntax_problem(path, error))
        # Tomli leaves these to Python: too many levels, a number of 5,000 digits.
        except (RecursionError, ValueError) as error:
            self.problems.append(Problem(path, f"is not TOML that can be read: {error}"))
        return None

    def _decode(self, folder: str, path: str, stem: str, table: dict[str, Any] | None) -> Raw | None:
        """The file's content, decoded by the kind that its directory holds. A broken image or profile is known by name
        all the same."""
        if folder == IMAGES:
            made = None if table is None else image.read(table, path=path, stem=stem, problems=self.problems)
            self.images[stem] = made
            return None if table is None or made is None else (made.digest, table, None)
        if folder == PROFILES:
            chosen = None if table is None else profile.read(table, path=path, stem=stem, problems=self.problems)
            self.profiles[stem] = chosen
            return None if table is None or chosen is None else (chosen.digest, table, None)
        found = None if table is None else recipe.read(table, path=path, stem=stem, problems=self.problems)
        if table is None or found is None:
            return None
        self.decoded[stem] = found
        return found.digest, table, tuple(facts(table))


def _seen(files: Mapping[str, Kept]) -> dict[str, object]:
    """The parts of each file that others can see, by path: facts of recipes, all of images and profiles."""
    return {path: seen or digest for path, (_, (digest, _, seen)) in files.items()}
