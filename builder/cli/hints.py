"""Hints name commands. Such a command is about the project, store, image and profile of the command that failed."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache

from builder.base import platform
from builder.base.errors import UsageError
from builder.cli.arguments import parser, verbs
from builder.cli.options import Options
from builder.cli.parser import Parser
from builder.resolve.workspace import find_root

_COMMAND = re.compile(r"\bbuilder (?P<verb>store [a-z]+|[a-z]+)(?P<rest>[^`;]*)")
_WEAKER = "; or, as root, use the weaker --sandbox chroot"
_GIT = re.compile(r"`git (?!-)")
_CHOICES = {  # options that choose a command's subject, and their defaults
    "--root": ".", "--store": None, "--image": None, "--profile": None, "--platform": platform.DEFAULT,
    "--sandbox": "auto",
}


def completed(hint: str, options: Options, image: str = "", profile: str = "") -> str:
    """A hint whose commands have the failed command's arguments, where they take them.

    image, profile: of the failure, where the arguments name none and a command that names none would take others.
    """
    known = _known()

    def complete(found: re.Match[str]) -> str:
        verb, rest = found["verb"], found["rest"]
        if verb.partition(" ")[0] not in known:
            return found[0]
        takes = known[verb.partition(" ")[0]].options()
        every = verb == "fetch" and options.all and "--all" not in rest.split()
        about = {} if every else {"--image": image, "--profile": profile}
        words = [word for option, word in _chosen(options, about) if option in takes and option not in rest.split()]
        return " ".join(["builder", verb, *words, *["--all"][:every]]) + rest

    if _GIT.search(hint):
        hint = _GIT.sub(lambda found: found[0] + _place(options), hint)
    if _WEAKER in hint and options.command != "doctor" and "--sandbox" not in known[options.command].options():
        hint = hint.replace(_WEAKER, "")  # tests and the gateway need namespaces
    return _COMMAND.sub(complete, hint)


@cache
def _known() -> Mapping[str, Parser]:
    """The verbs. An audit completes a hundred hints, and making the parser takes 6 ms."""
    return verbs(parser())


def _place(options: Options) -> str:
    """The option of git that names the project, where the command was not started in its directory."""
    given = options.root
    try:
        root = find_root(given)
    except UsageError:  # there is none, and the hint is about something else
        return ""
    near = given if os.path.abspath(given) == root else os.path.relpath(root)
    return f"-C {shlex.quote(near)} " if near != "." else ""


def completed_within(message: str, options: Options, image: str = "", profile: str = "") -> str:
    """A message with the hints completed of the other errors, and of the contract's findings, that it tells of."""
    lines = re.compile(r"^  next: .*|^  \[[a-z-]+\] .*", re.MULTILINE)
    return lines.sub(lambda found: completed(found[0], options, image, profile), message)


def _chosen(options: Options, topic: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for option, default in _CHOICES.items():
        given = getattr(options, option[2:], None) or topic.get(option)
        if given and given != default:
            yield option, f"{option} {shlex.quote(given)}"
