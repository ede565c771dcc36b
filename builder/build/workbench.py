"""Files that `builder shell` lays beside a build: its steps, a command that runs one, and the shell's start.

    /.builder/            read-only, first on the shell's PATH
      step                `step configure`: one step as the build runs it, in a shell of its own
      steps/NAME          dash source of each step
      start               unpacks and patches, then becomes the shell or the command
      settings            of an interactive shell: its prompt, and the variables that the recipe's steps set
"""

import os
import shlex

from builder.plan.derivation import Derivation
from builder.recipe.styles.shell import exports

PLACE = "/.builder"
_LEFT = "/tmp/.builder-exit"  # noqa: S108 - inside the sandbox
PREPARED = ("unpack", "patch")  # steps that have run when the shell opens

_STEP = """#!/bin/sh
# Runs steps of this build: each in a shell of its own, in the directory of the sources, ended by its first failure.
set -eu
cd {place}/steps
say='==> %s\\n'
test "${{1:-}}" != -q || {{ say=''; shift; }}
test $# -gt 0 || {{ echo "usage: step NAME...; steps here: {names}" >&2; exit 2; }}
for name; do
    test -f "./$name" || {{ echo "step: there is no step '$name'; steps here: {names}" >&2; exit 2; }}
done
for name; do
    printf "$say" "$name"
    (cd /build/src && sh -eu "{place}/steps/$name") || {{
        code=$?; echo "step: '$name' ended with exit code $code" >&2; exit $code
    }}
done
"""
_START = """{settings}
PATH=$PATH:{place}
export PATH
{prepare}
test "${{ENV:-}}" || exec "$@"
"$@"
code=$?
test ! -f {left} || read -r code < {left}
exit "$code"
"""
# The process group that has the terminal when the shell begins lies outside of its process namespace. The shell cannot
# give the terminal back to it, says so, and forgets its exit code. So it leaves the code in a file; the caller sets the
# terminal right.
_SETTINGS = """PS1={prompt}
trap 'echo $? > {left}; exec 2>&-' EXIT
"""


def names(derivation: Derivation) -> list[str]:
    """The steps of a build in their order."""
    return list(dict.fromkeys(step.name for step in derivation.steps))


def write(folder: str, derivation: Derivation, *, prepare: bool, quiet: bool = False) -> None:
    """Fill the directory that becomes /.builder. prepare: whether the sources are to be unpacked and patched first;
    quiet: without naming these steps."""
    os.makedirs(f"{folder}/steps")
    for step in derivation.steps:
        with open(f"{folder}/steps/{step.name}", "a", encoding="utf-8") as file:
            file.write(step.run + "\n")
    first = [name for name in names(derivation) if name in PREPARED] if prepare else []
    words = ["-q"] * quiet + first
    settings = exports(derivation.options.get("env", {}))
    texts = {
        "step": _STEP.format(place=PLACE, names=" ".join(names(derivation))),
        "start": _START.format(
            settings=settings, place=PLACE, left=_LEFT,
            prepare=f"{PLACE}/step {' '.join(words)} >&2 || exit" if first else "",
        ),
        "settings": _SETTINGS.format(prompt=shlex.quote(f"{derivation.id} $PWD $ "), left=_LEFT),
    }  # fmt: skip
    for name, text in texts.items():
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{folder}/{name}", 0o755)  # noqa: S103 - read-only in the sandbox, whose user must run it


def banner(derivation: Derivation, failed: str) -> str:
    """The greeting: the place, and the commands. failed: the kept tree of a failed build that is entered, or ""."""
    ready = [name for name in names(derivation) if name not in PREPARED]
    fresh = "with the source unpacked and patched" if derivation.sources else "empty"
    state = "as the failed build left it" if failed else fresh
    return "\n".join((
        f"the sandbox of {derivation.id}: no network, the build's tools and inputs",
        f"  /build/src   {state}; /output is $OUT, empty",
        f"  steps        {' '.join(ready) or 'none'}   "
        f"(run one: step {ready[0] if ready else 'NAME'}; read it: cat {PLACE}/steps/NAME)",
        f"  exit         ends it; {f'your changes stay in {failed}' if failed else 'your changes are lost then'}",
    ))
