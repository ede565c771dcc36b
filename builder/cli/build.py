"""The commands that build: `build` and `shell`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from builder import digest, settings, stamp, within
from builder.cli import output
from builder.cli.session import Session, session
from builder.errors import UsageError
from builder.lock import Lock, LockedImage
from builder.project import FOLDERS, PACKAGES
from builder.workspace import find_root

if TYPE_CHECKING:
    from builder.compose import Request
    from builder.derivation import Trees
    from builder.oci import image as oci
    from builder.oci.compress import Blob
    from builder.oci.config import About


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
        texts += _build_images(opened, images)
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


def _build_images(opened: Session, images: list[LockedImage]) -> list[dict[str, Any]]:
    """Build images in their order. Those that were written before the last one was pinned get the final lock's label, too."""
    before = opened.workspace.lock_text
    made = [_build_image(opened, image) for image in images]
    count = len({(each.name, each.profile) for image in images for each in opened.lock.stack(image)})
    if count == 1 or opened.workspace.lock_text == before:
        return made
    return [_build_image(opened, image) | {"realised": row["realised"]} for image, row in zip(images, made, strict=True)]


def _joined(results: list[dict[str, Any]], *, as_json: bool) -> str:
    if as_json:
        return output.document("build", results) + "\n"
    return "\n".join(str(each["text"]) for each in results) + "\n"


