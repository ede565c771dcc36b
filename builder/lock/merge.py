"""Two locks that grew from one: the lock with the additions of both."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from builder.lock.lock import Lock, LockedImage, LockedPackage

Block = TypeVar("Block", LockedPackage, LockedImage)
Output = TypeVar("Output")


class _DifferError(Exception):
    """Both sides say something new, and not the same."""


def merged(base: Lock, ours: Lock, theirs: Lock) -> Lock | None:
    """`ours` with the outputs that `theirs` has and `base` had not; None where they differ in anything else.

    base: the lock that both began with. All but outputs (versions, sources, requirements) must be the same in both, and
    no output may be one thing here and another there.
    """
    try:
        return Lock(
            images=_blocks(base.images, ours.images, theirs.images),
            packages=_blocks(base.packages, ours.packages, theirs.packages),
        )
    except _DifferError:
        return None


def _blocks(base: Iterable[Block], ours: tuple[Block, ...], theirs: tuple[Block, ...]) -> tuple[Block, ...]:
    if [_bare(each) for each in ours] != [_bare(each) for each in theirs]:
        raise _DifferError
    before = {_identity(each): each.outputs for each in base}
    return tuple(
        replace(mine, outputs=_outputs(before.get(_identity(mine), {}), mine.outputs, other.outputs))
        for mine, other in zip(ours, theirs, strict=True)
    )


def _bare(block: Block) -> Block:
    return replace(block, outputs={})


def _identity(block: LockedPackage | LockedImage) -> tuple[object, ...]:
    return (block.name, block.profile) if isinstance(block, LockedImage) else (
        block.name, block.version, block.profiles
    )


def _outputs(base: Mapping[str, Output], ours: Mapping[str, Output], theirs: Mapping[str, Output]) -> dict[str, Output]:
    """Of each platform the output that is new on either side."""
    found: dict[str, Output] = {}
    for platform in sorted({*ours, *theirs}):
        before, mine, other = base.get(platform), ours.get(platform), theirs.get(platform)
        if mine != other and before not in (mine, other):
            raise _DifferError
        kept = other if mine == before else mine
        if kept is not None:
            found[platform] = kept
    return found
