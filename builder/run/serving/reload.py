"""Has the running gateway take what was edited, once it is sure that it works. Else the old one goes on.

Three looks, each with its own message: every Lua file compiles; nginx likes its configuration; and
it starts, for as long as it takes to have workers. `nginx -t` alone does not run a line of Lua. All
of them are taken in a sandbox without network, with copies of their own of configuration and
embedded libraries: until it is known that they work, those of the running gateway stay as they are.
lua/gateway is shown as the checkout has it, there and here, and nginx reads it when it reloads.
"""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from msgspec.structs import replace

from builder.base.errors import RefusedError
from builder.run.serving import tree
from builder.run.serving.instance import Instance, one_reload
from builder.run.serving.place import Place
from builder.sandbox import Sandbox, SandboxSpec
from builder.store.remove import remove_tree

_PERIOD = 0.05
_SECONDS = 20.0  # for a start, and for new workers
_KEPT = "the running gateway keeps what it has; correct this and reload again"
# Compiles each file that is named, and says of each whether and why it does not.
_COMPILE = """
local bad
for _, path in ipairs(arg) do
    local chunk, err = loadfile(path)
    if not chunk then
        bad = true
        print(err)
    end
end
os.exit(bad and 1 or 0)
"""


def reload(instance: Instance, sandbox: Sandbox) -> int:
    """Reload; how many new workers there are.

    Raises:
        RefusedError: the edited files do not work; with the message of nginx or Lua. The old one goes on.
    """
    place = instance.place
    with one_reload(place.folder):
        _try(place.trial(), sandbox)
        place.write()
        before = tree.children(instance.nginx.pid)
        if not instance.nginx.send(signal.SIGHUP):
            raise RefusedError(
                "its nginx has just ended", where=place.folder, hint="start it: builder run --policy FILE"
            )
        return _new_workers(instance, before)


def _try(trial: Place, sandbox: Sandbox) -> None:
    remove_tree(trial.folder)  # of a reload that was killed
    try:
        trial.write()
        _compile(trial, sandbox)
        _check(sandbox, trial.spec("-t", network=False), "nginx refuses the configuration")
        _start(trial, sandbox)
    finally:
        remove_tree(trial.folder)


def _compile(place: Place, sandbox: Sandbox) -> None:
    luajit = place.rootfs.program("luajit")
    files = tuple(place.lua_files())
    if luajit and files:
        # The words after a script are `arg`; there is no script but what -e says.
        spec = replace(place.spec(network=False), argv=(luajit, "-e", _COMPILE, "/dev/null", *files))
        _check(sandbox, spec, "Lua does not compile")


def _check(sandbox: Sandbox, spec: SandboxSpec, message: str) -> None:
    with tempfile.TemporaryFile() as log:
        outcome = sandbox.run(spec, log.fileno())
        if outcome.code:
            raise _refused(message, log)


def _refused(message: str, log: IO[bytes]) -> RefusedError:
    log.seek(0)
    return RefusedError(f"{message}:\n" + log.read().decode(errors="replace").rstrip(), hint=_KEPT)


def _start(place: Place, sandbox: Sandbox) -> None:
    """Start it for a moment."""
    cancel = threading.Event()
    with tempfile.TemporaryFile() as log, ThreadPoolExecutor(1, thread_name_prefix="trial") as pool:
        trial = pool.submit(sandbox.run, place.spec(network=False), log.fileno(), cancel)
        try:
            up = _until(_has_workers, trial.done)
        finally:
            cancel.set()
        trial.result()
        if not up:
            raise _refused("nginx does not start with it", log)


def _has_workers() -> bool:
    main = tree.command_below(os.getpid())
    return main is not None and bool(tree.children(main.pid))


def _until(true: Callable[[], bool], ended: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and not ended():
        if true():
            return True
        time.sleep(_PERIOD)
    return False


def _is_ending(worker: int) -> bool:
    """Whether an old worker has gone, or says of itself that it takes no more requests."""
    try:
        with open(f"/proc/{worker}/cmdline", "rb") as file:
            words = file.read()
    except OSError:
        return True
    return not words or b"shutting down" in words


def _new_workers(instance: Instance, before: set[int]) -> int:
    """Wait for new workers, and until the old ones take no more requests; how many new ones there are."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        found = tree.children(instance.nginx.pid) - before
        if found and all(map(_is_ending, before)):
            return len(found)
        time.sleep(_PERIOD)
    raise RefusedError(
        "nginx has no new workers: it kept its configuration, and its log says why", where=instance.place.folder
    )
