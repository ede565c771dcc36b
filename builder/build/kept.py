"""The tree that --keep-failed keeps of a failed build, made harmless for the user.

Directories are 0700 and files 0600 or 0700 and belong to the caller; access lists and other attributes go, and so do
pipes and sockets, and links that lead out of the tree. Links to where the tree lay in the sandbox lead to the same
place here.
"""

import os
import stat
from contextlib import suppress

from builder.store.remove import remove_tree

LEFT_OUT = ".builder-left-out"  # a list, at the top of the tree
_INSIDE = "/build"
_DEEP = 200  # nested directories
_LONG = 3000  # bytes of a path; the kernel takes 4096, and a name can add 256


def settle(top: str) -> None:
    """Make a tree harmless where it lies. No process of its build may run.

    Raises:
        OSError: something in it cannot be changed.
    """
    links: list[str] = []
    gone: list[str] = []
    stack = [top]
    while stack:
        folder = stack.pop()
        _make_own(folder, os.lstat(folder))
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                links.append(entry.path)
                if os.geteuid() == 0:
                    os.chown(entry.path, 0, 0, follow_symlinks=False)
            elif stat.S_ISDIR(status.st_mode) and _can_be_walked(entry.path, top):
                stack.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                _make_own(entry.path, status)
            else:
                remove_tree(entry.path)
                gone.append(f"{entry.path}: neither a file nor a link, or too deep")
    gone += _settle_links(os.path.realpath(top), top, links)
    if gone:
        _list(top, gone)


def _can_be_walked(path: str, top: str) -> bool:
    return len(os.fsencode(path)) < _LONG and path.count("/") - top.count("/") < _DEEP


def _make_own(path: str, status: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, 0, 0, follow_symlinks=False)
    os.chmod(path, 0o700 if status.st_mode & stat.S_IXUSR or stat.S_ISDIR(status.st_mode) else 0o600)
    with suppress(OSError):  # the file system has none, or only the system may remove it
        for name in os.listxattr(path, follow_symlinks=False):
            os.removexattr(path, name, follow_symlinks=False)


def _settle_links(real: str, top: str, links: list[str]) -> list[str]:
    """Lead links to the sandbox's place of the tree to the one here, and remove those that lead out; returns the
    removed ones."""
    for path in links:
        text = os.readlink(path)
        if text == _INSIDE or text.startswith(_INSIDE + "/"):
            _replace(path, os.path.relpath(top + text.removeprefix(_INSIDE), os.path.dirname(path)))
    out = [path for path in links if not (_reads_below(path, top) and _is_below(os.path.realpath(path), real))]
    gone = [f"{path}: a link to {os.readlink(path)}" for path in out]
    for path in out:
        os.unlink(path)
    return gone


def _reads_below(path: str, top: str) -> bool:
    """Whether a link's text stays in the tree as far as it can be seen without following other links."""
    return _is_below(os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path))), os.path.normpath(top))


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def _replace(path: str, text: str) -> None:
    os.unlink(path)
    os.symlink(text, path)


def _list(top: str, gone: list[str]) -> None:
    place = os.path.join(top, LEFT_OUT)
    remove_tree(place)
    lines = sorted(each.removeprefix(top + "/").encode("utf-8", "backslashreplace").decode() for each in gone)
    with open(place, "x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.chmod(place, 0o600)
