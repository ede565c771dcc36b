"""`builder version`."""

from builder import __version__
from builder.cli.options import Options
from builder.cli.output import say, say_json


def run(options: Options) -> int:
    """The builder's version."""
    if options.json:
        say_json("version", {"builder": __version__})
    else:
        say(f"builder {__version__}")
    return 0

