"""Trees in the store whose content is not what their name says: a flipped bit, or something that wrote there."""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.base.errors import StoreError
from builder.tree import nar

ID = "tree-bytes"
_REMEDY = "run `builder store verify --remove`; the next build makes it again"


def check(context: Context) -> Iterator[Finding]:
    for tree, place in context.trees():
        if not context.store.has_tree(tree):
            continue
        path = context.store.tree_path(tree)
        try:
            found = nar.hash_tree(path)
        except OSError as error:
            yield Finding(ID, place, f"{path} cannot be read: {error.strerror}", _REMEDY)
        except StoreError as error:
            yield Finding(ID, place, f"{error.where}: {error.message}", _REMEDY)
        else:
            if found != tree:
                yield Finding(ID, place, f"{path} is damaged: its content is {found}, not {tree}", _REMEDY)


RULE = Rule(ID, "a tree in the store is not what its name says", check)
