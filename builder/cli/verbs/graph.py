"""`builder graph`: the packages of an image and their dependencies."""

from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import session
from builder.show import draw
from builder.show import graph as graphs


def run(options: Options) -> int:
    """The graph of an image as text, DOT or SVG."""
    with session(options) as opened:
        image = opened.image()
        found = graphs.of(opened.lock, image.profile, image.name, build=not options.runtime)
        if options.json:
            edges = [{"from": a, "to": b, "kind": graphs.kind_of(found, a, b)} for a, b in graphs.edges(found)]
            say_json(
                "graph",
                {"image": image.name, "profile": image.profile, "packages": sorted(found), "edges": edges},
            )
        elif options.format == "svg":
            say(draw.svg(found, f"{image.name}, profile {image.profile}"))
        else:
            say((graphs.dot(found) if options.format == "dot" else graphs.tree(found)).rstrip("\n"))
        return 0

