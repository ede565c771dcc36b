"""Rights in an image: users, modes, owners and capabilities that have changed.

They are a few characters of an image recipe, and decide what a process of the image can do.
"""

from collections.abc import Iterator, Mapping

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.recipe.image import ImageRecipe

ID = "image-rights-changed"
_REMEDY = "if it is wanted, say so in the commit; else take it back in the image recipe"


def check(context: Context) -> Iterator[Finding]:
    if context.since is None or context.project is None:
        return
    for name in sorted({each.name for each in context.images}):
        before, now = context.since.images.get(name), context.project.images.get(name)
        if before is None or now is None:
            continue
        old, new = _rights(before), _rights(now)
        for key in sorted(old.keys() | new.keys()):
            was, now_is = old.get(key, "none"), new.get(key, "none")
            if was != now_is:
                yield Finding(
                    ID, f"{now.path}: {key}", f"it was {was} at {context.since.name}, and is {now_is}", _REMEDY
                )


def _rights(image: ImageRecipe) -> Mapping[str, str]:
    """The rights that the recipe gives, by the place where it does; a later mode of a path wins over an earlier one."""
    found = {"config.user": image.config.user or "root"}
    found |= {
        f"user {each.name}": f"{each.uid}:{each.gid}, home {each.home}, shell {each.shell}" for each in image.users
    }
    found |= {f"group {each.name}": " ".join([str(each.gid), *sorted(each.members)]) for each in image.groups}
    found |= {f"capabilities {path}": ", ".join(sorted(names)) for path, names in image.capabilities.items()}
    found |= {f"directory {each.path}": f"{each.mode:04o} of {each.owner}" for each in image.directories}
    for each in image.modes:
        mode = "the same mode" if each.mode is None else f"{each.mode:04o}"
        found[f"mode {each.path}"] = f"{mode} of {each.owner or 'the same owner'}"
    return found


RULE = Rule(ID, "a user, mode, owner or capability of an image changed", check)
