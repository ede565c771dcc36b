"""The one error for all sources that could not be had: what each is, what every place said, how to bring it by hand."""

from collections.abc import Mapping, Sequence

from builder.errors import MismatchError, SourceError
from builder.fetch.wanted import Attempt, Pinned, Wanted
from builder.source import Source

_HINT = "mend the network or the pins, or bring the files: {bring}"
_HINT_OFFLINE = "run `builder fetch` where there is a network, or bring the files: {bring}"
_BRING = "put each into a folder, under its name or its sha256, and give that with --distdir DIR"


def failure(failed: Mapping[Wanted, Sequence[Attempt]], *, offline: bool) -> SourceError:
    """The error to raise; a MismatchError when a place gave something that is not what is pinned."""
    count = "1 source" if len(failed) == 1 else f"{len(failed)} sources"
    first = f"{count} missing, and --offline allows no fetching" if offline else f"{count} could not be had"
    lines = [f"{first}:"]
    for wanted, attempts in failed.items():
        lines += [f"{wanted.title}: {wanted.source.filename}", *_identity(wanted)]
        if offline:
            lines += [f"  from    {location}" for location in wanted.source.locations]
        lines += [f"  {attempt.place}: {_indented(attempt.said)}" for attempt in attempts]
    wrong = any(attempt.wrong for attempts in failed.values() for attempt in attempts)
    hint = (_HINT_OFFLINE if offline else _HINT).format(bring=_BRING)
    return (MismatchError if wrong else SourceError)("\n".join(lines), hint=hint)


def _identity(wanted: Wanted) -> list[str]:
    source = wanted.source
    rows = (
        ("size", source.size and f"{source.size} bytes"), ("sha256", source.sha256), ("tree", source.tree)
    )
    return [f"  {name:7} {text}" for name, text in rows if text]


def unproved(source: Source, measured: Pinned) -> str:
    """What to say of a file that came over plain http and that nothing pins: its measures, and who can confirm them."""
    pins = [f"size = {measured.size}", f'sha256 = "{measured.sha256}"', f'tree = "{measured.tree}"']
    pins += [f"unpacked = {measured.unpacked}", f"entries = {measured.entries}"]
    debian = any(each.startswith("mirror://debian/") for each in source.locations)
    index = "in Debian's signed index: the .dsc file beside it, or `apt-cache show PACKAGE` for a .deb"
    where = index if debian else "on the publisher's page over https, or in its signed checksums"
    return "\n".join([
        "refused: over plain http nothing proves a file without a sha256 or a tree. Look for this sha256 " + where
        + "; if it is there, put these lines into the recipe:", *pins,
    ])


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
