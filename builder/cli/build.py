"""The commands that build: `build` and `shell`."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from builder import digest, stamp
from builder.cli.session import Session, package_id, session
from builder.errors import UsageError
from builder.lock import Lock, LockedImage

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
        images = opened.workspace.project.images
        packages = [name for name in options.names if name not in images]
        named = [name for name in options.names if name in images]
        if not options.names:
            named = [opened.image().name]
        texts = [_build_packages(opened, packages)] if packages else []
        texts += _build_images(opened, [opened.image(name) for name in named])
        text = _joined(texts, as_json=options.json)
        sys.stdout.write(text)
        sys.stdout.flush()
        if not packages:
            stamp.write(argv, _stamped(opened, named), text)
    return 0


def _build_images(opened: Session, images: list[LockedImage]) -> list[dict[str, Any]]:
    """Build images in their order. Those that were written before the last one was pinned get the final lock's label, too."""
    before = opened.workspace.lock_text
    made = [_build_image(opened, image) for image in images]
    count = len({each.name for image in images for each in opened.lock.stack(image)})
    if count == 1 or opened.workspace.lock_text == before:
        return made
    return [_build_image(opened, image) | {"realised": row["realised"]} for image, row in zip(images, made, strict=True)]


def _joined(results: list[dict[str, Any]], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(results, indent=2, sort_keys=True) + "\n"
    return "\n".join(str(each["text"]) for each in results) + "\n"


def _stamped(opened: Session, images: list[str]) -> list[str]:
    """Everything that a build's answer depends on: see `builder.stamp`."""
    workspace = opened.workspace
    lock = opened.lock
    folders = {source.folder for package in lock.packages for source in package.sources if source.folder}
    return [
        stamp.own_code(),
        os.path.join(workspace.root, "recipes"),
        workspace.lock_path,
        opened.settings.path,
        *(os.path.join(workspace.root, folder) for folder in sorted(folders) if not folder.startswith("recipes/")),
        *(_target(opened, each) for name in images for each in opened.lock.stack(opened.image(name))),
    ]


def _target(opened: Session, image: LockedImage) -> str:
    """The folder of an image: out/NAME, and out/NAME-PROFILE for any but its default profile."""
    default = opened.workspace.project.profiles_of(image.name)[0]
    name = image.name if image.profile == default else f"{image.name}-{image.profile}"
    return os.path.join(opened.options.out or os.path.join(opened.workspace.root, "out"), name)


def image_folder(opened: Session, image: LockedImage) -> str:
    """The folder of an image, which is built first where it is not as the lock says."""
    _build_image(opened, image)
    return _target(opened, image)


def _build_packages(opened: Session, names: list[str]) -> dict[str, Any]:
    """Realise packages by name, without an image."""
    from builder.build import with_outputs  # noqa: PLC0415

    lock = opened.lock
    profile = opened.options.profile or opened.image().profile
    targets = [package_id(opened, profile, name) for name in names]
    builder = opened.builder
    plan = builder.plan(lock, profile, targets)
    built = builder.build(plan, targets)
    _save(opened, with_outputs(lock, profile, opened.options.platform, built.outputs))
    opened.store.set_root(
        _root_name(opened, "packages", profile), trees=_kept({name: built.trees[name] for name in targets}), owner=opened.workspace.root
    )
    rows = {name: dict(built.trees[name]) for name in targets}
    lines = [f"{name}  {opened.store.tree_path(trees['out'])}" for name, trees in rows.items()]
    return {"packages": rows, "realised": list(built.realised), "text": "\n".join(lines)}


def _save(opened: Session, lock: Lock) -> None:
    """Write the lock when its text changed, and say so. Under --locked nothing can have."""
    if not opened.options.locked and opened.workspace.save(lock):
        opened.reporter.say("lock.toml: outputs pinned")


def _build_image(opened: Session, image: LockedImage) -> dict[str, Any]:
    """Realise and compose an image, after the one that it stands on."""
    from builder import compose  # noqa: PLC0415
    from builder.build import with_outputs  # noqa: PLC0415

    options = opened.options
    below = [_build_image(opened, lower)["realised"] for lower in opened.lock.stack(image)[-2:-1]]
    lock = opened.lock
    targets = lock.targets(image)
    builder = opened.builder
    plan = builder.plan(lock, image.profile, targets)
    wanted = plan.graph.closure(targets)
    built = builder.build(plan, wanted)
    lock = with_outputs(lock, image.profile, options.platform, built.outputs)
    _save(opened, lock)
    archives = {source.sha256 for package in plan.graph.packages.values() for source in package.sources if source.sha256}
    opened.store.set_root(
        _root_name(opened, image.name, image.profile), trees=_kept(built.trees), keys=sorted(plan.keys.values()), files=sorted(archives),
        owner=opened.workspace.root,
    )

    def request() -> "Request":
        locked = opened.lock.image(image.name, image.profile)
        assert locked is not None
        project = opened.workspace.project
        return compose.request(
            locked, lock=opened.lock, images=project.images, graph=built.graph, trees=built.trees, recipes=project.recipes,
            platform=options.platform,
        )

    target = _target(opened, image)
    if not compose.is_current(target, request(), _lock_digest(opened), options.compression):
        _compose(opened, request, target)
    return _describe(target, request(), tuple(sorted({*built.realised, *chain(*below)})))


def _lock_digest(opened: Session) -> str:
    return "sha256:" + digest.to_hex(digest.of_bytes(opened.workspace.lock_text.encode()))


def _compose(opened: Session, request: "Callable[[], Request]", target: str) -> None:
    """Compose, check and write the image. The layer's pin goes into the lock before the lock's digest goes on the label."""
    from builder import compose  # noqa: PLC0415
    from builder.errors import RefusedError  # noqa: PLC0415
    from builder.oci import image as oci  # noqa: PLC0415

    wanted = request()
    with opened.reporter.task("compose", f"image {wanted.recipe.name}"):

        def about(made: "Sequence[Blob]") -> "About":
            lock = compose.pin(opened.lock, wanted, made)
            if lock != opened.lock and opened.options.locked:
                raise RefusedError(
                    "the lock does not pin this image's layer", where=f"image {wanted.recipe.name}",
                    hint="build once without --locked and commit lock.toml",
                )
            _save(opened, lock)
            return wanted.about(_lock_digest(opened))

        compression = opened.options.compression
        layers: Sequence[oci.Layer] = compose.layers_of(target, wanted, compression)
        if not layers:
            layers = compose.compose(wanted, opened.store)
        if wanted.below:
            layers = [*_layers_below(opened, wanted.below), layers[-1]]
        oci.write(target, layers, about, compression=compression)


def _layers_below(opened: Session, request: "Request") -> "list[oci.Kept]":
    """The very bytes of an image that another one stands on, compressed as they are there; it is written anew when they are damaged."""
    from builder.oci import image as oci  # noqa: PLC0415

    target = _target(opened, request.locked)
    try:
        return oci.kept(target)
    except (OSError, ValueError, LookupError):
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
    if not options.words and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "a shell needs a terminal", where="builder shell",
            hint=f"name a command to run instead: builder shell {options.name} sh -c 'ls /sources'",
        )
    with session(options) as opened:
        image = opened.image()
        name = package_id(opened, image.profile, options.name)
        builder = opened.builder
        plan = builder.plan(opened.lock, image.profile, [name])
        failed = _kept_tree(opened, name) if options.failed else ""
        inputs = plan.visible(name)
        builder.build(plan, inputs)
        if builder.is_builtin(plan, name):
            raise UsageError(f"{name} is made without a sandbox", hint="there is nothing to look into")
        return builder.shell(plan, name, tuple(options.words), failed)


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
