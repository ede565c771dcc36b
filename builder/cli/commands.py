"""What each command does. Each takes parsed arguments and gives an exit code."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from builder.cli.arguments import Command, parser
from builder.cli.build import build, shell
from builder.cli.named import located
from builder.cli.serve import run
from builder.cli.session import Session, package_id, session
from builder.cli.test import test
from builder.errors import UsageError
from builder.lock import LockedImage
from builder.workspace import find_root

if TYPE_CHECKING:
    from builder.store.verify import Damage


def say(text: str) -> None:
    """One line of data."""
    sys.stdout.write(text + "\n")


def say_json(value: Any) -> None:
    say(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def resolve(options: argparse.Namespace, _argv: list[str]) -> int:
    """Choose versions and write the lock. `--check` writes nothing and answers by its exit code."""
    from builder import locking  # noqa: PLC0415

    with session(options) as opened:
        workspace = opened.workspace
        if options.check:
            return _check_lock(opened)
        had_lock = workspace.lock is not None  # a first lock is all new: its size says enough
        relocked = locking.relock(
            workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all, whole=True
        )
        lock, changes = relocked.lock, [str(change) for change in relocked.changes]
        if missing := locking.missing_pins(lock):
            lock, pinned = _pin(opened, lock, missing)
            changes += pinned
        written = workspace.save(lock)
        if options.json:
            say_json({"changed": written, "changes": changes})
        else:
            for change in changes if had_lock else ():
                say(change)
            say(f"{workspace.lock_path}: {'written' if written else 'unchanged'}, {len(lock.packages)} packages")
        return 0


def _check_lock(opened: Session) -> int:
    """Say what resolving would change, also with `--update`; exit 1 when that is anything."""
    from builder import locking  # noqa: PLC0415

    options, workspace = opened.options, opened.workspace
    moving = bool(options.update or options.update_all)
    reasons = ["there is no lock.toml"]
    if workspace.lock is not None:
        reasons = locking.is_stale(workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all)
    if options.json:
        say_json({"stale": bool(reasons), "reasons": reasons})
    for reason in reasons:
        sys.stderr.write(f"{'would change' if moving else 'stale'}: {reason}\n")
    return 1 if reasons else 0


def _pin(opened: Session, lock: Any, missing: Any) -> tuple[Any, list[str]]:
    """Fetch what no recipe pins, once, and pin what came."""
    from builder import locking  # noqa: PLC0415
    from builder.fetch import Wanted  # noqa: PLC0415

    found = opened.fetcher.fetch(Wanted(name, version, source) for name, version, source in missing)
    pins = {(each.package, each.version, each.source): pin for each, pin in found.items()}
    lines = [f"newly pinned: {each.package} {each.version}, source {each.source.name}: tree {pin.tree}" for each, pin in found.items()]
    return locking.with_pins(lock, pins), lines


def fetch(options: argparse.Namespace, _argv: list[str]) -> int:
    """Bring sources, verified, into the store; with --to also as files into a folder."""
    from builder.plan import Graph  # noqa: PLC0415

    options.jobs = options.cores = None
    options.sandbox = "auto"
    with session(options) as opened:
        lock = opened.lock
        if options.all:
            packages = list(lock.packages)
        else:
            image = opened.image()
            graph = Graph.of(lock.in_profile(image.profile), lock.targets(image))
            packages = list(graph.packages.values())
        wanted = opened.builder.wanted(packages)
        # Archives and trees: what is fetched here must do for a build without network, wherever the store is taken.
        found = opened.fetcher.fetch(wanted, unpack=False)
        opened.fetcher.fetch(wanted)
        if options.to:
            _copy_archives(opened, options.to, found)
        total = sum(pin.size or 0 for pin in found.values())
        if options.json:
            say_json([
                {
                    "package": each.package, "version": each.version, "source": each.source.name, "size": pin.size, "sha256": pin.sha256,
                    "tree": pin.tree,
                }
                for each, pin in found.items()
            ])
        else:
            say(f"{len(found)} sources are here, verified ({total / 1e6:.1f} MB of archives)")
        return 0


def _copy_archives(opened: Session, folder: str, found: Mapping[Any, Any]) -> None:
    """Copy archives to a folder by their file names, for `--distdir` on a machine without network."""
    os.makedirs(folder, exist_ok=True)
    for each, pin in found.items():
        shutil.copyfile(opened.store.file_path(pin.sha256), os.path.join(folder, each.source.filename))


def audit(options: argparse.Namespace, _argv: list[str]) -> int:
    """Findings about the lock; exit 1 when there are any."""
    from builder import audit as audits  # noqa: PLC0415

    if options.rules:
        for rule in audits.RULES:
            say(f"{rule.id:24} {rule.summary}")
        return 0
    with session(options) as opened:
        context = audits.load(
            find_root(options.root), store=opened.store, platform=options.platform,
            profiles=[options.profile] if options.profile else (), image=options.image, every=options.all,
            since=options.since or "", cache_dir=opened.settings.cache_dir, reporter=opened.reporter,
        )
        report = audits.run(context, audits.RULES)
        if options.json:
            say_json(report.rows())
        else:
            sys.stdout.write(report.text())
        return report.exit_code


def graph(options: argparse.Namespace, _argv: list[str]) -> int:
    """The graph of an image as text, DOT or SVG."""
    from builder import draw  # noqa: PLC0415
    from builder import graph as graphs  # noqa: PLC0415

    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name, build=not options.runtime)
        if options.json:
            edges = [{"from": who, "to": needs, "kind": graphs.kind_of(found, who, needs)} for who, needs in sorted(found.edges)]
            say_json({"image": image.name, "profile": image.profile, "packages": sorted(found.nodes), "edges": edges})
        elif options.format == "svg":
            say(draw.svg(found, f"{image.name}, profile {image.profile}"))
        else:
            say(graphs.dot(found) if options.format == "dot" else graphs.tree(found))
        return 0


def why(options: argparse.Namespace, _argv: list[str]) -> int:
    """All shortest chains from one package to another; exit 1 when there is none."""
    from builder import graph as graphs  # noqa: PLC0415

    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name)
        held = {node.partition(" ")[0].removeprefix(graphs.IMAGE) for node in found}
        for each in (options.who, options.needs):
            if each in opened.workspace.project.recipes and each not in held:
                raise _not_in(opened, image, package_id(opened, image.profile, each))
        chains = graphs.why(found, options.who, options.needs)
        if options.json:
            say_json([[{"from": step.who, "to": step.needs, "kind": step.kind} for step in chain] for chain in chains])
        else:
            say(graphs.why_text(found, options.who, options.needs))
        return 0 if chains else 1


def _not_in(opened: Session, image: LockedImage, package: str) -> UsageError:
    """A package of the profile that another image needs."""
    from builder.plan import Graph  # noqa: PLC0415

    packages, lock = opened.lock.in_profile(image.profile), opened.lock
    others = [
        each.name for each in lock.images
        if each.profile == image.profile and package in Graph.of(packages, lock.targets(each)).packages
    ]
    return UsageError(f"image '{image.name}' does not need {package}", hint=f"ask about one that does: --image {' or '.join(others)}")


def log(options: argparse.Namespace, _argv: list[str]) -> int:
    """The log of the build that the lock's outputs came from, or of the last try."""
    _quiet(options)
    with session(options) as opened:
        lock, profile, (package,), _ = located(opened, [options.name])
        plan = opened.builder.plan(lock, profile, [package], look=True)
        key = plan.keys.get(package)
        path = opened.store.log_path(key) if key else ""
        if not path or not os.path.exists(path):
            hint = "it was never built here in this form, or is made without a sandbox"
            raise UsageError(f"there is no log of {package}", where=path, hint=hint)
        with open(path, encoding="utf-8", errors="replace") as file:
            from builder.reporter import clean_lines  # noqa: PLC0415

            sys.stdout.write(clean_lines(file.read()))
        return 0


