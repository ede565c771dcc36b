"""A directory of remembered results: each can be computed again, and spares reading unchanged files again.

One file a result: 32 bytes SHA-256 of the rest, then Python's `marshal` of (stamp, value). The digest finds torn and
flipped bytes, since `marshal` trusts its input; the directory belongs to its user alone (mode 0700). Every failure
means "not remembered": a memo is never an error.
"""

import contextlib
import hashlib
import marshal
import os
import sys
import threading
from functools import lru_cache
from typing import Any

import builder
from builder.base import textfile


@lru_cache(maxsize=1)
def code_stamp() -> str:
    """Changes with this program's code, so that no other version's results are taken for its own."""
    rows = [builder.__version__, sys.implementation.cache_tag or "", str(marshal.version)]
    todo = [os.path.dirname(os.path.abspath(builder.__file__))]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for each in sorted(entries, key=lambda each: each.name):
                if each.name.endswith(".py"):
                    rows.append(f"{each.path} {each.stat().st_mtime_ns} {each.stat().st_size}")
                elif each.is_dir(follow_symlinks=False) and each.name != "__pycache__":
                    todo.append(each.path)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def read(folder: str | None, name: str) -> Any:
    """The value remembered as `name` by this version of the program, or None."""
    if folder is None:
        return None
    try:
        with open(os.path.join(folder, name), "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            data = file.read()
    except OSError:
        return None
    if hashlib.sha256(memoryview(data)[32:]).digest() != data[:32]:
        return None
    stamp, value = marshal.loads(memoryview(data)[32:])  # noqa: S302 - our own file, see above
    return value if stamp == code_stamp() else None


def write(folder: str | None, name: str, value: Any) -> None:
    """Remember a value made of dict, list, tuple, str, int, bytes, bool and None; replaced by rename."""
    if folder is None:
        return
    data = marshal.dumps((code_stamp(), value))
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_ident()}")
        with textfile.replaced(os.path.join(folder, name), path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(hashlib.sha256(data).digest() + data)
