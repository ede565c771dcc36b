"""`builder help`: the verbs, or the options of one."""

import sys

from builder.cli.arguments import no_verb, parser, verbs
from builder.cli.options import Options


def run(options: Options) -> int:
    """The verbs, or one of them."""
    top = parser()
    known = verbs(top)
    if options.verb and options.verb not in known:
        raise no_verb(options.verb, known)
    sys.stdout.write((known[options.verb] if options.verb else top).format_help())
    return 0

