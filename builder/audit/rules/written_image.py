"""An image in out/ that is not what it says it is: damaged, or another one than `builder build` writes from this lock.

An image whose label names another lock is only old; of that one, only the layers are compared with their digests.
"""

import os
from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules.stale_output import request_of
from builder.base.platform import PLATFORMS
from builder.image import compose
from builder.image.oci import image as oci
from builder.image.oci import index
from builder.image.oci.config import LOCK
from builder.lock.lock import LockedImage
from builder.recipe.project import Project
from builder.resolve.relock import image_digest
from builder.resolve.workspace import read_lock

ID = "written-image"


def check(context: Context) -> Iterator[Finding]:
    if context.project is None or context.lock is None:
        return
    label = compose.label(read_lock(context.project.root))
    for image in context.images:
        if image.name not in context.project.images or image.profile not in context.project.profiles:
            continue
        folder = context.project.folder_of(image.name, image.profile)
        target = os.path.join(context.project.root, "out", folder)
        if os.path.lexists(target) and (reason := _wrong(context, context.project, image, target, label)):
            remedy = (
                f"run `builder build {image.name} --profile {image.profile}`, which writes it anew; then ask how it "
                "came to be"
            )
            if not _is_ours(target):  # a build does not replace it
                remedy = f"move it to another place, then {remedy}"
            yield Finding(ID, f"out/{folder}", reason, remedy)


def _is_ours(target: str) -> bool:
    try:
        return oci.is_ours(target)
    except OSError:  # of another user, say
        return False


def _wrong(context: Context, project: Project, image: LockedImage, target: str, label: str) -> str:
    try:
        _, config = index.documents(os.path.join(target, oci.LAYOUT))
        layers = oci.kept(target)
        mine = config["config"]["Labels"][LOCK] == label and config["architecture"] == PLATFORMS[context.platform].oci
    except index.DAMAGED:
        return "it is no image, or a layer is not what the image says of it"
    request = request_of(context, image)
    if not mine or request is None or image.recipe != image_digest(project, image.name, image.profile):
        return ""
    if compose.is_current(target, request, label, layers[-1].compression, layers):
        return ""
    return "it says that it was made from this lock, but it is not what that gives"


RULE = Rule(ID, "an image in out/ is not what it says it is", check)
