"""What each command does. Each takes parsed arguments and gives an exit code."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from builder import __version__
from builder.base.errors import UsageError
from builder.cli import output
from builder.cli.arguments import Command, no_verb, parser, verbs
from builder.cli.build import build, shell, shown_path
from builder.cli.named import located
from builder.cli.output import say
from builder.cli.serve import run
from builder.cli.session import Session, package_id, session
from builder.cli.test import test
from builder.lock.lock import LockedImage
from builder.resolve.workspace import find_root

if TYPE_CHECKING:
    from builder.store.verify import Damage


_PIECE = 1 << 16  # characters of a log's line that are held at a time


def say_json(kind: str, data: Any) -> None:
    say(output.document(kind, data))


def resolve(options: argparse.Namespace, _argv: list[str]) -> int:
    """Choose versions and write the lock. `--check` writes nothing and answers by its exit code."""
    from builder.resolve import relock  # noqa: PLC0415

    with session(options) as opened:
        workspace = opened.workspace
        if options.check:
            return _check_lock(opened)
        had_lock = workspace.lock is not None  # a first lock is all new: its size says enough
        relocked = relock.relock(
            workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all, whole=True
        )
        lock, changes = relocked.lock, [str(change) for change in relocked.changes]
        if missing := relock.missing_pins(lock):
            lock, pinned = _pin(opened, lock, missing)
            changes += pinned
        written = workspace.save(lock)
        if options.json:
            say_json("resolve", {"changed": written, "changes": changes})
        else:
            for change in changes if had_lock else ():
                say(change)
            say(f"{workspace.lock_path}: {'written' if written else 'unchanged'}, {len(lock.packages)} packages")
        return 0


def _check_lock(opened: Session) -> int:
    """Say what resolving would change, also with `--update`; exit 1 when that is anything."""
    from builder.resolve import relock  # noqa: PLC0415

    options, workspace = opened.options, opened.workspace
    moving = bool(options.update or options.update_all)
    reasons = ["there is no lock.toml"]
    if workspace.lock is not None:
        reasons = relock.is_stale(workspace.project, workspace.lock, update=set(options.update), update_all=options.update_all)
    if options.json:
        say_json("resolve-check", {"stale": bool(reasons), "reasons": reasons})
    for reason in reasons:
        sys.stderr.write(f"{'would change' if moving else 'stale'}: {reason}\n")
    return 1 if reasons else 0


def _pin(opened: Session, lock: Any, missing: Any) -> tuple[Any, list[str]]:
    """Fetch what no recipe pins, once, and pin what came."""
    from builder.fetch import Wanted  # noqa: PLC0415
    from builder.resolve import relock  # noqa: PLC0415

    found = opened.fetcher.fetch(Wanted(name, version, source) for name, version, source in missing)
    pins = {(each.package, each.version, each.source): pin for each, pin in found.items()}
    lines = [f"newly pinned: {each.package} {each.version}, source {each.source.name}: tree {pin.tree}" for each, pin in found.items()]
    return relock.with_pins(lock, pins), lines


def fetch(options: argparse.Namespace, _argv: list[str]) -> int:
    """Bring sources, verified, into the store; with --to also as files into a folder."""
    from builder.plan.plan import Graph  # noqa: PLC0415

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
            from builder.fetch.carry import carry  # noqa: PLC0415

            for note in carry(opened.store, options.to, found):
                opened.reporter.say(note)
        total = sum(pin.size or 0 for pin in found.values())
        if options.json:
            say_json("fetch", [
                {
                    "package": each.package, "version": each.version, "source": each.source.name, "size": pin.size, "sha256": pin.sha256,
                    "tree": pin.tree,
                }
                for each, pin in found.items()
            ])
        else:
            say(f"{len(found)} sources are here, verified ({total / 1e6:.1f} MB of archives)")
        return 0


def audit(options: argparse.Namespace, _argv: list[str]) -> int:
    """Findings about the lock; exit 1 when there are any."""
    from builder import audit as audits  # noqa: PLC0415
    from builder.cli import hints  # noqa: PLC0415

    if options.rules:
        if options.json:
            say_json("audit-rules", [{"rule": rule.id, "summary": rule.summary} for rule in audits.RULES])
        else:
            say("\n".join(f"{rule.id:24} {rule.summary}" for rule in audits.RULES))
        return 0
    with session(options) as opened:
        context = audits.load(
            find_root(options.root), store=opened.store, platform=options.platform,
            profiles=[options.profile] if options.profile else (), image=options.image, every=options.all,
            since=options.since, cache_dir=opened.settings.cache_dir, reporter=opened.reporter,
        )
        found = audits.run(context, audits.RULES)
        findings = [replace(each, remedy=hints.completed(each.remedy, options)) for each in found.findings]
        report = replace(found, findings=tuple(findings))
        if options.json:
            say_json("audit", report.findings)
        else:
            sys.stdout.write(report.text())
        return report.exit_code


def graph(options: argparse.Namespace, _argv: list[str]) -> int:
    """The graph of an image as text, DOT or SVG."""
    from builder.show import draw  # noqa: PLC0415
    from builder.show import graph as graphs  # noqa: PLC0415

    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name, build=not options.runtime)
        if options.json:
            edges = [{"from": who, "to": needs, "kind": graphs.kind_of(found, who, needs)} for who, needs in sorted(found.edges)]
            say_json("graph", {"image": image.name, "profile": image.profile, "packages": sorted(found.nodes), "edges": edges})
        elif options.format == "svg":
            say(draw.svg(found, f"{image.name}, profile {image.profile}"))
        else:
            say((graphs.dot(found) if options.format == "dot" else graphs.tree(found)).rstrip("\n"))
        return 0


def why(options: argparse.Namespace, _argv: list[str]) -> int:
    """All shortest chains from one package to another; exit 1 when there is none."""
    from builder.show import graph as graphs  # noqa: PLC0415

    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name)
        held = {node.partition(" ")[0].removeprefix(graphs.IMAGE) for node in found}
        for each in (options.who, options.needs):
            if each in opened.workspace.project.recipes and each not in held:
                raise _not_in(opened, image, package_id(opened, image.profile, each))
        chains = graphs.why(found, options.who, options.needs)
        if options.json:
            say_json("why", [[{"from": step.who, "to": step.needs, "kind": step.kind} for step in chain] for chain in chains])
        else:
            say(graphs.why_text(found, options.who, options.needs).rstrip("\n"))
        return 0 if chains else 1


def _not_in(opened: Session, image: LockedImage, package: str) -> UsageError:
    """A package of the profile that another image needs."""
    from builder.plan.plan import Graph  # noqa: PLC0415

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
            from builder.progress.clean import clean_lines  # noqa: PLC0415

            if options.json:
                say_json("log", {"package": package, "path": path, "text": clean_lines(file.read())})
                return 0
            while piece := file.readline(_PIECE):
                sys.stdout.write(clean_lines(piece))
        return 0


def _quiet(options: argparse.Namespace) -> None:
    """Arguments of building for commands that only look."""
    defaults: Mapping[str, Any] = {"jobs": None, "cores": None, "sandbox": "auto", "distdir": [], "offline": True}
    for name, value in defaults.items():
        if not hasattr(options, name):
            setattr(options, name, value)


def list_packages(options: argparse.Namespace, _argv: list[str]) -> int:
    """One row a package: version, what is true of it now, size of what goes into the image."""
    from builder.show import inventory  # noqa: PLC0415

    _quiet(options)
    with session(options) as opened:
        image = opened.image()
        plan = opened.builder.plan(opened.lock, image.profile, opened.lock.targets(image), look=True)
        rows = inventory.rows(plan, opened.lock, image, opened.store)
        if options.json:
            say_json("list", rows)
        else:
            say(inventory.table(rows))
        return 0


def gc(options: argparse.Namespace, _argv: list[str]) -> int:
    """Remove from the store what no root keeps; with --dry-run say what that is."""
    from builder.base import units  # noqa: PLC0415

    with session(options) as opened:
        store = opened.there()
        with opened.reporter.task("clean", store.root, brief=True) as task:
            freed = store.gc(keep_files=() if options.archives else None, dry_run=options.dry_run, progress=task.reached)
        if options.json:
            say_json("gc", freed)
        else:
            counts = (units.counted(getattr(freed, f"{kind}s"), kind) for kind in ("tree", "record", "archive", "log", "root"))
            say(f"{'would remove' if options.dry_run else 'removed'} {', '.join(counts)}: {units.size(freed.size)}")
        return 0


def clean(options: argparse.Namespace, _argv: list[str]) -> int:
    """Remove from out/ what the builder made."""
    from builder.base import units  # noqa: PLC0415
    from builder.image.clean import clean as remove  # noqa: PLC0415

    with session(options) as opened:
        out = os.path.join(find_root(options.root), "out")
        with opened.reporter.task("clean", shown_path(out), brief=True):
            removed, size = remove(out, dry_run=options.dry_run)
        if options.json:
            say_json("clean", {"removed": removed, "size": size})
        else:
            word = "would remove" if options.dry_run else "removed"
            for path in removed:
                say(f"{word} {shown_path(path)}")
            say(f"{word} {units.size(size)}" if removed else "there is nothing to remove")
        return 0


def store(options: argparse.Namespace, _argv: list[str]) -> int:
    """Look after the store: `path`, `roots`, `verify`."""
    with session(options) as opened:
        return {"path": _store_path, "roots": _store_roots, "verify": _store_verify}[options.action](opened)


def _store_path(opened: Session) -> int:
    if opened.options.json:
        say_json("store-path", {"path": opened.store_root})
    else:
        say(opened.store_root)
    return 0


def _store_roots(opened: Session) -> int:
    from builder.store import usage  # noqa: PLC0415

    store = opened.there()
    with opened.reporter.task("measure", store.root, brief=True) as task:
        roots = usage.usage(store, task.reached)
    if opened.options.json:
        say_json("store-roots", roots)
    else:
        say(usage.table(roots))
    return 0


def _store_verify(opened: Session) -> int:
    options, store = opened.options, opened.there()
    with opened.reporter.task("verify", store.root) as task:
        damage = store.verify(task.reached)
    if options.json:
        say_json("store-verify", damage)
    else:
        for each in damage:
            say(str(each))
        say(f"{len(damage)} damaged" if damage else "everything is as it was written")
    if options.remove and damage:
        _remove_damaged(opened, damage)
        records = [each for each in store.verify() if each.kind == "record"]  # of trees that are gone now
        _remove_damaged(opened, records)
    return 1 if damage else 0


def _remove_damaged(opened: Session, damage: "list[Damage]") -> None:
    """Take out of the store what is not as it was written. Who needs it fetches or builds it again."""
    from builder.store.remove import remove_tree  # noqa: PLC0415

    for each in damage:
        if each.kind == "tree":
            opened.store.discard_tree(each.name)
        elif each.kind in ("archive", "record") and os.path.lexists(each.path):
            remove_tree(each.path)  # a folder may lie there in its place
        else:
            opened.reporter.say(f"kept {each.path}: remove it by hand if nothing needs it")
            continue
        opened.reporter.say(f"removed {each.path}")


def doctor(options: argparse.Namespace, argv: list[str]) -> int:
    """Whether this machine can build."""
    from builder.cli import doctor as verb  # noqa: PLC0415 - what no other verb needs

    return verb.run(options, argv)


def schema(options: argparse.Namespace, _argv: list[str]) -> int:
    """The JSON Schema of a kind of file, or of a verb's `--json`."""
    from builder.recipe import image, profile, recipe  # noqa: PLC0415

    files = {"recipe": recipe.schema, "image": image.schema, "profile": profile.schema}
    if options.kind in files and options.document is None:
        found = files[options.kind]()
    elif options.kind in files:
        raise UsageError(f"unexpected: {options.document}", where="schema", hint="say `builder schema output KIND`")
    else:
        from builder.cli import kinds  # noqa: PLC0415

        found = kinds.schema(options.document)
    say(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False))
    return 0


