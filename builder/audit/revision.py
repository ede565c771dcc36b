"""A project as it was at a git revision: its lock and its recipes, read through git without touching the checkout."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import tomli
from msgspec import Struct, field

from builder.base import outside
from builder.base.errors import LockError, MachineError, UsageError
from builder.lock import text as lock_text
from builder.lock.lock import Lock
from builder.recipe import image, profile, recipe
from builder.recipe.image import ImageRecipe
from builder.recipe.profile import Profile
from builder.recipe.project import IMAGES, PROFILES
from builder.recipe.recipe import Recipe

if TYPE_CHECKING:
    import subprocess

_Made = TypeVar("_Made")

_HINT = "name a commit, tag or branch that `git log` shows; a shallow clone lacks older ones (`git fetch --unshallow`)"

# The configuration of a repository can name programs. Those commands that are used here start one in two cases only: to
# look at files of the checkout, and to fetch an object that a partial clone lacks. Both are forbidden. A repository
# without a checkout could be a directory of a hostile clone; replaced objects would show another history.
_OPTIONS = (
    "--no-pager", "--no-replace-objects", "-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
}  # fmt: skip


class Revision(Struct, frozen=True, kw_only=True):
    """name: as the user wrote it; recipes, images, profiles: by name, without those that this version of the program
    cannot read."""

    name: str
    lock: Lock
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    images: Mapping[str, ImageRecipe] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)


def read(root: str, name: str, *, lock_name: str = "lock.toml", folders: tuple[str, ...] = ("recipes",)) -> Revision:
    """The lock and recipes of the git checkout `root` at revision `name`.

    Raises:
        UsageError: it is no checkout, has no such revision, or that one has no lock that can be read.
        MachineError: there is no git.
    """
    commit = _commit(root, name)
    files = _files(root, commit, (lock_name, *folders))
    text = files.get(lock_name)
    where = f"revision {name}"
    if text is None:
        raise UsageError(f"there is no {lock_name} in it", where=where, hint="name a later revision")
    try:
        lock = lock_text.parse(text.decode("utf-8", "replace"), f"{lock_name} at {name}")
    except LockError as error:
        raise UsageError(
            f"its lock cannot be read:\n{error.message}", where=where, hint="name a later revision"
        ) from error
    tables = {
        path: _table(data) for path, data in sorted(files.items()) if path.endswith(".toml") and path != lock_name
    }
    return Revision(
        name=name, lock=lock, recipes=_recipes(tables), images=_images(tables),
        profiles=_profiles(tables),
    )


def _commit(root: str, name: str) -> str:
    if not name.strip() or name.startswith("-"):
        raise UsageError(f"'{name}' is not a git revision", hint=_HINT)
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode != 0:
        said = inside.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"git cannot read this directory: {said[0] if said else 'it is not inside a work tree'}",
            where=root,
            hint="--since compares with a git revision: run it in a git checkout",
        )
    found = _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if found.returncode != 0:
        raise UsageError(f"there is no revision '{name}'", where=root, hint=_HINT)
    return found.stdout.decode("ascii").strip()


def _files(root: str, commit: str, paths: tuple[str, ...]) -> dict[str, bytes]:
    """Path below `root` -> content, of all files at or below `paths`."""
    listed = _git(root, "ls-tree", "-r", "-z", commit, "--", *paths)
    if listed.returncode != 0:
        raise _absent(root, commit, "the list of files")
    found = {}
    wanted = []
    for row in listed.stdout.split(b"\0"):
        meta, _, path = row.partition(b"\t")
        if meta[:3] == b"100":  # a regular file, and no link or submodule
            wanted.append((os.fsdecode(path), meta.split()[2]))
    asked = b"".join(blob + b"\n" for _, blob in wanted)
    answer = memoryview(_git(root, "cat-file", "--batch", stdin=asked).stdout)
    for name, blob in wanted:
        line = bytes(answer[: bytes(answer[:200]).find(b"\n")])
        if not line.startswith(blob + b" blob "):
            raise _absent(root, commit, name)
        size, start = int(line.split()[2]), len(line) + 1
        found[name] = bytes(answer[start : start + size])
        answer = answer[start + size + 1 :]
    return found


def _absent(root: str, commit: str, what: str) -> UsageError:
    hint = (
        f"a partial clone lacks it: if you trust this repository, `git archive {commit} >/dev/null` fetches it; "
        "run that here, then this command again"
    )
    return UsageError(f"git does not have {what} of revision {commit}", where=root, hint=hint)


_Tables = Mapping[str, dict[str, object]]  # path -> the TOML file's content


def _recipes(tables: _Tables) -> dict[str, Recipe]:
    found = [_read(recipe.read, path, table) for path, table in tables.items() if "version" in table]
    return {each.name: each for each in found if each is not None}


def _profiles(tables: _Tables) -> dict[str, Profile]:
    found = [
        _read(profile.read, path, table) for path, table in tables.items() if os.path.dirname(path).endswith(PROFILES)
    ]
    return {each.name: each for each in found if each is not None}


def _images(tables: _Tables) -> dict[str, ImageRecipe]:
    """Images, each after the one that it stands on."""
    found: dict[str, ImageRecipe] = {}
    left = {path: table for path, table in tables.items() if os.path.dirname(path).endswith(IMAGES)}
    while ready := {path: table for path, table in left.items() if image.stands_on(table) in ("", *found)}:
        for path, table in ready.items():
            del left[path]
            if made := _read(image.read, path, table, below=found.get(image.stands_on(table))):
                found[made.name] = made
    return found


def _read(reader: Callable[..., _Made | None], path: str, table: dict[str, object], **more: object) -> _Made | None:
    return reader(table, path=path, stem=os.path.splitext(os.path.basename(path))[0], problems=[], **more)


def _table(data: bytes) -> dict[str, object]:
    try:
        return tomli.loads(data.decode())
    except (UnicodeDecodeError, tomli.TOMLDecodeError):
        return {}


def _git(root: str, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    env = outside.environment("GIT_CONFIG", "XDG_CONFIG_HOME", more=_ENVIRONMENT)
    try:
        return outside.run("git", *_OPTIONS, "-C", os.path.abspath(root), *words, env=env, stdin=stdin)
    except FileNotFoundError as error:
        raise MachineError("there is no git on this machine", hint="install git, or leave out --since") from error
