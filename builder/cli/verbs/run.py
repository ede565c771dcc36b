"""The command that runs the gateway for development: `builder run`."""

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack

from msgspec.structs import replace

from builder import sandbox
from builder.base import within
from builder.base.errors import UsageError
from builder.cli.options import Options
from builder.cli.output import shown_path
from builder.cli.session import Session, session
from builder.resolve.workspace import find_root
from builder.run import serving
from builder.run.rootfs import Rootfs, unpacked
from builder.run.serving import Instance, Place, Service
from builder.run.serving.listening import Listener, Listening
from builder.run.serving.place import FOLDERS, TRIAL, check, stand_ins
from builder.run.serving.service import require_free, wait_until_ready
from builder.run.serving.tree import Process, process

IMAGE = "gateway"
_FOLDER = os.path.join("out", "run")
_READY = 10.0  # seconds in which all ports are to answer
# A reload cannot change these.
_KEPT = ("policy", "port", "tls-port", "status-port", "listen", "workers", "image", "profile")
_OPTIONS = ("GATEWAY_POLICY_LIMIT", "GATEWAY_POLICY_INTERVAL", "GATEWAY_WATCH_INTERVAL")


def run(options: Options) -> int:
    """Run the gateway until Ctrl-C; with --reload let the running one take the edits."""
    if options.reload:
        return _reload(options)
    policy, listening = _policy(options.policy), _listening(options)
    options = replace(options, image=options.image or IMAGE)
    with session(options) as opened:
        return _serve(opened, policy, listening)


def _policy(path: str | None) -> str:
    """The absolute path of the policy file, which the gateway must be able to see: it sees this file's directory
    alone."""
    if path is None:
        raise UsageError("there is no policy to serve", where="builder run", hint="name it: --policy FILE")
    if not os.path.isfile(path):
        text = "it is a directory" if os.path.isdir(path) else "there is no such policy file"
        raise UsageError(text, where=path, hint="name the policy file: docs/gateway.md describes it")
    if not os.access(path, os.R_OK):
        raise UsageError("the policy file cannot be read", where=path, hint="correct its permissions")
    found = os.path.abspath(path)
    if not os.path.isfile(within.resolve(os.path.dirname(found), os.path.basename(found))):
        hint = f"name the file that it leads to: {os.path.realpath(found)}"
        raise UsageError("it is a link out of its directory, and the gateway sees that alone", where=path, hint=hint)
    return found


def _listening(options: Options) -> Listening:
    return Listening(
        address=options.listen or "127.0.0.1", http=tuple(Listener(*each) for each in options.port or [(8080, 80)]),
        https=tuple(Listener(*each) for each in options.tls_port or [(8443, 443)]), status=options.status_port or 1936,
    )


def _reload(options: Options) -> int:
    if given := [f"--{name}" for name in _KEPT if getattr(options, name.replace("-", "_"))]:
        hint = "leave it out; for another policy replace the file, for the rest end the gateway and start it anew"
        raise UsageError("a reload takes edits under lua/, and changes nothing else", where=" ".join(given), hint=hint)
    with session(options):  # opens nothing: hints name the project
        instance = serving.running(os.path.join(find_root(options.root), _FOLDER))
        workers = serving.reload(instance, sandbox.find("auto", instance.tools))
    sys.stderr.write(f"reloaded: {workers} new workers\n")
    return 0


def _serve(opened: Session, policy: str, listening: Listening) -> int:
    folder = opened.out("run")
    for each in (*FOLDERS, *(os.path.join(TRIAL, name) for name in FOLDERS)):
        opened.out(os.path.join("run", each))
    with ExitStack() as stack:
        stack.enter_context(serving.claim(folder))
        require_free(listening)
        target = opened.image_directory(opened.image())
        with opened.reporter.task("unpack", shown_path(target), brief=True):
            rootfs = stack.enter_context(unpacked(target, opened.out("rootfs"), opened.settings.cache_dir))
        place = _place(opened, folder, rootfs, policy, listening)
        place.write()
        tools = opened.launcher(opened.image())
        service = serving.Service(sandbox.find("auto", tools), place.spec(), opened.reporter.say)
        opened.reporter.close()  # the terminal is nginx's from here on
        outcome = service.run(1, 2, lambda nginx: _started(opened, service, place, tools, nginx))
    if service.asked:
        return 0
    if outcome.killed:
        raise KeyboardInterrupt
    opened.reporter.say(f"nginx ended by itself, with exit code {outcome.code}")
    return 1


def _place(opened: Session, folder: str, rootfs: Rootfs, policy: str, listening: Listening) -> Place:
    options = opened.options
    check(rootfs, options.image or IMAGE)
    return serving.Place(
        checkout=opened.workspace.root, folder=folder, rootfs=rootfs, policy=policy, listening=listening,
        workers=options.workers or 0, inherited=_inherited(os.environ),
        stand_ins=stand_ins(opened.workspace.root, rootfs),
    )


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in _OPTIONS if name in environ}


def _started(opened: Session, service: Service, place: Place, tools: str, nginx: Process) -> None:
    """nginx runs: tell other commands, and the user when it answers."""
    own = process(os.getpid())
    assert own is not None, "we run"
    Instance(builder=own, nginx=nginx, tools=tools, place=place).write()

    def tell() -> None:
        silent = wait_until_ready(place.listening, lambda: not nginx.alive(), _READY)
        if not nginx.alive():
            return
        for port in silent:
            opened.reporter.warn(f"nothing answers on port {port}")
        shown = ", ".join(["lua/conf", *place.stand_ins])
        opened.reporter.say("\n".join([*place.listening.urls(), f"from the checkout: {shown}", "Ctrl-C ends it"]))

    threading.Thread(target=tell, name="ready", daemon=True).start()
