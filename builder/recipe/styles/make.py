"""Style `make`: `make`, then `make install DESTDIR=$OUT`.

How many jobs make runs is said by $MAKEFLAGS, which names the jobserver that all builds share.
"""

from collections.abc import Mapping
from typing import Any

from builder.recipe.styles.shell import STRIP, exports, run_fields, words
from builder.recipe.styles.style import Step, Style


def make_steps(options: Mapping[str, Any], first: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """The steps before, `first`, build, install and after, with the style's options."""
    env = exports(options.get("env", {}))
    arguments = words(options.get("make", []))
    install = words(options.get("install", ["install"]))
    steps = [Step("before", options["before"])] if "before" in options else []
    steps += first
    steps.append(Step("build", f"make {arguments}".rstrip()))
    steps.append(Step("install", f'make {install} DESTDIR="$OUT"'))
    steps += [Step("after", options["after"])] if "after" in options else []
    if options.get("strip", True):
        steps.append(STRIP)
    return tuple(Step(each.name, env + each.run) for each in steps)


STYLE = Style(options=run_fields(), steps=make_steps)
