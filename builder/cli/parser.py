"""The argument parser with features that `argparse` lacks: no abbreviated options, errors that name the word that was
meant, and help that groups the verbs."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from builder.base.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of ending the process. groups: of the top, its verbs below headings."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)
        self.name = ""
        self.summary = ""
        self.names: dict[argparse.Action, str] = {}
        self.groups: list[tuple[str, list[Parser]]] = []

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, where the base class ends the process."""
        raise UsageError(message, where=self.name, hint=self._help)

    @property
    def _help(self) -> str:
        return f"`builder help {self.name}".rstrip() + "` shows the choices"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As the base class, and names the choice that was meant."""
        if action.choices is not None and value not in action.choices:
            known = [str(each) for each in action.choices]
            word = "".join(f"{each}: " for each in action.option_strings)
            raise UsageError(
                f"{word}'{value}' is none of: {', '.join(known)}", where=self.name,
                hint=meant(str(value), known, hint=self._help)
            )

    def format_help(self) -> str:
        return self.overview() if self.groups else super().format_help()

    def overview(self) -> str:
        """The verbs by their groups."""
        lines = [f"usage: {self.prog} VERB [ARGUMENTS]", "", self.description or ""]
        for heading, verbs in self.groups:
            lines += ["", heading, *(f"    {each.name:<12}{each.summary}" for each in verbs)]
        return "\n".join([*lines, "", self.epilog or ""]) + "\n"

    def named(self, kind: str, *words: str, **given: Any) -> None:
        """`add_argument` for names of a kind, which `builder.cli.completion` completes."""
        self.names[self.add_argument(*words, **given)] = kind

    def options(self) -> list[str]:
        """All options, as they are typed."""
        return sorted(self._option_string_actions)


def meant(word: str, known: Sequence[str], *, hint: str) -> str:
    """A hint that names the known word which `word` abbreviates or misspells, else `hint`."""
    import difflib  # noqa: PLC0415 - only a misspelling pays for it

    bare = {each.lstrip("-"): each for each in known}  # dashes, which all options have, make no two of them alike
    close = [each for each in known if len(word) > 2 and each.startswith(word)]
    close = close or [bare[each] for each in difflib.get_close_matches(word.lstrip("-"), bare, n=1)]
    return f"did you mean '{close[0]}'?" if close else hint


def positive(text: str) -> int:
    """Read a whole number, at least 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, at least 1")
    return int(text)


def port(text: str) -> int:
    """Read a port number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 1 to 65535")
    return int(text)


def ports(rules: int) -> Callable[[str], tuple[int, int]]:
    """Reader of HOST_PORT:POLICY_PORT. Without the second, `rules` is the port of the policy."""

    def parse(text: str) -> tuple[int, int]:
        own, found, policy = text.partition(":")
        return port(own), port(policy) if found else rules

    return parse
