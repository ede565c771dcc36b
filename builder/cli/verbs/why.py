"""`builder why A B`: why one package needs another."""

from builder.base.errors import UsageError
from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import Session, package_id, session
from builder.lock.lock import LockedImage
from builder.plan.plan import Graph
from builder.show import graph as graphs


def run(options: Options) -> int:
    """All shortest chains from one package to another; exit 1 when there is none."""
    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name)
        held = {node.partition(" ")[0].removeprefix(graphs.IMAGE) for node in found}
        for each in (options.dependant, options.dependency):
            if each in opened.workspace.project.recipes and each not in held:
                raise _not_in(opened, image, package_id(opened, image.profile, each))
        chains = graphs.why(found, options.dependant, options.dependency)
        if options.json:
            say_json(
                "why", [[{"from": step.who, "to": step.needs, "kind": step.kind} for step in chain] for chain in chains]
            )
        else:
            say(graphs.why_text(found, options.dependant, options.dependency).rstrip("\n"))
        return 0 if chains else 1


def _not_in(opened: Session, image: LockedImage, package: str) -> UsageError:
    """A package of the profile that another image needs."""
    packages, lock = opened.lock.in_profile(image.profile), opened.lock
    others = [
        each.name for each in lock.images
        if each.profile == image.profile and package in Graph.of(packages, lock.targets(each)).packages
    ]
    return UsageError(
        f"image '{image.name}' does not need {package}", hint=f"ask about one that does: --image {' or '.join(others)}"
    )

