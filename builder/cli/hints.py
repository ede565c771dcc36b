"""Hints name commands. Such a command is about the project, store, image and profile of the command that failed."""

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping

from builder import platform
from builder.cli.arguments import parser, verbs

_COMMAND = re.compile(r"\bbuilder (?P<verb>store [a-z]+|[a-z]+)(?P<rest>[^`;]*)")
_CHOICES = {  # options that say what a command is about, and their defaults
    "--root": ".", "--store": None, "--image": None, "--profile": None, "--platform": platform.DEFAULT, "--sandbox": "auto",
}


def completed(hint: str, options: argparse.Namespace, image: str = "", profile: str = "") -> str:
    """A hint whose commands say what the failed command's arguments said, where they take it.

    image, profile: of what failed, where the arguments name none and a command that names none would take others.
    """
    known = verbs(parser())

    def complete(found: re.Match[str]) -> str:
        verb, rest = found["verb"], found["rest"]
        if verb.partition(" ")[0] not in known:
            return found[0]
        takes = known[verb.partition(" ")[0]].options()
        every = verb == "fetch" and getattr(options, "all", False)
        about = {} if every else {"--image": image, "--profile": profile}
        words = [word for option, word in _chosen(options, about) if option in takes and option not in rest.split()]
        return " ".join(["builder", verb, *words, *["--all"][:every]]) + rest

    return _COMMAND.sub(complete, hint)


def completed_within(message: str, options: argparse.Namespace, image: str = "", profile: str = "") -> str:
    """A message with the hints completed of the other errors that it tells of."""
    return re.sub(r"(?m)^  next: .*", lambda found: completed(found[0], options, image, profile), message)


def _chosen(options: argparse.Namespace, topic: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for option, default in _CHOICES.items():
        given = getattr(options, option[2:], None) or topic.get(option)
        if given and given != default:
            yield option, f"{option} {shlex.quote(given)}"
