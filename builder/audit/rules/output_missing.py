"""A package or image without a pinned output where others have one: builds there are not checked against anything.

Only profiles whose outputs are required count: from others nothing may ever have been built.
"""

from collections.abc import Iterator

from builder.audit.context import Context
from builder.audit.rule import Finding, Rule

ID = "output-missing"
_REMEDY = "run `builder build --all`, which fills in what is missing, and commit lock.toml"
_OTHER = "run `builder build --all --platform {platform}`, which fills in what is missing, and commit lock.toml"


def check(context: Context) -> Iterator[Finding]:
    required = _required(context)
    packages = [each for each in context.packages if required.intersection(each.profiles)]
    images = [each for each in context.images if each.profile in required]
    outputs = [*(each.outputs for each in packages), *(each.outputs for each in images)]
    platforms = sorted({platform for each in outputs for platform in each})
    if context.platform not in platforms and (packages or images):
        reason, hint = "it pins no output at all", _REMEDY
        if platforms:
            reason = f"it pins no output for {context.platform}, so nothing was looked at that was built"
            hint = f"name a platform that it pins outputs for: --platform {' or '.join(platforms)}"
        yield Finding(ID, "lock.toml", reason, hint)
    for platform in platforms:
        reason = f"it has no output for {platform}, which the lock has for others"
        remedy = _OTHER.format(platform=platform)
        for package in packages:
            if platform not in package.outputs:
                yield Finding(ID, context.place(package), reason, remedy)
        for image in images:
            if platform not in image.outputs:
                yield Finding(ID, f"image {image.name} in {image.profile}", reason, remedy)


def _required(context: Context) -> set[str]:
    known = context.project.profiles if context.project else {}
    return {each for each in context.profiles if each not in known or known[each].outputs_required}


RULE = Rule(ID, "a package or image has no pinned output", check)