def _quiet(options: argparse.Namespace) -> None:
    """Arguments of building for commands that only look."""
    defaults: Mapping[str, Any] = {"jobs": None, "cores": None, "sandbox": "auto", "distdir": [], "offline": True}
    for name, value in defaults.items():
        if not hasattr(options, name):
            setattr(options, name, value)


def list_packages(options: argparse.Namespace, _argv: list[str]) -> int:
    """One row a package: version, what is true of it now, size of what goes into the image."""
    from builder import inventory  # noqa: PLC0415

    _quiet(options)
    with session(options) as opened:
        image = opened.image()
        plan = opened.builder.plan(opened.lock, image.profile, opened.lock.targets(image), look=True)
        rows = inventory.rows(plan, opened.lock, image, opened.store)
        if options.json:
            say_json([row.as_dict() for row in rows])
        else:
            say(inventory.table(rows))
        return 0


def gc(options: argparse.Namespace, _argv: list[str]) -> int:
    """Remove from the store what no root keeps."""
    from builder import units  # noqa: PLC0415

    with session(options) as opened:
        freed = opened.store.gc(keep_files=() if options.archives else None)
        if options.json:
            say_json(asdict(freed))
        else:
            kinds = f"{freed.trees} trees, {freed.records} records, {freed.archives} archives, {freed.logs} logs"
            say(f"removed {kinds}: {units.size(freed.size)}")
        return 0


def store(options: argparse.Namespace, _argv: list[str]) -> int:
    """Verify the store, or tell where it is."""
    with session(options) as opened:
        if options.action == "path":
            say(opened.store.root)
            return 0
        with opened.reporter.task("verify", opened.store.root) as task:
            damage = opened.store.verify(lambda done, total: task.line(f"{done} of {total}"))
        if options.json:
            rows = [{"kind": each.kind, "name": each.name, "path": each.path, "message": each.message} for each in damage]
            say_json(rows)
        else:
            for each in damage:
                say(str(each))
            say(f"{len(damage)} damaged" if damage else "everything is as it was written")
        if options.remove and damage:
            _remove_damaged(opened, damage)
            _remove_damaged(opened, opened.store.verify())  # records of trees that are gone now
        return 1 if damage else 0


def _remove_damaged(opened: Session, damage: "list[Damage]") -> None:
    """Take out of the store what is not as it was written. Who needs it fetches or builds it again."""
    for each in damage:
        if each.kind == "tree":
            opened.store.discard_tree(each.name)
        elif each.kind in ("archive", "record") and os.path.lexists(each.path):
            os.unlink(each.path)
        else:
            continue
        opened.reporter.say(f"removed {each.path}")


def schema(options: argparse.Namespace, _argv: list[str]) -> int:
    """The JSON Schema that editors check recipes with."""
    from builder import image, profile, recipe  # noqa: PLC0415

    say_json({"recipe": recipe.schema, "image": image.schema, "profile": profile.schema}[options.kind]())
    return 0


def completion(options: argparse.Namespace, _argv: list[str]) -> int:
    """Completion scripts made from the parser itself."""
    import shtab  # noqa: PLC0415

    say(shtab.complete(parser(), options.shell))
    return 0


COMMANDS: Mapping[str, Command] = {
    "resolve": resolve, "fetch": fetch, "build": build, "test": test, "run": run, "audit": audit, "shell": shell, "graph": graph,
    "why": why, "log": log, "list": list_packages, "gc": gc, "store": store, "schema": schema, "completion": completion,
}
