"""Reads project and lock for an audit. An unreadable file becomes a problem for the rules, not a crash."""

import os
from collections.abc import Iterable

from msgspec.structs import replace

from builder.audit import revision
from builder.audit.context import Context
from builder.audit.rules.unknown_key import MESSAGE
from builder.base.errors import LockError, Problem, RecipeError, UsageError
from builder.base.shape import near
from builder.lock import text
from builder.lock.lock import Lock
from builder.progress.reporter import NullReporter, Reporter
from builder.recipe import project as projects
from builder.recipe.project import Project
from builder.resolve.workspace import LOCK, read_lock
from builder.store import Store


def load(
    root: str, *, store: Store, platform: str, profiles: Iterable[str] = (), image: str | None = None,
    every: bool = False, since: str | None = None, cache_dir: str | None = None, reporter: Reporter | None = None,
) -> Context:
    """The context of an audit of the project in directory `root`.

    profiles: which to look at; none means those whose outputs are required, `every` means all of the lock. since: a git
    revision to compare with, or None.

    Raises:
        UsageError: there is no lock, no such profile or image, or the revision cannot be read.
        MachineError: `since` without git.
    """
    problems: list[Problem] = []
    project = _project(root, cache_dir, problems)
    lock = _lock(root, cache_dir, problems)
    return Context(
        project=project, lock=lock, store=store, platform=platform,
        profiles=_profiles(project, lock, tuple(profiles), image, every), image=image, problems=tuple(problems),
        since=revision.read(root, since) if since is not None else None, reporter=reporter or NullReporter(),
    )


def _project(root: str, cache_dir: str | None, problems: list[Problem]) -> Project | None:
    try:
        return projects.load(root, cache_dir=cache_dir)
    except RecipeError as error:
        problems += error.problems
        return None


def _lock(root: str, cache_dir: str | None, problems: list[Problem]) -> Lock | None:
    path = os.path.join(root, LOCK)
    if not os.path.lexists(path):
        raise UsageError("there is no lock to audit", where=path, hint="run `builder resolve`")
    try:
        return text.parse(read_lock(root), LOCK, cache_dir=cache_dir)
    except LockError as error:
        problems += [_with_remedy(each, error.hint) for each in error.problems]
    return None


def _with_remedy(problem: Problem, hint: str) -> Problem:
    """A problem of the lock with the remedy for the whole file; a misspelt key keeps its own hint."""
    if problem.message == MESSAGE:
        return problem
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return replace(problem, message=message, hint=hint)


def _profiles(
    project: Project | None, lock: Lock | None, named: tuple[str, ...], image: str | None, every: bool
) -> tuple[str, ...]:
    if lock is None:
        return named
    known = sorted({each.profile for each in lock.images})
    for name in named:
        if name not in known:
            raise UsageError(f"the lock has no profile '{name}'", hint=near(name, known))
    chosen = named or tuple(name for name in known if every or _required(project, name))
    if image is not None and not any(each.name == image and each.profile in chosen for each in lock.images):
        names = sorted({each.name for each in lock.images})
        images = sorted({f"{each.name} in {each.profile}" for each in lock.images if each.name == image})
        raise UsageError(
            f"the lock has no image '{image}' in {', '.join(chosen) or 'a profile with required outputs'}",
            hint=f"it has {', '.join(images)}; name the profile with --profile, or take --all"
            if images
            else near(image, names),
        )
    return chosen



def _required(project: Project | None, name: str) -> bool:
    """Whether a profile is looked at unasked; one that the recipes do not know (any more)
    is, since the lock is stale."""
    known = project.profiles if project else {}
    return name not in known or known[name].outputs_required
