"""Outputs that the lock pins for other inputs than it has now.

The key of an output is the digest of all that goes into its build: recipe, sources, and the outputs of what it needs.
So it tells of any digit that was changed in one of these, and it is computed here from the lock and the recipes alone.
"""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule
from builder.audit.rules import output_disagrees
from builder.base.errors import RecipeError
from builder.image import compose
from builder.image.compose import Request
from builder.lock.lock import LockedImage, LockedPackage
from builder.plan.derivation import Trees
from builder.plan.plan import Graph, Plan

ID = "stale-output"
_REMEDY = (
    "run `{command}`, which builds from the inputs of now and pins what comes out; look at the difference of "
    "lock.toml, commit it"
)


class _Nothing:
    """A store that has nothing, for a plan that only the lock is asked about."""

    def has_tree(self, tree: str) -> bool:
        return False

    def outputs(self, key: str) -> Trees | None:
        return None


def check(context: Context) -> Iterator[Finding]:
    if context.project is None or context.lock is None:
        return
    seen: set[int] = set()
    for profile in context.profiles:
        plan = plan_of(context, profile)
        for package in context.packages:
            if profile in package.profiles and id(package) not in seen:
                seen.add(id(package))
                yield from _package(context, plan, package)
        for image in context.images:
            if image.profile == profile:
                yield from _image(context, image)


def plan_of(context: Context, profile: str) -> Plan:
    """The plan of a profile, with the outputs that the lock pins, but for those that output-disagrees is about."""
    assert context.project is not None and context.lock is not None
    graph = Graph.of(
        context.lock.in_profile(profile), [each.id for each in context.packages if profile in each.profiles]
    )

    def source_tree(package: LockedPackage, name: str) -> str:
        source = next(each for each in package.sources if each.name == name and context.here(each))
        return context.source_tree(source) or ""

    plan = Plan(
        graph=graph, recipes=context.project.recipes, host_platform=context.platform, source_tree=source_tree,
        known=_Nothing(), enforce=False,
    )
    for name, package in graph.packages.items():
        output = package.outputs.get(context.platform)
        if output and not output_disagrees.differences(context, output):
            plan.trees[name] = output.trees
    return plan


def _package(context: Context, plan: Plan, package: LockedPackage) -> Iterator[Finding]:
    output = package.outputs.get(context.platform)
    if output is None or not _can_be_keyed(context, plan, package):
        return
    try:
        key = plan.derive(package.id).key
    except RecipeError as error:
        yield Finding(ID, context.place(package), error.message, error.hint)
        return
    if key != output.key:
        reason = (
            f"the lock pins outputs of the key {output.key}, but its recipe, its sources and the outputs of what it "
            f"needs give {key}"
        )
        remedy = _REMEDY.format(command=context.builds(package.name, package.profiles))
        yield Finding(ID, context.place(package, key=f"output for {context.platform}"), reason, remedy)


def _can_be_keyed(context: Context, plan: Plan, package: LockedPackage) -> bool:
    """Whether all that the key is made of is known; what is not has a finding of another rule."""
    recipe = context.recipe(package)
    if recipe is None or recipe.digest != package.recipe or recipe.version(package.version) is None:
        return False
    if any(each not in recipe.features for each in package.features):
        return False
    known = all(context.source_tree(each) for each in package.sources if context.here(each))
    return known and all(each in plan.trees for each in plan.visible(package.id))


def request_of(context: Context, image: LockedImage) -> Request | None:
    """The request for an image by the lock alone; None when the lock or the recipes do not say all of it."""
    if context.project is None or context.lock is None:
        return None
    images = context.project.images
    if any(each.name not in images for each in context.lock.stack(image)):
        return None
    plan = plan_of(context, image.profile)
    request = compose.request(
        image, lock=context.lock, images=images, graph=plan.graph, trees=plan.trees, recipes=context.project.recipes,
        platform=context.platform,
    )
    known = all(name in plan.trees for name in request.packages) and (request.below is None or request.layers_below)
    return (
        request if known and all(plan.graph.packages[each].name in request.recipes for each in request.base) else None
    )


def _image(context: Context, image: LockedImage) -> Iterator[Finding]:
    layer = image.outputs.get(context.platform)
    request = request_of(context, image) if layer is not None else None
    if layer is not None and request is not None and request.key() != layer.key:
        reason = (
            f"the lock pins a layer of the key {layer.key}, but the image and its packages' outputs give "
            f"{request.key()}"
        )
        remedy = _REMEDY.format(command=context.builds(image.name, (image.profile,)))
        yield Finding(ID, f"image {image.name} in {image.profile}, output for {context.platform}", reason, remedy)


RULE = Rule(ID, "a pinned output belongs to other inputs than the lock has now", check)
