"""Errors: three parts, one tree, and the exit codes that the command line promises."""

import inspect

import pytest

from builder.base import errors
from builder.base.errors import (
    BuilderError,
    BuildError,
    LockError,
    MachineError,
    Problem,
    RecipeError,
    RefusedError,
    SourceError,
    UsageError,
)
from builder.cli import main
from builder.cli.arguments import parser

EVERY = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, BuilderError)]
PUBLIC = [each for each in EVERY if not each.__name__.startswith("_") and each is not BuilderError]


def test_three_parts() -> None:
    error = BuildError("step 'make' ended with exit code 2", where="zlib 1.3.1", hint="read the log")
    assert str(error) == "zlib 1.3.1: step 'make' ended with exit code 2\n  next: read the log"
    assert error.as_dict() == {
        "reason": "build", "message": "step 'make' ended with exit code 2", "where": "zlib 1.3.1", "hint": "read the log",
    }


@pytest.mark.parametrize(("where", "hint", "text"), [
    ("", "", "what"), ("here", "", "here: what"), ("", "do", "what\n  next: do"), ("here", "do", "here: what\n  next: do"),
])
def test_parts_that_are_not_there_are_left_out(where: str, hint: str, text: str) -> None:
    assert str(BuilderError("what", where=where, hint=hint)) == text


def test_all_problems_of_a_file() -> None:
    problems = [Problem("a.toml: name", "is missing"), Problem("a.toml: x", "unknown key", "did you mean 'y'?")]
    error = RecipeError(problems, hint="mend the file")
    assert str(error) == "a.toml: name: is missing\na.toml: x: unknown key (did you mean 'y'?)\n  next: mend the file"
    assert error.as_dict() == {
        "reason": "recipe", "where": "", "hint": "mend the file",
        "message": "a.toml: name: is missing\na.toml: x: unknown key (did you mean 'y'?)",
        "problems": [
            {"place": "a.toml: name", "message": "is missing", "hint": ""},
            {"place": "a.toml: x", "message": "unknown key", "hint": "did you mean 'y'?"},
        ],
    }


@pytest.mark.parametrize("kind", [RecipeError, LockError])
def test_an_error_about_nothing_is_a_mistake_of_ours(kind: type[RecipeError | LockError]) -> None:
    with pytest.raises(AssertionError):
        kind([])


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    rows = [line for line in errors.__doc__.splitlines() if "── " in line]
    drawn: dict[str, tuple[str, int]] = {}
    above = ["BuilderError"]
    for row in rows:
        name, code = row[row.index("── ") + 3 :].split()[:2]
        depth = row.index("── ") // 4
        above[depth:] = [name]
        drawn[name] = (above[depth - 1], int(code))
    real = {each.__name__: (_parent(each), each.exit_code) for each in PUBLIC}
    assert drawn == real


def _parent(kind: type[BuilderError]) -> str:
    return next(each.__name__ for each in kind.__mro__[1:] if not each.__name__.startswith("_"))


def test_each_reason_is_its_own() -> None:
    reasons = [each.reason for each in PUBLIC]
    assert len(set(reasons)) == len(reasons)


PROMISES = {
    0: "done", 1: "the answer is no", 2: "usage", 3: "a source could not be had", 4: "a build failed", 5: "the machine lacks something",
    130: "interrupted",
}


@pytest.mark.parametrize(("kind", "code"), [
    (RefusedError, 1), (UsageError, 2), (SourceError, 3), (BuildError, 4), (MachineError, 5),
])
def test_the_exit_code_of_a_kind(kind: type[BuilderError], code: int) -> None:
    assert kind("x").exit_code == code
    assert code in PROMISES


def test_help_and_code_tell_the_same_exit_codes() -> None:
    text = "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in PROMISES.items()) + "."
    assert text in " ".join(parser().format_help().split())
    assert text in " ".join(inspect.getdoc(main.run).split())  # type: ignore[union-attr]  # it has one
