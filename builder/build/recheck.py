"""The verb `build --check`: build again under other conditions and compare bit for bit.

These differ from the first build: the number of cores, the order in which make's jobs run, the umask, the locale and
time zone of the builder's own process, the directory that store and build lie in, and the wall clock, which is later. A
build should see none of them; an output that shows any of them is not reproducible.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from builder.build.executor import Executor
from builder.build.realise import Order, Realiser
from builder.progress.reporter import Reporter
from builder.store import Store
from builder.tree import difference
from builder.tree.join import copy_links

_OTHER = {"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of building a package again: lines of differences (none: reproduced), or the second build's error."""

    package: str
    same: bool
    seconds: float
    lines: tuple[str, ...] = ()


class Recheck(Struct, kw_only=True):
    """Builds packages again, each in a store of its own beside the first one."""

    store: Store
    executor: Executor  # with another number of cores than the first one
    reporter: Reporter

    def check(self, order: Order, trees: Mapping[str, str]) -> Verdict:
        """Build `order` again; `trees` are the outputs of the first build."""
        derivation = order.derivation
        with (
            self.reporter.task("check", derivation.id, brief=True),
            tempfile.TemporaryDirectory(prefix="other-place-", dir=self.store.root) as place, _other_conditions(),
        ):
            with Store(os.path.join(place, "deeper", "store")) as other:
                for tree in {*derivation.sources.values(), *(each.tree for each in derivation.inputs)}:
                    copy_links(self.store.tree_path(tree), other.tree_path(tree))
                realiser = Realiser(store=other, executor=self.executor, reporter=self.reporter)
                found = realiser.realise(replace(order, pinned=None), again=True)  # to compare is done here
                record_seconds = realiser.last_seconds
                lines = self._differences(trees, found.trees, other)
            _free(place)
        return Verdict(package=derivation.id, same=not lines, seconds=record_seconds, lines=tuple(lines))

    def _differences(self, first: Mapping[str, str], second: Mapping[str, str], other: Store) -> list[str]:
        lines: list[str] = []
        for name in sorted({*first, *second}):
            if first.get(name) == second.get(name):
                continue
            if name not in first or name not in second:
                lines.append(f"output {name} is there only {'the first' if name in first else 'the second'} time")
                continue
            lines.append(f"output {name}: {first[name]}, then {second[name]}")
            found = difference.of_trees(self.store.tree_path(first[name]), other.tree_path(second[name]))
            lines += ["  " + line for line in found]
        return lines


def _free(place: str) -> None:
    """Make the second store's protected trees removable."""
    for folder, _, _ in os.walk(place):
        os.chmod(folder, 0o700)


@contextmanager
def _other_conditions() -> Iterator[None]:
    """Another umask, locale and time zone for this process and all that it starts."""
    umask = os.umask(0o077)
    before = {name: os.environ.get(name) for name in _OTHER}
    os.environ.update(_OTHER)
    try:
        yield
    finally:
        os.umask(umask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

