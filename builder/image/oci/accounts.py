"""The image's /etc/passwd and /etc/group (passwd(5), group(5)), made from its users and groups.

The layer brings both files whole, because it must be the same bytes on every base: they replace the base's. Both have
root; further users of the base (such as daemon) are gone unless the image names them.
"""

from builder.recipe.image import ROOT, Group, ImageRecipe, User

_ROOT_USER = User(name=ROOT, uid=0, gid=0, group=ROOT, home="/root", shell="/bin/sh")  # noqa: S604  no shell is called
_ROOT_GROUP = Group(name=ROOT, gid=0)


def files(image: ImageRecipe) -> dict[str, str]:
    """Path -> text, lines in order of number. Nothing for an image that declares neither users nor groups."""
    if not image.users and not image.groups:
        return {}
    users = sorted((_ROOT_USER, *image.users), key=lambda each: each.uid)
    groups = sorted((_ROOT_GROUP, *image.groups), key=lambda each: each.gid)
    return {
        "etc/passwd": "".join(
            f"{each.name}:x:{each.uid}:{each.gid}:{each.name}:{each.home}:{each.shell}\n" for each in users
        ),
        "etc/group": "".join(f"{each.name}:x:{each.gid}:{','.join(sorted(each.members))}\n" for each in groups),
    }


def owners(image: ImageRecipe) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of the image's users and groups by name, root among them."""
    users = {each.name: each.uid for each in image.users}
    groups = {each.name: each.gid for each in image.groups}
    return {ROOT: 0} | users, {ROOT: 0} | groups
