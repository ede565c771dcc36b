"""`builder build --dry-run`: the fetches and builds to do, and the reasons."""

from collections.abc import Sequence

from builder.build.forecast import Forecast
from builder.cli import output
from builder.cli.named import located
from builder.cli.session import Session
from builder.lock.lock import LockedImage
from builder.plan.plan import Plan


def run(opened: Session, packages: list[str], images: Sequence[LockedImage]) -> int:
    """Show the work of `builder build` with these arguments. Nothing is fetched, built or written."""
    forecast = Forecast()
    before = opened.workspace.written
    lock = opened.lock
    if packages:
        held, profile, targets, _ = located(opened, packages)
        plan = opened.builder.plan(held, profile, targets, look=True)
        opened.builder.refuse_platform(plan.graph, plan.to_build(targets))
        forecast.add(plan, targets, opened.store, before, opened.builder.wanted)
    stacks = {(each.name, each.profile): each for image in images for each in lock.stack(image)}
    anew = lock is not before
    for image in stacks.values():
        targets = [*lock.targets(image)]
        plan = opened.builder.plan(lock, image.profile, targets, look=True)
        opened.builder.refuse_platform(plan.graph, plan.to_build(plan.graph.closure(targets)))
        builds = forecast.add(plan, plan.graph.closure(targets), opened.store, before, opened.builder.wanted)
        anew = anew or builds or not _current(opened, image, plan)
        forecast.images.append((image.name, image.profile, "would be written" if anew else "is there"))
    if opened.options.json:
        output.say(output.document("build-dry-run", forecast.as_dict()))
    else:
        output.say(forecast.text())
    return 0


def _current(opened: Session, image: LockedImage, plan: Plan) -> bool:
    """Whether the image of this lock lies in its directory, and no output is to be pinned."""
    if any(plan.locked(name) is None for name in plan.keys):
        return False
    return opened.maker.is_current(image, plan)
