"""Hints about recipes and profiles that exist but that no image needs."""

from builder.base.shape import near
from builder.lock.lock import Lock
from builder.recipe.project import Project


def recipe(project: Project, lock: Lock, profile: str, name: str) -> str:
    """The hint for a package, given by name or id, that a profile of the lock does not hold."""
    held = sorted({each.name for each in lock.packages if profile in each.profiles})
    name = name.partition(" ")[0]
    if name in held:
        ids = (each.id for each in lock.packages if each.name == name and profile in each.profiles)
        return f"it holds {', '.join(ids)}"
    if name not in project.recipes:
        hint = near(name, [*held, *(each for each in project.recipes if each not in held)])
        guess = hint.removeprefix("did you mean '").removesuffix("'?")
        if guess in held or guess not in project.recipes:
            return hint
        return f"{hint} {recipe(project, lock, profile, guess)}"
    others = sorted({each for package in lock.packages if package.name == name for each in package.profiles})
    if others:
        return f"an image needs it in another profile: --profile {' or '.join(others)}"
    path = project.recipes[name].path
    return f"{path} exists, but no image needs it: add it to `packages` of an image or `requires` of a recipe"


def profile(project: Project, image: str, name: str) -> str:
    """The hint for a profile that an image does not resolve in."""
    its = project.profiles_of(image)
    if name not in project.profiles:
        return near(name, its)
    used = any(name in project.profiles_of(each) for each in project.images)
    told = f"it is not among `profiles` of image '{image}'" if used else "no image resolves in it"
    path = project.images[image].path
    found = project.profiles[name].path
    return f"{found} exists, but {told}: add it to `profiles` of {path}, or take {' or '.join(its)}"
