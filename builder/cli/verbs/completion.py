"""`builder completion bash`: scripts for a shell that completes words."""

import shtab

from builder.cli.arguments import parser, verbs
from builder.cli.options import Options
from builder.cli.output import say


def run(options: Options) -> int:
    """Completion scripts made from the parser itself; names of packages, images and profiles are asked for as they are
    needed."""
    top = parser()
    for each in verbs(top).values():
        for action, kind in each.names.items():
            action.complete = shtab.cmd(f"builder --names {kind} 2>/dev/null")  # type: ignore[attr-defined]
    say(shtab.complete(top, options.shell))
    return 0

