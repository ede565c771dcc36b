"""`builder shell NAME`: the sandbox of a package as its build sees it."""

import os
import sys

from builder.base.errors import UsageError
from builder.cli.named import located
from builder.cli.options import Options
from builder.cli.output import shown_path
from builder.cli.session import Session, session


def run(options: Options) -> int:
    """Open the sandbox of a package with its source unpacked and patched, or the kept tree of its failed build."""
    with session(options) as opened:
        lock, profile, (name,), _ = located(opened, [options.name])
        if not options.words and not (sys.stdin.isatty() and sys.stdout.isatty()):
            words = f"--failed {options.name} ls" if options.failed else f"{options.name} ls /sources"
            raise UsageError(
                "a shell needs a terminal", where="builder shell",
                hint=f"name a command to run instead: builder shell {words}"
            )
        builder = opened.builder
        plan = builder.plan(lock, profile, [name])
        failed = _kept_tree(opened, name) if options.failed else ""
        builder.build(plan, (), inputs_of=[name])
        if builder.is_builtin(plan, name):
            raise UsageError(f"{name} is made without a sandbox", hint="there is nothing to look into")
        builder.bring(plan, name)
        executor = opened.executor(lambda package: builder.tool(plan, package))
        with opened.store.stage() as stage:
            return executor.shell(plan.derive(name), opened.store.tree_path, stage, tuple(options.words), failed)


def _kept_tree(opened: Session, name: str) -> str:
    """The newest tree that a failed build of a package left in out/failed/.

    Raises:
        UsageError: there is none.
    """
    folder = os.path.join(os.path.realpath(opened.workspace.root), "out", "failed")
    start = name.replace(" ", "-") + "-"
    found = os.listdir(folder) if os.path.isdir(folder) else []
    numbers = [int(each[len(start) :]) for each in found if each.startswith(start) and each[len(start) :].isdecimal()]
    path = os.path.join(folder, f"{start}{max(numbers, default=0)}")
    if not numbers or os.path.realpath(path) != path:  # a link could lead anywhere, and the tree is written to
        raise UsageError(
            f"no tree of a failed build of {name} was kept", where=shown_path(folder),
            hint=f"keep one: builder build --keep-failed {name.split(' ', maxsplit=1)[0]}",
        )
    return path

