"""`builder build`: images or packages, from the lock."""

import os
import sys
from typing import Any

from msgspec.structs import replace

from builder.base import settings
from builder.base.errors import UsageError
from builder.build.build import with_outputs
from builder.cache import noop
from builder.cli import output
from builder.cli.named import located
from builder.cli.options import Options
from builder.cli.output import shown_path
from builder.cli.session import Session, session
from builder.image.make import Made
from builder.image.oci import image as oci
from builder.lock.lock import LockedImage
from builder.recipe.project import FOLDERS, PACKAGES
from builder.resolve.workspace import find_root


def run(options: Options) -> int:
    """Build images or packages; with --check, build again and compare."""
    with session(options) as opened:
        if options.check:
            from builder.cli import check  # noqa: PLC0415 - few ask for it, and each build would wait for it

            return check.run(opened)
        root = find_root(options.root)
        opened.watch.look(*_read_first(options.root, root))
        packages, images = _asked_for(opened)
        if options.dry_run:
            from builder.cli import dry_run  # noqa: PLC0415 - the same

            return dry_run.run(opened, packages, images)
        if not packages:
            opened.watch.look(*_source_folders(opened))
        texts = [_build_packages(opened, packages)] if packages else []
        texts += [_described(made) for made in opened.maker.make(images)] if images else []
        sys.stdout.write(_joined(texts, as_json=options.json))
        sys.stdout.flush()
        if not packages and opened.workspace.root == root:
            _stamp(opened, [*options.argv], texts)
    return 0


def _asked_for(opened: Session) -> tuple[list[str], list[LockedImage]]:
    """Names of packages, and images, that the arguments name; the default image when they name none."""
    options, project = opened.options, opened.workspace.project
    if options.all and options.names:
        raise UsageError(
            "--all is about every image", where=" ".join(options.names), hint="leave out the names, or --all"
        )
    if options.all:
        pairs = [(name, each) for name in sorted(project.images) for each in project.profiles_of(name)]
        required = [
            (name, each) for name,
            each in pairs if each == (options.profile or each) and project.profiles[each].outputs_required
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
    """The first paths that a build reads: code, settings, the project's files. See `builder.cache.noop`."""
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
    """Leave a stamp with the text of a no-op, if lock.toml is still the one that was read or written."""
    workspace = opened.workspace
    opened.watch.look(workspace.lock_path)
    if workspace.is_as_saved():
        idle = [row | {"realised": []} for row in results]
        opened.watch.leave(argv, _joined(idle, as_json=opened.options.json))


def _build_packages(opened: Session, names: list[str]) -> dict[str, Any]:
    """Realise packages by name, without an image. Packages that no image needs are not pinned."""
    lock, profile, targets, pinned = located(opened, names)
    plan = opened.builder.plan(lock, profile, targets)
    built = opened.builder.build(plan, targets)
    opened.maker.keep(f"packages-{profile}", {name: built.trees[name] for name in targets})
    if pinned:
        opened.maker.save(with_outputs(lock, profile, opened.options.platform, built.outputs))
    else:
        opened.reporter.say("lock.toml does not pin packages that no image needs")
    rows = {name: dict(built.trees[name]) for name in targets}
    lines = [f"{name}  {opened.store.tree_path(trees['out'])}" for name, trees in rows.items()]
    return {"packages": rows, "realised": list(built.realised), "text": "\n".join(lines)}


def _described(made: Made) -> dict[str, Any]:
    """A finished image: a line for the user, and data."""
    request, written = made.request, made.written
    shown = replace(written, layout=shown_path(written.layout), layer_file=shown_path(written.layer_file))
    return {
        "image": request.recipe.name, "profile": request.locked.profile, "layer": written.layer.diff_id,
        "manifest": written.manifest, "path": written.layout, "file": written.layer_file,
        "realised": list(made.realised),
        "text": oci.describe(shown, request.about("")),
    }

