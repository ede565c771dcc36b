"""`builder fetch`: bring sources, verified."""

from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import session
from builder.fetch.carry import carry
from builder.plan.plan import Graph


def run(options: Options) -> int:
    """Bring sources, verified, into the store; with --to also as files into a directory."""
    with session(options) as opened:
        lock = opened.lock
        if options.all:
            packages = list(lock.packages)
        else:
            image = opened.image()
            graph = Graph.of(lock.in_profile(image.profile), lock.targets(image))
            packages = list(graph.packages.values())
        wanted = opened.builder.wanted(packages)
        # Archives and trees: both must suffice for a build without network, wherever the store is taken.
        found = opened.fetcher.fetch(wanted, unpack=False)
        opened.fetcher.fetch(wanted)
        if options.to:
            for note in carry(opened.store, options.to, found):
                opened.reporter.say(note)
        total = sum(pin.size or 0 for pin in found.values())
        if options.json:
            say_json("fetch", [
                {
                    "package": each.package, "version": each.version, "source": each.source.name, "size": pin.size,
                    "sha256": pin.sha256,
                    "tree": pin.tree,
                }
                for each, pin in found.items()
            ])
        else:
            say(f"{len(found)} sources are here, verified ({total / 1e6:.1f} MB of archives)")
        return 0