def completion(options: argparse.Namespace, _argv: list[str]) -> int:
    """Completion scripts made from the parser itself; names of packages, images and profiles are asked for as they are needed."""
    import shtab  # noqa: PLC0415

    top = parser()
    for each in verbs(top).values():
        for action, kind in each.names.items():
            action.complete = shtab.cmd(f"builder --names {kind} 2>/dev/null")  # type: ignore[attr-defined]
    say(shtab.complete(top, options.shell))
    return 0


def version(options: argparse.Namespace, _argv: list[str]) -> int:
    """The builder's version."""
    if options.json:
        say_json("version", {"builder": __version__})
    else:
        say(f"builder {__version__}")
    return 0


def show_help(options: argparse.Namespace, _argv: list[str]) -> int:
    """The verbs, or one of them."""
    top = parser()
    known = verbs(top)
    if options.verb and options.verb not in known:
        raise no_verb(options.verb, known)
    sys.stdout.write((known[options.verb] if options.verb else top).format_help())
    return 0


COMMANDS: Mapping[str, Command] = {
    "resolve": resolve, "fetch": fetch, "build": build, "test": test, "run": run, "list": list_packages, "graph": graph, "why": why,
    "log": log, "audit": audit, "shell": shell, "store": store, "gc": gc, "clean": clean, "help": show_help, "doctor": doctor,
    "version": version, "schema": schema, "completion": completion,
}
