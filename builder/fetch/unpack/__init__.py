"""Unpacking archives that are not trusted: tar (plain, gzip, bzip2, xz, zstd), zip and wheel, Debian packages.

The archive's bytes may be hostile. The rules:

- A path that is absolute, has `..` or a NUL byte is refused. `.` and doubled slashes are taken off.
- Nothing is written through a link: every directory above an entry must be one that this run made as a directory.
- A path may come once; only a directory may be named again.
- Directories, regular files, symbolic links and hard links to an earlier file are taken; devices, pipes, sparse files
  and encrypted entries are refused. A hard link becomes a file of its own, since a tree has none.
- A symbolic link must stay in the tree when it is followed, through other links too. In an archive that is the root of
  a file system (a Debian package, or a tar with `strip` 0) an absolute target counts from that root.
- Bytes are counted as they are written, not as headers announce them; memory does not grow with what headers claim.
- Of the modes only the owner's executable bit is kept.
- `strip` leading directories are taken off; there must be exactly one such directory path then.
- An archive that ends early or is damaged is refused, where the format lets it be seen.
"""

import threading

from builder.base.errors import ArchiveError
from builder.fetch.unpack.tree import Cancelled, Limits, Totals, Tree, TruncatedError

__all__ = ["ArchiveError", "Cancelled", "Limits", "Totals", "Tree", "TruncatedError", "kind", "unpack"]

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_SUFFIXES = {
    "tar": _TAR,
    "zip": (".zip", ".whl"),
    "deb": (".deb",),
    "file": (".patch", ".diff", ".lua"),  # no archive: the tree holds the file under its name
}


def kind(filename: str) -> str:
    """How a file is unpacked, by its name: "tar", "zip", "deb", or "file" for a single text that is no archive.

    Raises:
        ArchiveError: the name says none of them.
    """
    for found, suffixes in _SUFFIXES.items():
        if filename.lower().endswith(suffixes):
            return found
    known = ", ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    message = "the name does not say what kind of archive it is"
    raise ArchiveError(message, where=filename, hint=f"set 'filename' of the source; known are {known}")


def unpack(
    archive: str, filename: str, into: str, *, strip: int, limits: Limits, cancel: threading.Event | None = None
) -> Totals:
    """Unpack `archive`, called `filename` by its publisher, into the empty directory `into`; the sums of its tree.

    Raises:
        ArchiveError: it is hostile, damaged, over a limit, or does not fit `strip`.
        TruncatedError: it ends early.
        OSError: the disk is full or not writable.
        Cancelled: `cancel` was set.
    """
    found = kind(filename)
    root = found == "deb" or (found == "tar" and strip == 0)
    tree = Tree(into, name=filename, strip=0 if found == "file" else strip, limits=limits, root=root, cancel=cancel)
    # Each format's module imports a decoder that only it needs, so it is imported on demand.
    with tree, open(archive, "rb") as file:
        if found == "zip":
            from builder.fetch.unpack import zips  # noqa: PLC0415

            zips.read(file, tree)
        elif found == "deb":
            from builder.fetch.unpack import debs  # noqa: PLC0415

            debs.read(file, tree)
        elif found == "tar":
            from builder.fetch.unpack import tars  # noqa: PLC0415

            tars.read(file, tree)
        else:
            tree.file(filename.encode(), executable=False, chunks=iter(lambda: file.read(1 << 20), b""))
    return tree.totals