def _read_first(start: str, root: str) -> list[str]:
    """What a build reads before it knows more: code, settings, where the project is, and its files. See `builder.stamp`."""
    nearer = [os.path.abspath(start)]  # where a project that appears would be taken in place of this one
    while nearer[-1] != root:
        nearer.append(os.path.dirname(nearer[-1]))
    return [
        stamp.own_code(), settings.path_of(), *(os.path.join(folder, PACKAGES) for folder in nearer[:-1]),
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


def target_of(opened: Session, image: LockedImage) -> str:
    """The folder of an image, in out/ unless another place was given by hand."""
    name = opened.workspace.project.folder_of(image.name, image.profile)
    given = opened.options.out
    if given and not within.leads_out(os.path.join(opened.workspace.root, PACKAGES), given):
        raise UsageError("images do not go among the recipes", where=given, hint="name another folder with --out")
    return os.path.join(given, name) if given else opened.out(name)


def image_folder(opened: Session, image: LockedImage) -> str:
    """The folder of an image, which is built first where it is not as the lock says."""
    _build_image(opened, image)
    return target_of(opened, image)


def _build_packages(opened: Session, names: list[str]) -> dict[str, Any]:
    """Realise packages by name, without an image. What no image needs is not pinned."""
    from builder.build import with_outputs  # noqa: PLC0415
    from builder.cli.named import located  # noqa: PLC0415

    lock, profile, targets, pinned = located(opened, names)
    builder = opened.builder
    plan = builder.plan(lock, profile, targets)
    built = builder.build(plan, targets)
    opened.store.set_root(
        _root_name(opened, "packages", profile), trees=_kept({name: built.trees[name] for name in targets}), owner=opened.workspace.root
    )
    if pinned:
        _save(opened, with_outputs(lock, profile, opened.options.platform, built.outputs))
    else:
        opened.reporter.say("lock.toml does not pin what no image needs")
    rows = {name: dict(built.trees[name]) for name in targets}
    lines = [f"{name}  {opened.store.tree_path(trees['out'])}" for name, trees in rows.items()]
    return {"packages": rows, "realised": list(built.realised), "text": "\n".join(lines)}


def _save(opened: Session, lock: Lock) -> None:
    """Write the lock when its text changed, and say so. Under --locked nothing can have."""
    if not opened.options.locked and opened.workspace.save(lock):
        opened.say_once("lock.toml: outputs pinned")


def _build_image(opened: Session, image: LockedImage) -> dict[str, Any]:
    """Realise and compose an image, after the one that it stands on."""
    from builder import compose  # noqa: PLC0415
    from builder.build import with_outputs  # noqa: PLC0415

    options = opened.options
    opened.about(image)
    below = [_build_image(opened, lower)["realised"] for lower in opened.lock.stack(image)[-2:-1]]
    lock = opened.lock
    targets = lock.targets(image)
    builder = opened.builder
    plan = builder.plan(lock, image.profile, targets)
    wanted = plan.graph.closure(targets)
    built = builder.build(plan, wanted)
    archives = {source.sha256 for package in plan.graph.packages.values() for source in package.sources if source.sha256}
    opened.store.set_root(
        _root_name(opened, image.name, image.profile), trees=_kept(built.trees), keys=sorted(plan.keys.values()), files=sorted(archives),
        owner=opened.workspace.root,
    )
    _save(opened, with_outputs(lock, image.profile, options.platform, built.outputs))

    def request() -> "Request":
        locked = opened.lock.image(image.name, image.profile)
        assert locked is not None
        project = opened.workspace.project
        return compose.request(
            locked, lock=opened.lock, images=project.images, graph=built.graph, trees=built.trees, recipes=project.recipes,
            platform=options.platform,
        )

    target = target_of(opened, image)
    opened.watch.look(target)
    if not compose.is_current(target, request(), compose.label(opened.workspace.lock_text), options.compression):
        _compose(opened, request, target)
        opened.watch.made(target)
    return _describe(target, request(), tuple(sorted({*built.realised, *chain(*below)})))


def _compose(opened: Session, request: "Callable[[], Request]", target: str) -> None:
    """Compose, check and write the image. The layer's pin goes into the lock before the lock's digest goes on the label."""
    from builder import compose  # noqa: PLC0415
    from builder.errors import RefusedError  # noqa: PLC0415
    from builder.oci import image as oci  # noqa: PLC0415

    wanted = request()
    with opened.reporter.task("compose", f"image {wanted.recipe.name}") as task:

        def about(made: "Sequence[Blob]") -> "About":
            lock = compose.pin(opened.lock, wanted, made)
            if lock != opened.lock and opened.options.locked:
                raise RefusedError(
                    "the lock does not pin this image's layer", where=f"image {wanted.recipe.name}",
                    hint="build once without --locked and commit lock.toml",
                )
            _save(opened, lock)
            return wanted.about(compose.label(opened.workspace.lock_text))

        compression = opened.options.compression
        layers: Sequence[oci.Layer] = compose.layers_of(target, wanted, compression)
        if not layers:
            if absent := compose.absent(wanted, opened.store):
                opened.fetcher.fetch(opened.builder.wanted(absent), unpack=False)
            task.line("laying out and hashing its files")
            layers = compose.compose(wanted, opened.store)
            task.line("compressing and writing")
        if wanted.below:
            layers = [*_layers_below(opened, wanted.below), layers[-1]]
        oci.write(target, layers, about, compression=compression)


def _layers_below(opened: Session, request: "Request") -> "list[oci.Kept]":
    """The very bytes of an image that another one stands on, compressed as they are there; it is written anew when they are damaged."""
    from builder.oci import image as oci  # noqa: PLC0415

    target = target_of(opened, request.locked)
    try:
        return oci.kept(target)
    except oci.DAMAGED:
        _compose(opened, lambda: request, target)
        return oci.kept(target)


def _kept(trees: "Mapping[str, Trees]") -> list[str]:
    return sorted({tree for outputs in trees.values() for tree in outputs.values()})


def _root_name(opened: Session, what: str, profile: str) -> str:
    place = digest.to_hex(digest.of_bytes(opened.workspace.root.encode()))[:16]
    return f"{what}-{profile}-{opened.options.platform}-{place}"


def _describe(target: str, request: "Request", realised: tuple[str, ...]) -> dict[str, Any]:
    """What was made: for people, and as data."""
    from builder.oci import image as oci  # noqa: PLC0415

    written = oci.read(target)
    shown = replace(written, layout=shown_path(written.layout), layer_file=shown_path(written.layer_file))
    text = oci.describe(shown, request.about(""))
    return {
        "image": request.recipe.name, "profile": request.locked.profile, "layer": written.layer.diff_id,
        "manifest": written.manifest, "path": written.layout, "file": written.layer_file, "realised": list(realised), "text": text,
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
