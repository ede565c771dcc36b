"""Resource limits that every process of a build is started with."""

import resource

from builder.recipe.recipe import Limits
from builder.sandbox.spec import OPEN_FILES

Rlimits = list[tuple[int, tuple[int, int]]]  # which -> (soft, hard)

_MIB = 1 << 20


def rlimits(limits: Limits, open_files: int = OPEN_FILES) -> Rlimits:
    """Resource limits (getrlimit(2)) of every process of a build.

    The limit of processes lies above the recipe's, so that sampling sees and reports an excess first; kernels count
    processes per user, so those that run already are added. Memory has no limit here: programs reserve far more than
    they use, and a core needs a second to fill one or two GiB, so that sampling is quick enough.
    """
    wanted = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 64 << 30, 64 << 30),
        (resource.RLIMIT_NOFILE, open_files, max(4096, open_files)),
        (resource.RLIMIT_NPROC, *[_tasks_now() + 4 * limits.processes + 1024] * 2),
        (resource.RLIMIT_STACK, 8 * _MIB, 64 * _MIB),
    ]
    return [(which, _within_ours(which, soft, hard)) for which, soft, hard in wanted]


def _within_ours(which: int, soft: int, hard: int) -> tuple[int, int]:
    """Every user can lower a hard limit, but only root can raise it."""
    ours = resource.getrlimit(which)[1]
    most = hard if ours == resource.RLIM_INFINITY else min(hard, ours)
    return min(soft, most), most


def _tasks_now() -> int:
    """How many tasks the machine runs, by the fourth field of /proc/loadavg (proc(5)): "running/all"."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2])
    except (OSError, ValueError, IndexError):
        return 4096
