"""The commands that build: `build` and `shell`."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from builder.base import settings
from builder.base.errors import UsageError
from builder.cache import noop
from builder.cli import output
from builder.cli.session import Session, session
from builder.lock.lock import LockedImage
from builder.recipe.project import FOLDERS, PACKAGES
from builder.resolve.workspace import find_root

if TYPE_CHECKING:
    from builder.image.make import Made


def build(options: argparse.Namespace, argv: list[str]) -> int:
    """Build images or packages; with --check, build again and compare."""
    with session(options) as opened:
        if options.check:
            from builder.cli import check  # noqa: PLC0415

            return check.run(opened)
        root = find_root(options.root)
        opened.watch.look(*_read_first(options.root, root))
        packages, images = _asked_for(opened)
        if options.dry_run:
            from builder.cli import dry_run  # noqa: PLC0415

            return dry_run.run(opened, packages, images)
        if not packages:
            opened.watch.look(*_source_folders(opened))
        texts = [_build_packages(opened, packages)] if packages else []
        texts += [_described(made) for made in opened.maker.make(images)] if images else []
        sys.stdout.write(_joined(texts, as_json=options.json))
        sys.stdout.flush()
        if not packages and opened.workspace.root == root:
            _stamp(opened, argv, texts)
    return 0


def _asked_for(opened: Session) -> tuple[list[str], list[LockedImage]]:
    """Names of packages, and images, that the arguments name; the default image when they name none."""
    options, project = opened.options, opened.workspace.project
    if options.all and options.names:
        raise UsageError("--all is about every image", where=" ".join(options.names), hint="leave out the names, or --all")
    if options.all:
        pairs = [(name, each) for name in sorted(project.images) for each in project.profiles_of(name)]
        required = [
            (name, each) for name, each in pairs if each == (options.profile or each) and project.profiles[each].outputs_required
        ]
        return [], [opened.image(name, profile) for name, profile in required]
    packages = [name for name in options.names if name not in project.images]
    named = [name for name in options.names if name in project.images]
    return packages, [opened.image(name) for name in named] if options.names else [opened.image()]


def _joined(results: list[dict[str, Any]], *, as_json: bool) -> str:
    if as_json:
        return output.document("build", results) + "\n"
    return "\n".join(str(each["text"]) for each in results) + "\n"


def _read_first(start: str, root: str) -> list[str]:
    """What a build reads before it knows more: code, settings, where the project is, and its files. See `builder.cache.noop`."""
    nearer = [os.path.abspath(start)]  # where a project that appears would be taken in place of this one
    while nearer[-1] != root:
        nearer.append(os.path.dirname(nearer[-1]))
    return [
        noop.own_code(), settings.path_of(), *(os.path.join(folder, PACKAGES) for folder in nearer[:-1]),
        *(os.path.join(root, folder, "") for folder in FOLDERS),
    ]


def _source_folders(opened: Session) -> list[str]:
    found = {source.folder for package in opened.lock.packages for source in package.sources if source.folder}
    return [os.path.join(opened.workspace.root, folder) for folder in sorted(found)]


def _stamp(opened: Session, argv: list[str], results: list[dict[str, Any]]) -> None:
    """Leave a stamp with what is printed when there is nothing to do, if lock.toml is still the one that was read or written."""
    workspace = opened.workspace
    opened.watch.look(workspace.lock_path)
    if workspace.is_as_saved():
        idle = [row | {"realised": []} for row in results]
        opened.watch.leave(argv, _joined(idle, as_json=opened.options.json))


def _build_packages(opened: Session, names: list[str]) -> dict[str, Any]:
    """Realise packages by name, without an image. What no image needs is not pinned."""
    from builder.build.build import with_outputs  # noqa: PLC0415
    from builder.cli.named import located  # noqa: PLC0415

    lock, profile, targets, pinned = located(opened, names)
    plan = opened.builder.plan(lock, profile, targets)
    built = opened.builder.build(plan, targets)
    opened.maker.keep(f"packages-{profile}", {name: built.trees[name] for name in targets})
    if pinned:
        opened.maker.save(with_outputs(lock, profile, opened.options.platform, built.outputs))
    else:
        opened.reporter.say("lock.toml does not pin what no image needs")
    rows = {name: dict(built.trees[name]) for name in targets}
    lines = [f"{name}  {opened.store.tree_path(trees['out'])}" for name, trees in rows.items()]
    return {"packages": rows, "realised": list(built.realised), "text": "\n".join(lines)}


def _described(made: "Made") -> dict[str, Any]:
    """An image that was made: for people, and as data."""
    from builder.image.oci import image as oci  # noqa: PLC0415

    request, written = made.request, made.written
    shown = replace(written, layout=shown_path(written.layout), layer_file=shown_path(written.layer_file))
    return {
        "image": request.recipe.name, "profile": request.locked.profile, "layer": written.layer.diff_id,
        "manifest": written.manifest, "path": written.layout, "file": written.layer_file, "realised": list(made.realised),
        "text": oci.describe(shown, request.about("")),
    }


def shown_path(path: str) -> str:
    """A path as a person types it here: relative when it lies below the current folder."""
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def shell(options: argparse.Namespace, _argv: list[str]) -> int:
    """Open the sandbox of a package with its source unpacked and patched, or the kept tree of its failed build."""
    options.jobs = None
    with session(options) as opened:
        from builder.cli.named import located  # noqa: PLC0415

        lock, profile, (name,), _ = located(opened, [options.name])
        if not options.words and not (sys.stdin.isatty() and sys.stdout.isatty()):
            what = f"--failed {options.name} ls" if options.failed else f"{options.name} ls /sources"
            raise UsageError(
                "a shell needs a terminal", where="builder shell", hint=f"name a command to run instead: builder shell {what}"
            )
        builder = opened.builder
        plan = builder.plan(lock, profile, [name])
        failed = _kept_tree(opened, name) if options.failed else ""
        inputs = plan.visible(name)
        builder.build(plan, inputs)
        if builder.is_builtin(plan, name):
            raise UsageError(f"{name} is made without a sandbox", hint="there is nothing to look into")
        builder.bring(plan, name)
        executor = opened.executor(lambda package: builder.tool(plan, package))
        with opened.store.stage() as stage:
            return executor.shell(plan.derive(name), opened.store.tree_path, stage, tuple(options.words), failed)


def _kept_tree(opened: Session, name: str) -> str:
    """The newest tree that a failed build of a package left in out/failed/. Raises UsageError when there is none."""
    folder = os.path.join(os.path.realpath(opened.workspace.root), "out", "failed")
    start = name.replace(" ", "-") + "-"
    found = os.listdir(folder) if os.path.isdir(folder) else []
    numbers = [int(each[len(start) :]) for each in found if each.startswith(start) and each[len(start) :].isdecimal()]
    path = os.path.join(folder, f"{start}{max(numbers, default=0)}")
    if not numbers or os.path.realpath(path) != path:  # a link could lead anywhere, and the tree is written to
        raise UsageError(
            f"no tree of a failed build of {name} was kept", where=shown_path(folder),
            hint=f"keep one: builder build --keep-failed {name.split(' ', maxsplit=1)[0]}",
        )
    return path
