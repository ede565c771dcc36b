"""`lock.toml` as text: written by machine, read with every problem named at its place.

One block a package, blocks and keys in one fixed order, lists of more than one item with each item on a line of its
own: branches that change different packages merge. TOML 1.0.0 (toml.io/en/v1.0.0).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import tomli
from msgspec import convert, to_builtins
from msgspec.structs import replace

from builder.base import digest, shape
from builder.base.errors import LockError, Problem
from builder.base.order import CycleFoundError, topological
from builder.base.platform import PLATFORMS
from builder.base.shape import Field, ListOf, MapOf, Number, Problems, Table, Text, near
from builder.cache import memo
from builder.cache.gc_pause import paused
from builder.lock.lock import LOCK_VERSION, Lock, LockedImage, LockedPackage
from builder.recipe import requirement
from builder.recipe.recipe import OUTPUTS, SOURCE, read_source
from builder.recipe.source import default_filename

HEADER = "# Written by `builder resolve`; do not edit. After a merge run it again.\n"
# A lock that cannot be read is not replaced unasked: the versions and the measured pins in it would be lost silently.
UNREADABLE = (
    "take it from version control: `git checkout {path}`; where there is none, remove it and run `builder resolve`, "
    "which chooses and measures everything anew"
)
_MARKERS = ("<<<<<<< ", ">>>>>>> ", "||||||| ")


# ---- writing


@paused()
def format(lock: Lock) -> str:
    """The text of a lock; equal locks give equal texts."""
    lines = [HEADER, "\n"]
    _write(table_of(lock), "", lines)
    return "".join(lines)


def table_of(lock: Lock) -> dict[str, Any]:
    """The tables of a lock's text, in its order: fields of the values by their names in TOML, without defaults."""
    images = sorted(lock.images, key=lambda each: (each.name, each.profile))
    packages = sorted(lock.packages, key=lambda each: (each.name, each.version, each.profiles))
    table = to_builtins(Lock(images=tuple(images), packages=tuple(packages)), order="deterministic")
    for package in table.get("package", ()):
        for source in package.get("source", ()):
            if source.get("filename") == default_filename(source.get("locations", ())):
                del source["filename"]
        for output in package.get("output", {}).values():
            sandbox = {"sandbox": output.pop("sandbox")} if "sandbox" in output else {}
            output.update(output.pop("trees") | sandbox)
    return {"lock-version": LOCK_VERSION, **table}


def _write(table: Mapping[str, Any], path: str, lines: list[str]) -> None:
    """Add the lines of a table whose plain keys come first, and whose tables lie at `path` ("package.")."""
    for key, value in table.items():
        kind = type(value)
        if kind is str:
            lines.append(f"{key} = {_text(value)}\n")
        elif kind is int:
            lines.append(f"{key} = {value}\n")
        elif kind is dict:
            for name, each in value.items():
                lines.append(f"\n[{path}{key}.{name}]\n")
                _write(each, "", lines)
        elif type(value[0]) is dict:
            for each in value:
                lines.append(f"\n[[{path}{key}]]\n")
                _write(each, f"{path}{key}.", lines)
        elif len(value) == 1:
            lines.append(f"{key} = [{_text(value[0])}]\n")
        else:
            lines += [f"{key} = [\n", *(f"    {_text(each)},\n" for each in value), "]\n"]


def _text(value: str) -> str:
    """A TOML basic string: quotes, backslashes and control characters are escaped, everything else is itself."""
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each >= " " and each != "\x7f" else f"\\u{ord(each):04x}" for each in escaped) + '"'


# ---- reading

_WORD = Text(requirement.NAME)
_NAMES = ListOf(_WORD)
_SRI = Text(
    check=lambda text: "" if digest.is_sri(text) else f"'{text}' is not a digest",
    hint="a digest is 'sha256-' and 44 characters of base64",
)
_HEX = Text("[0-9a-f]{64}", "64 hexadecimal digits")
_ID = Text(f"{requirement.NAME} {requirement.VERSION}", "NAME VERSION")
_IDS = ListOf(_ID)

