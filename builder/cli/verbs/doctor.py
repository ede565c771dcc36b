"""The verb `doctor`: whether this machine can build, and the remedies when it cannot."""

import os

from msgspec.structs import replace

from builder.base import digest, platform
from builder.base import settings as user_settings
from builder.base.errors import BuilderError, MachineError
from builder.cli import hints, output
from builder.cli.options import Options
from builder.resolve.workspace import Workspace, find_root
from builder.sandbox.program import find_program
from builder.show import doctor


def run(options: Options) -> int:
    """One line an answer; exit code 5 when one of them is bad."""
    settings = user_settings.load()
    store = options.store or settings.store
    try:
        root = find_root(options.root)
    except BuilderError:  # outside of a project, the machine can be looked at all the same
        if options.root != ".":
            raise
        root = ""
    machine = doctor.Machine(
        root=root, store=store, settings=settings, program=_program(root, store, settings.cache_dir),
        online=not options.offline
    )
    answers = [replace(each, next=hints.completed(each.next, options)) for each in doctor.examine(machine)]
    if options.json:
        output.say(output.document("doctor", answers))
    else:
        output.say("\n".join(map(str, answers)))
    return MachineError.exit_code if any(each.level == "bad" for each in answers) else 0


def _program(root: str, store: str, cache_dir: str) -> tuple[str, ...]:
    """How bubblewrap is started: the system's, or that of the lock's tool set when it was built; else nothing."""
    try:
        lock = Workspace.open(root, cache_dir).lock if root else None
        pins = [
            each.outputs.get(platform.DEFAULT) for each in (lock.packages if lock else ()) if each.name == "launcher"
        ]
        trees = [os.path.join(store, "trees", digest.to_hex(pin.trees["out"])) for pin in pins if pin is not None]
        return find_program(next(filter(os.path.isdir, trees), ""))
    except BuilderError:  # there is none yet, or recipes or lock are wrong: that is for other verbs to tell
        return ()
