"""Trees in the store whose content is not what their name says: a flipped bit, or something that wrote there."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.base.errors import StoreError
from builder.tree import nar

ID = "tree-bytes"
_REMEDY = "run `builder store verify --remove`; the next build makes it again"
_THREADS = 4  # at most; hashing runs outside the interpreter's lock, reading directories does not


def check(context: Context) -> Iterator[Finding]:
    found = {tree: place for tree, place in context.trees() if context.store.has_tree(tree)}
    paths = list(map(context.store.tree_path, found))
    with (
        context.reporter.task("verify", "trees", len(paths)) as task,
        ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool,
    ):
        for place, reason in zip(found.values(), pool.map(_damage, found, paths), strict=True):
            task.advance(1)
            if reason:
                yield Finding(ID, place, reason, _REMEDY)


def _damage(tree: str, path: str) -> str:
    """The reason why a tree is not what its name says; "" when it is."""
    try:
        found = nar.hash_tree(path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except StoreError as error:
        return f"{error.where}: {error.message}"
    return f"{path} is damaged: its content is {found}, not {tree}" if found != tree else ""


RULE = Rule(ID, "a tree in the store is not what its name says", check)