_OUTPUT = Table({
    "key": Field(_SRI, required=True),
    **{name: Field(_SRI, required=name == "out") for name in OUTPUTS},
    "sandbox": Field(_WORD),
})
_LAYER = Table({
    "key": Field(_SRI, required=True), "layer": Field(_HEX, required=True), "size": Field(Number(1), required=True),
    "base": Field(ListOf(_HEX)),
})
_PLATFORM = "|".join(PLATFORMS)
_IMAGE = Table({
    "name": Field(_WORD, required=True), "profile": Field(_WORD, required=True), "recipe": Field(_SRI, required=True),
    "from": Field(_WORD), "packages": Field(_IDS), "base": Field(_IDS), "output": Field(MapOf(_LAYER, _PLATFORM)),
})
_PACKAGE = Table({
    "name": Field(_WORD, required=True), "version": Field(Text(requirement.VERSION), required=True),
    "profiles": Field(ListOf(_WORD, 1), required=True), "recipe": Field(_SRI, required=True), "features": Field(_NAMES),
    "requires": Field(_IDS), "build-requires": Field(_IDS), "source": Field(ListOf(SOURCE)),
    "output": Field(MapOf(_OUTPUT, _PLATFORM)),
})
LOCK = Table({
    "lock-version": Field(Number(1), required=True),
    "image": Field(ListOf(_IMAGE)),
    "package": Field(ListOf(_PACKAGE)),
}, doc="A builder lock.")


def remember(lock: Lock, text: str, cache_dir: str | None) -> None:
    """Spare the next run the reading of a text that was just made from a lock."""
    mark = hashlib.sha256(text.encode()).hexdigest()
    memo.write(cache_dir, f"lock-{mark[0]}", (mark, table_of(lock)))


@paused()
def parse(text: str, path: str = "lock.toml", *, cache_dir: str | None = None, torn: bool = False) -> Lock:
    """Read a lock. `path` is for messages. `cache_dir`: directory to remember the tables of this text in, or None.

    torn: also read one whose blocks do not fit together, as a merge can leave it; it is good for relocking only.

    Raises:
        LockError: with all problems.
    """
    mark = hashlib.sha256(text.encode()).hexdigest()
    name = f"lock-{mark[0]}"  # one of 16, so that the directory does not grow
    known = memo.read(cache_dir, name)
    if known is not None and known[0] == mark:
        return _lock(known[1])
    table = _read(text, path)
    lock = _lock(table)
    problems: Problems = []
    _check(lock, f"{path}: ", problems)
    if problems and torn:
        return lock
    if not problems:
        _check_cycles(lock, f"{path}: ", problems)
    if problems:
        raise LockError(problems, hint=f"run `builder resolve`, which writes {path} again")
    memo.write(cache_dir, name, (mark, table))
    return lock


def _read(text: str, path: str) -> dict[str, Any]:
    """The validated table of a lock's text."""
    hint = UNREADABLE.format(path=path)
    if problems := _conflicts(text, path):
        hint = f"take one side whole: `git checkout --ours {path}`, or --theirs; then run `builder resolve`"
        raise LockError(problems, hint=hint)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        place = f"{path}: line {error.lineno}, column {error.colno}"
        raise LockError([Problem(place, f"is not TOML: {error.msg}")], hint=hint) from error
    except (RecursionError, ValueError) as error:
        raise LockError([Problem(path, f"is not TOML that can be read: {error}")], hint=hint) from error
    version = data.get("lock-version")
    if isinstance(version, int) and version > LOCK_VERSION:
        message = f"is {version}, but this builder reads {LOCK_VERSION}"
        raise LockError(
            [Problem(f"{path}: lock-version", message)], hint="a newer builder wrote this lock; update builder"
        )
    problems = []
    table: dict[str, Any] = shape.read(LOCK, data, f"{path}: ", problems)
    if problems:
        raise LockError([_named(each, data) for each in problems], hint=hint)
    return table


def _conflicts(text: str, path: str) -> Problems:
    return [
        Problem(f"{path}: line {number}", "a merge conflict is left here")
        for number, line in enumerate(text.split("\n"), 1)
        if line.startswith(_MARKERS)
    ]


_BLOCK = re.compile(r"(package|image)\[(\d+)\]")


def _named(problem: Problem, data: Mapping[str, Any]) -> Problem:
    """The problem with the block's name beside its number: "package[3]" says little in a long file."""
    found = _BLOCK.search(problem.place)
    if found is None:
        return problem
    kind, number = found[1], int(found[2])
    block = data[kind][number]
    keys = ("name", "version" if kind == "package" else "profile")
    words = [str(block[key]) for key in keys if key in block] if isinstance(block, dict) else []
    if not words:
        return problem
    return replace(problem, place=problem.place.replace(found[0], f"{found[0]} '{' '.join(words)}'", 1))


