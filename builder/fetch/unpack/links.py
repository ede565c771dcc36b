"""The ends of symbolic links, found from their texts alone: no file is read."""

from collections.abc import Mapping

HOPS = 40  # links that Linux follows for one path (path_resolution(7)); a longer chain leads nowhere
_DEEP = 8  # directories that most paths do not go below
_STEPS = 64  # path parts for each link, on average; only a tangle made on purpose needs more


class TangledError(Exception):
    """Following the links takes far more steps than an honest tree needs."""


def leaving(links: Mapping[bytes, bytes], *, root: bool) -> list[bytes]:
    """The links (path -> target) that lead out of their tree. root: an absolute target counts from the tree's top.

    Raises:
        TangledError: it would take too many steps to tell.
    """
    budget = [_STEPS * len(links) + 10_000]
    return [path for path in links if _leaves(path, links, root, budget)]


def _leaves(path: bytes, links: Mapping[bytes, bytes], root: bool, budget: list[int]) -> bool:
    """Follow one link as the kernel does, part by part, each part that is a link replaced by its target."""
    here = path.split(b"/")[:-1]
    todo = _parts(links[path])
    hops = 1
    budget[0] -= len(todo)
    if links[path].startswith(b"/"):
        if not root:
            return True
        here = []
    while todo:
        budget[0] -= 1 + len(here) // _DEEP  # joining them takes time, too
        if budget[0] < 0:
            raise TangledError
        part = todo.pop()
        if part == b"..":
            if not here:
                return True
            here.pop()
            continue
        here.append(part)
        target = links.get(b"/".join(here))
        if target is None:
            continue
        hops += 1
        if hops > HOPS:
            return False
        if target.startswith(b"/") and not root:
            return True
        here = [] if target.startswith(b"/") else here[:-1]
        more = _parts(target)
        budget[0] -= len(more)
        todo += more
    return False


def _parts(target: bytes) -> list[bytes]:
    """The parts of a target, last first."""
    return [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
