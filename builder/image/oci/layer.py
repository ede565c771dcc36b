"""Composing a layer: the union of packages' runtime files, and what the image adds. Pure: it opens no file.

Files are canonical before the image speaks: 0644, or 0755 when their owner may run them; directories 0755; all of root.
Directories may be shared. Everything else has one owner: two packages with one path are refused even when the
bytes are the same, because one of them would change without the other one day. That holds for the layers of an
image below, too; only what the image itself says (directories, links, files, users) may replace what lies there.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from builder.base import globs
from builder.base.errors import Problem, RecipeError, RefusedError
from builder.image.oci import accounts, capability
from builder.image.oci.entry import DIR, FILE, KIND_WORDS, LINK, Entry, order, parents
from builder.recipe.image import ImageRecipe, Mode
from builder.tree import nar

_IMAGE = "the image itself"
_WHITEOUT = ".wh."  # names with this prefix delete files of lower layers (image-spec v1.1, layer.md, "Whiteouts")
_NEAR = 3


class Package(Struct, frozen=True, kw_only=True):
    """Runtime files of one package: `id` as errors name it ("nginx 1.26.3"), its tree on disk, and what is in it."""

    id: str
    path: str
    entries: Sequence[nar.Entry]


def scan(trees: Iterable[tuple[str, str]]) -> tuple[Package, ...]:
    """Packages from (id, path of the tree) pairs, read from disk."""
    return tuple(Package(id=name, path=path, entries=nar.scan(path)) for name, path in trees)


NOTHING: Mapping[str, Entry] = {}


def compose(
    packages: Iterable[Package], image: ImageRecipe | None = None, below: Mapping[str, Entry] = NOTHING
) -> tuple[Entry, ...]:
    """The layer's entries, sorted, each directory before what it holds and every parent directory present.

    below: path -> entry of an image that this one stands on. The layer has only what is not
    there: its directories keep the modes and owners that they have.

    Modes of the image apply in order to everything in the layer. A mode for one path is taken as it is; one for a glob
    makes no plain file a program (as chmod's `X`), so that "0750" fits a directory with its programs
    and its plain files.

    Raises:
        RefusedError: packages or the image collide on a path, or a name cannot stand in a layer; all of them.
        RecipeError: the image speaks of paths that the layer does not have; all of them.
    """
    union = _Union(below)
    for package in packages:
        for found in package.entries:
            if found.path:
                union.add(_from_package(package, found))
    if image is not None:
        _add_own(union, image)
    union.check()
    union.drop_what_is_below()
    if image is not None:
        _adjust(union.entries, image)
    return tuple(sorted(union.entries.values(), key=order))


def _from_package(package: Package, found: nar.Entry) -> Entry:
    if found.kind == "dir":
        return Entry(path=found.path, kind=DIR, mode=0o755, origin=package.id)
    if found.kind == "link":
        return Entry(path=found.path, kind=LINK, mode=0o777, target=found.target, origin=package.id)
    mode = 0o755 if found.executable else 0o644
    source = f"{package.path}/{found.path}"
    return Entry(path=found.path, kind=FILE, mode=mode, size=found.size, source=source, origin=package.id)


class _Union:
    """Entries by path, with the directories of the image below that they lie in, and what is wrong with them."""

    def __init__(self, below: Mapping[str, Entry]) -> None:
        self.entries: dict[str, Entry] = {}
        self._below = below
        self._wrong: list[str] = []

    def add(self, entry: Entry) -> None:
        lower = self._below.get(entry.path)
        if lower is not None and entry.path not in self.entries and not self._replaces(entry, lower):
            self.entries[entry.path] = lower
        known = self.entries.setdefault(entry.path, entry)
        if known is entry:
            self._check_name(entry)
        elif known.kind != DIR or entry.kind != DIR:
            kinds = "" if known.kind == entry.kind else f" ({KIND_WORDS[known.kind]} and {KIND_WORDS[entry.kind]})"
            self._wrong.append(f"{known.origin} and {entry.origin} both have {entry.path}{kinds}")

    def _replaces(self, entry: Entry, lower: Entry) -> bool:
        """Whether the image itself puts something in the place of what is below."""
        return entry.origin == _IMAGE and DIR not in {entry.kind, lower.kind}

    def drop_what_is_below(self) -> None:
        """Leave out entries that the image below has in the same form."""
        self.entries = {path: each for path, each in self.entries.items() if not _same(each, self._below.get(path))}

    def add_own(self, entry: Entry) -> None:
        """Add what the image makes, with the directories above it; its directory replaces the one that is there."""
        for path in parents(entry.path):
            self.add(Entry(path=path, kind=DIR, mode=0o755, origin=_IMAGE))
        self.add(entry)
        if entry.kind == DIR and self.entries[entry.path].kind == DIR:
            self.entries[entry.path] = entry

    def _check_name(self, entry: Entry) -> None:
        if entry.path.rpartition("/")[2].startswith(_WHITEOUT):
            self._wrong.append(f"{entry.origin} has {entry.path}, a name that deletes files in a layer")
        if not (_is_utf8(entry.path) and _is_utf8(entry.target)):
            self._wrong.append(f"{entry.origin} has {nar.shown(entry.path)}, whose name or target is not UTF-8")

    def check(self) -> None:
        if self._wrong:
            raise RefusedError(
                "the layer cannot be composed:\n  " + "\n  ".join(self._wrong),
                hint="leave each path out of all packages but one (`split` or `exclude` in a recipe), or rename it",
            )


def _same(entry: Entry, lower: Entry | None) -> bool:
    """Whether a container sees no difference. Files of packages are never the same: each has one owner."""
    if lower is None or entry is lower:
        return lower is not None
    return not entry.source and replace(entry, origin=lower.origin) == lower


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # `os.fsdecode` keeps other bytes as lone surrogates
        return False
    return True


def _add_own(union: _Union, image: ImageRecipe) -> None:
    users, groups = accounts.owners(image)
    for folder in image.directories:
        user, group = folder.owner.split(":")
        union.add_own(
            Entry(path=folder.path, kind=DIR, mode=folder.mode, uid=users[user], gid=groups[group], origin=_IMAGE)
        )
    for path, target in image.links.items():
        union.add_own(Entry(path=path, kind=LINK, mode=0o777, target=target, origin=_IMAGE))
    for path, text in (*image.files.items(), *accounts.files(image).items()):
        data = text.encode()
        union.add_own(Entry(path=path, kind=FILE, mode=0o644, size=len(data), data=data, origin=_IMAGE))


def _adjust(entries: dict[str, Entry], image: ImageRecipe) -> None:
    """Modes, owners and capabilities that the image gives."""
    problems: list[Problem] = []
    for number, rule in enumerate(image.modes):
        found = [each for path, each in entries.items() if globs.matches(path, (rule.path,))]
        if not found:
            problems.append(_absent(f"{image.path}: mode[{number}].path", rule.path, entries))
        for each in found:
            entries[each.path] = _changed(each, rule, image)
    for path, names in image.capabilities.items():
        place = f"{image.path}: capabilities.{path}"
        known = entries.get(path)
        if known is None:
            problems.append(_absent(place, path, entries))
        elif known.kind != FILE:
            problems.append(
                Problem(place, f"is {KIND_WORDS[known.kind]}, and only a file can have capabilities", _follow(known))
            )
        else:
            entries[path] = replace(known, xattrs=((capability.XATTR, capability.encode(names)),))
    if problems:
        raise RecipeError(problems)


def _changed(entry: Entry, rule: Mode, image: ImageRecipe) -> Entry:
    mode, uid, gid = entry.mode, entry.uid, entry.gid
    if rule.mode is not None and entry.kind != LINK:  # a link's own mode means nothing (symlink(7))
        plain = entry.kind == FILE and not entry.mode & 0o111 and rule.path != entry.path
        mode = rule.mode & ~0o111 if plain else rule.mode
    if rule.owner:
        users, groups = accounts.owners(image)
        user, group = rule.owner.split(":")
        uid, gid = users[user], groups[group]
    return replace(entry, mode=mode, uid=uid, gid=gid)


def _follow(entry: Entry) -> str:
    return f"it points to {entry.target}: name the file itself" if entry.kind == LINK else "name a file in it"


def _absent(place: str, path: str, entries: dict[str, Entry]) -> Problem:
    stem = path.partition("*")[0].partition("?")[0]
    same = [each for each in sorted(entries) if each.rpartition("/")[2] == path.rpartition("/")[2]]
    import difflib  # noqa: PLC0415 - only a wrong image pays for it

    close = same[:_NEAR] or difflib.get_close_matches(stem.rstrip("/") or path, sorted(entries), n=1)
    what = "matches nothing in the layer" if stem != path else "is not in the layer"
    return Problem(
        place,
        f"'{path}' {what}",
        f"did you mean {' or '.join(close)}?" if close else "nothing in it has a name like that",
    )
