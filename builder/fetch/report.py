"""The one error for all sources that could not be fetched: shared causes, then each source, then the remedy."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from builder.base.addresses import shown
from builder.base.errors import MismatchError, SourceError
from builder.base.units import counted
from builder.fetch.wanted import LACKS, Attempt, Pinned, Wanted
from builder.recipe.source import Source

_HINT_OFFLINE = "run `builder fetch` where there is a network, or bring the files: {bring}"
_BRING = "put each into a directory, under its name or its sha256, and give that with --distdir DIR"
_NAMED = 5  # sources of a cause that are named
# (pattern of a cause, its remedy). The first that fits counts.
_REMEDIES = (
    (
        r"no address of the mirror 'debian'",
        "name a Debian mirror: export BUILDER_MIRROR_DEBIAN=https://HOST/debian",
    ),
    (r"could not connect through the proxy", "check the proxy, which `env | grep -i _proxy` shows"),
    (r"certificate", "if an authority of your network signs, name it: export REQUESTS_CA_BUNDLE=/PATH/TO/IT.pem"),
    (
        r"could not find the host|Name or service not known|name resolution",
        "check the resolver of this machine, or name a proxy: export https_proxy=http://HOST:PORT",
    ),
)

_Failed = Mapping[Wanted, Sequence[Attempt]]


def failure(failed: _Failed, *, offline: bool, verbose: bool = False) -> SourceError:
    """The error to raise; a MismatchError when a place gave a file that is not the pinned one."""
    causes = {} if offline else _causes(failed)
    lines = [line for cause, sources in causes.items() for line in _cause(cause, sources)]
    told = {each for sources in causes.values() for each in sources}
    for wanted, attempts in failed.items():
        if verbose or wanted not in told:
            lines += _source(wanted, attempts, offline=offline)
    first = "{} missing, and --offline allows no fetching:" if offline else "{} could not be had:"
    wrong = any(attempt.wrong for attempts in failed.values() for attempt in attempts)
    kind = MismatchError if wrong else SourceError
    return kind(
        "\n".join([first.format(counted(len(failed), "source")), *lines]), sources=map(_row, failed.items()),
        hint=_HINT_OFFLINE.format(bring=_BRING) if offline else _hint(failed, causes, short=bool(told) and not verbose),
    )


def _causes(failed: _Failed) -> dict[str, list[Wanted]]:
    """The causes that several sources share, the most frequent first, each with its sources. A source that failed only
    for causes of its own is left out, and so is one that came wrong."""
    found: dict[str, list[Wanted]] = {}
    for wanted, attempts in failed.items():
        if not any(each.wrong for each in attempts):
            for cause in dict.fromkeys(each.cause for each in attempts):
                found.setdefault(cause, []).append(wanted)
    common = {
        each for cause, sources in found.items() if len(sources) > 1 and not cause.endswith(LACKS) for each in sources
    }
    rows = ((cause, [each for each in sources if each in common]) for cause, sources in found.items())
    return dict(sorted((row for row in rows if row[1]), key=lambda row: -len(row[1])))


def _cause(cause: str, sources: Sequence[Wanted]) -> list[str]:
    names = [each.title for each in sources[:_NAMED]]
    more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
    return [f"{counted(len(sources), 'source')}: {cause}", f"  {', '.join(names)}{more}"]


def _source(wanted: Wanted, attempts: Iterable[Attempt], *, offline: bool) -> list[str]:
    source = wanted.source
    facts = (("size", source.size and f"{source.size} bytes"), ("sha256", source.sha256), ("tree", source.tree))
    lines = [f"{wanted.title}: {source.filename}", *(f"  {name:7} {text}" for name, text in facts if text)]
    if offline:
        lines += [f"  from    {shown(location)}" for location in source.locations]
    return lines + [f"  {attempt.place}: {_indented(attempt.said)}" for attempt in attempts]


def _hint(failed: _Failed, causes: Iterable[str], *, short: bool) -> str:
    """The remedy of the most frequent cause that has one; the next run reports the rest."""
    every = dict.fromkeys([*causes, *(each.cause for attempts in failed.values() for each in attempts)])
    remedies = (remedy for cause in every for said, remedy in _REMEDIES if re.search(said, cause))
    more = "; `builder fetch --offline` lists them, and -v has every detail" if short else ""
    return f"{next(remedies, 'correct the network or the pins')}, or bring the files: {_BRING}{more}"


def _row(item: tuple[Wanted, Sequence[Attempt]]) -> dict[str, Any]:
    wanted, attempts = item
    source = wanted.source
    return {
        "package": wanted.package, "version": wanted.version, "source": source.name, "filename": source.filename,
        "size": source.size, "sha256": source.sha256, "tree": source.tree, "locations": [*map(shown, source.locations)],
        "attempts": [{"place": each.place, "said": each.said, "wrong": each.wrong} for each in attempts],
    }  # fmt: skip


def unproved(source: Source, measured: Pinned) -> str:
    """The message for a file without pins that came over plain http: its measures, and where to confirm them."""
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
