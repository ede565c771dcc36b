"""The contract of an image: properties that its files must have before it runs.

survey(layers) -> Image     reads every file of the base and the layer once
check(image) -> findings    all rules, pure
require(image)              the same, as an error
"""

from collections.abc import Sequence

from builder.base.errors import RefusedError
from builder.base.units import counted
from builder.image.contract.finding import Finding
from builder.image.contract.image import Image, survey
from builder.image.contract.rules import RULES
from builder.recipe.image import Waiver

__all__ = ["Finding", "Image", "check", "require", "survey"]


def check(image: Image, *, waivers: Sequence[Waiver] = ()) -> list[Finding]:
    """Everything that breaks the contract, rule by rule in order of path. A waiver that
    covers nothing is a finding, too."""
    kept: list[Finding] = []
    used: set[Waiver] = set()
    for rule in RULES:
        for finding in sorted(rule(image), key=lambda each: (each.path, each.message)):
            covering = [each for each in waivers if each.covers(finding.rule, finding.path)]
            used.update(covering)
            if not covering:
                kept.append(finding)
    idle = [each for each in waivers if each not in used]
    return kept + [
        Finding(rule="waiver", path=each.glob, message=f"nothing breaks '{each.rule}' here", hint="remove it")
        for each in idle
    ]


def require(image: Image, *, name: str, waivers: Sequence[Waiver] = ()) -> None:
    """Raises:
    RefusedError: the image `name` breaks its contract; lists everything that does.
    """
    findings = check(image, waivers=waivers)
    if findings:
        raise RefusedError(
            "\n  ".join((f"the image breaks its contract ({counted(len(findings), 'finding')}):", *map(str, findings))),
            where=name,
            hint="change the packages or the image's recipe, then build again; the old image is left as it is",
        )
