"""A source: bytes or a tree that a build starts from, pinned.

A location is one of
    https://host/path, http://host/path      an upstream host, named in full
    mirror://debian/<path>                   below the root of a Debian mirror; the base is the machine's
    pypi://<project>/<version>/<file>        a file of a Python package index, fetched with pip
"""

import re
from collections.abc import Sequence

from msgspec import Struct, field


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One pinned source of one version of a package.

    name: its name in the build, where it lies at /sources/<name>. locations: in order of preference.
    filename: the archive's file name (decides how it is unpacked). size: bytes; sha256: 64 hex digits; tree: SRI digest
    of the unpacked tree in NAR form, after `strip` leading directories. unpacked, entries: the most that the tree may
    hold (bytes of regular files, number of entries); None takes the defaults of `builder.fetch.unpack`.
    folder: a directory of this repository instead of locations (its tree is hashed when planning, git pins it).
    include: globs of the files that are taken of a directory; none takes all.
    platform: the only one that wants it (like "aarch64-linux-musl"); None is everywhere.
    """

    name: str = "main"
    locations: tuple[str, ...] = ()
    filename: str = ""
    strip: int = 1
    size: int | None = None
    sha256: str | None = None
    tree: str | None = None
    unpacked: int | None = None
    entries: int | None = None
    folder: str | None = None
    platform: str | None = None
    include: tuple[str, ...] = ()


class Patch(Struct, frozen=True, kw_only=True):
    """A patch that is a file of a source: applied in order with no fuzz, with a witness of its effect.

    source: name of the source that holds it; path: inside that source. directory: where in the main source it is
    applied, a glob that fits one directory; "" is its top. Exactly one of symbol, string, none is set: a symbol or
    string that a built ELF file (or any file, for a string) must contain, or why none can exist.
    """

    source: str
    path: str
    directory: str = ""
    strip: int = 1
    symbol: str | None = None
    string: str | None = None
    none: str | None = None


class PatchSet(Struct, frozen=True, kw_only=True):
    """Patches of one source in order; `series` names the series file that lists all that exist, `skip` gives the
    reason for each of them that is not applied (path -> reason)."""

    patches: tuple[Patch, ...] = ()
    series: str | None = None
    skip: dict[str, str] = field(default_factory=dict)


def default_filename(locations: Sequence[str]) -> str:
    """The file name that a source has unless it says another: the last part of its first location's path. A query is no
    part of it: it can hold a signature."""
    return re.split("[?#]", locations[0])[0].rsplit("/", 1)[1] if locations else ""