def _lock(table: Mapping[str, Any]) -> Lock:
    images = sorted(convert(table.get("image", []), list[LockedImage]), key=lambda each: (each.name, each.profile))
    packages = map(_package, table.get("package", ()))
    ordered = sorted(packages, key=lambda each: (each.name, each.version, each.profiles))
    return Lock(images=tuple(images), packages=tuple(ordered))


def _package(table: Mapping[str, Any]) -> LockedPackage:
    outputs = {
        platform: {**each, "trees": {name: each[name] for name in OUTPUTS if name in each}}
        for platform, each in table.get("output", {}).items()
    }
    return convert({**table, "source": [*map(read_source, table.get("source", ()))], "output": outputs}, LockedPackage)


# ---- checks of the whole lock


def _check(lock: Lock, place: str, problems: Problems) -> None:
    profiles = {each.profile for each in lock.images}
    held = _held(lock, place, problems)
    for package in lock.packages:
        at = f"{place}package '{package.id}'"
        for profile in package.profiles:
            if profile not in profiles:
                problems.append(
                    Problem(f"{at}.profiles", f"no image is in profile '{profile}'", near(profile, sorted(profiles)))
                )
        _check_wants(
            held, package.profiles, {"requires": package.requires, "build-requires": package.build_requires}, at,
            problems,
        )
        _check_sources(package, at, problems)
    seen: set[tuple[str, str]] = set()
    for image in lock.images:
        at = f"{place}image '{image.name} {image.profile}'"
        if (image.name, image.profile) in seen:
            problems.append(Problem(at, "is there twice", "remove one of them"))
        seen.add((image.name, image.profile))
        _check_wants(held, (image.profile,), {"packages": image.packages, "base": image.base}, at, problems)
        _check_below(lock, image, at, problems)


def _check_below(lock: Lock, image: LockedImage, at: str, problems: Problems) -> None:
    """The images below are there, and none of them stands on this one."""
    seen = [image.name]
    below = image.below
    while below and below not in seen:
        seen.append(below)
        found = lock.image(below, image.profile)
        if found is None:
            known = sorted(each.name for each in lock.images if each.profile == image.profile)
            if len(seen) == 2:  # the images below report their own missing ones
                text = f"there is no image '{below}' in profile '{image.profile}'"
                problems.append(Problem(f"{at}.from", text, near(below, known)))
            return
        below = found.below
    if below == image.name:
        problems.append(Problem(f"{at}.from", "the image stands on itself: " + " -> ".join([*seen, below])))


def _held(lock: Lock, place: str, problems: Problems) -> set[tuple[str, str]]:
    """(profile, package id) of all blocks; a profile holds one version of a package, in one block."""
    held: dict[tuple[str, str], str] = {}
    for package in lock.packages:
        mine = package.id
        for profile in package.profiles:
            other = held.get((profile, package.name))
            held[profile, package.name] = other or mine
            if other is not None:
                text = "is there twice" if other == mine else f"'{other}' is in profile '{profile}' too"
                problems.append(
                    Problem(f"{place}package '{mine}'", text, f"one block a package in profile '{profile}'")
                )
    return {(profile, each.id) for each in lock.packages for profile in each.profiles}


def _check_cycles(lock: Lock, place: str, problems: Problems) -> None:
    """No package needs itself, by whatever others: it could not be built before itself."""
    found: set[tuple[str, ...]] = set()
    for profile in sorted({each for package in lock.packages for each in package.profiles}):
        try:
            topological({each.id: each.requires + each.build_requires for each in lock.in_profile(profile).values()})
        except CycleFoundError as error:
            found.add(tuple(error.cycle))
    problems += [Problem(f"{place}package '{each[0]}'", "needs itself: " + " -> ".join(each)) for each in sorted(found)]


def _check_wants(
    held: set[tuple[str, str]], profiles: Iterable[str], wants: Mapping[str, tuple[str, ...]], at: str,
    problems: Problems
) -> None:
    for kind, ids in wants.items():
        for number, each in enumerate(ids):
            for profile in profiles:
                if (profile, each) not in held:
                    known = sorted(other for where, other in held if where == profile)
                    text = f"'{each}' is not in the lock for profile '{profile}'"
                    problems.append(Problem(f"{at}.{kind}[{number}]", text, near(each, known)))


def _check_sources(package: LockedPackage, at: str, problems: Problems) -> None:
    seen: set[tuple[str, str | None]] = set()
    for number, source in enumerate(package.sources):
        if (source.name, source.platform) in seen:
            problems.append(
                Problem(f"{at}.source[{number}]", f"two sources are called '{source.name}'", "remove one of them")
            )
        seen.add((source.name, source.platform))
