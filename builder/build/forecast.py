"""The work of a build before it is done, and the reasons, by looking alone: nothing is fetched, built or written."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct, field

from builder.base import units
from builder.fetch import Wanted
from builder.lock.lock import Lock, LockedPackage
from builder.plan.plan import Plan
from builder.store import Store

Archives = Callable[[Iterable[LockedPackage]], list[Wanted]]


class Build(Struct, frozen=True, kw_only=True):
    """sure: False when it is built only if something that is built before it gives other bytes."""

    package: str
    why: str
    sure: bool


class Forecast(Struct, kw_only=True):
    """fetch: archives that are not in the store. images: (name, profile, its fate)."""

    fetch: dict[str, Wanted] = field(default_factory=dict)
    build: dict[str, Build] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    images: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, plan: Plan, targets: Iterable[str], store: Store, before: Lock | None, wanted: Archives) -> bool:
        """Add the work of building `targets`; whether there is any. before: the lock as it was written."""
        needed = plan.to_build(targets)
        old = {each.id: each for each in before.packages} if before else {}
        for name in plan.graph.order:
            if name in needed:
                self.build[name] = _build(plan, name, needed, store, old.get(name))
            elif name in plan.trees:
                self.reused.add(name)
        packages = [plan.graph.packages[name] for name in sorted({*needed, *plan.unmeasured})]
        for each in wanted(packages):
            if each.source.sha256 is None or not os.path.exists(store.file_path(each.source.sha256)):
                self.fetch[each.source.sha256 or each.title] = each
        return bool(needed)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fetch": [
                {"package": each.package, "version": each.version,
                 "source": each.source.name, "file": each.source.filename,
                 "size": each.source.size} for each in self.fetch.values()
            ],
            "build": list(self.build.values()),
            "reused": sorted(self.reused - self.build.keys()),
            "images": [{"image": name, "profile": profile, "what": what} for name, profile, what in self.images],
        }

    def text(self) -> str:
        """Lines for the user."""
        lines = [f"fetch   {each.title}: {each.source.filename} ({_size(each)})" for each in self.fetch.values()]
        lines += [f"{'build ' if each.sure else 'build?'}  {each.package}: {each.why}" for each in self.build.values()]
        lines += [f"image   {name} in {profile}: {what}" for name, profile, what in self.images]
        total = sum(each.source.size or 0 for each in self.fetch.values())
        sure = sum(each.sure for each in self.build.values())
        maybe = len(self.build) - sure
        lines.append(
            f"to fetch: {units.counted(len(self.fetch), 'archive')}, {units.size(total)}; "
            f"to build: {units.counted(sure, 'package')}"
            + (f", perhaps {maybe} more" if maybe else "") + f"; reused: {len(self.reused - self.build.keys())}"
        )
        return "\n".join(lines)


def _size(wanted: Wanted) -> str:
    return "size not pinned" if wanted.source.size is None else units.size(wanted.source.size)


def _build(
    plan: Plan, name: str, needed: dict[str, tuple[str, ...]], store: Store, before: LockedPackage | None
) -> Build:
    """Why a package is built."""
    package = plan.graph.packages[name]
    pin = package.outputs.get(plan.host_platform)
    first = [each for each in needed[name] if each not in plan.trees]
    if pin is None:
        return Build(package=name, why="it was never built", sure=True)
    if name in plan.unmeasured or plan.keys.get(name) == pin.key:
        return Build(package=name, why="its pinned outputs are not in the store", sure=True)
    if before is not None and before.recipe != package.recipe:
        return Build(package=name, why="its recipe changed", sure=name in plan.keys)
    if first:
        return Build(package=name, why=f"when the outputs of {', '.join(first)} change", sure=False)
    record = store.record(pin.key)
    old, now = record.parts if record is not None else {}, plan.derive(name).parts()
    changed = sorted(part for part in {*old, *now} if old.get(part) != now.get(part)) if old else []
    return Build(package=name, why=_changed(changed), sure=True)


def _changed(parts: list[str]) -> str:
    if not parts:
        return "its inputs are not those of the pinned outputs"
    return f"{', '.join(parts)} changed"
