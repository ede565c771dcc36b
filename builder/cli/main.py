"""From arguments to an exit code. Data goes to stdout, messages go to stderr."""

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from builder.base.errors import FEWER_FILES, BuilderError, MachineError
from builder.cache.noop import Fingerprint
from builder.cli import arguments
from builder.cli.options import Options


def run(argv: list[str], taken: Mapping[str, Fingerprint] = MappingProxyType({})) -> int:
    """Run one command. taken: fingerprints that were taken before anything was read.

    Exit codes: 0 done, 1 the answer is no, 2 usage, 3 a source could not be had, 4 a build failed, 5 the machine lacks
    something, 130 interrupted.
    """
    os.umask(0o022)
    as_json = "--json" in argv and argv[0] != "shell"  # the words after a shell's package are not the builder's
    try:
        code = _answer(argv, taken)
        sys.stdout.flush()
        return code
    except BuilderError as error:
        _tell(error, as_json)
        return error.exit_code
    except BrokenPipeError:  # the reader of stdout has gone
        _close_stdout()
        return 141
    except OSError as error:
        _tell(_machine(error), as_json)
        return MachineError.exit_code
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't start new thread" not in str(error):
            raise
        hint = "raise the limits of memory and processes (`ulimit -v`, `ulimit -u`), then run the command again"
        _tell(MachineError("this machine gives the command no more memory, or no more threads", hint=hint), as_json)
        return MachineError.exit_code
    except KeyboardInterrupt:
        tests = "finished builds stay, tests begin again"
        others = "nothing is lost, the same command goes on where it was"
        sys.stderr.write(f"builder: interrupted; {tests if argv[:1] == ['test'] else others}\n")
        return 130


def _machine(error: OSError) -> MachineError:
    """The error for a refusal of the operating system that no module explained."""
    message, where = error.strerror or str(error), error.filename
    if error.args and isinstance(error.args[0], list):  # shutil.Error: a list of (from, to, message)
        _, where, said = error.args[0][0]
        message = re.sub(r"^\[Errno \d+\] ([^:]*).*", r"\1", said, flags=re.DOTALL)
    if where is None and _cannot_flush():
        where = "stdout"
    hint = FEWER_FILES if error.errno == errno.EMFILE else "check the permissions and the space that is left there"
    return MachineError(message, where=str(where or ""), hint=hint)


def _cannot_flush() -> bool:
    """Whether the rest for stdout cannot be written; it is dropped then, or Python would fail with it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        _close_stdout()
        return True
    return False


def _close_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer(argv: list[str], taken: Mapping[str, Fingerprint]) -> int:
    if not argv:  # as git does: a script that lost its verb must not go on
        sys.stderr.write(arguments.parser().format_help())
        return 2
    if argv[0] == "--names":
        from builder.cli import names  # noqa: PLC0415 - for a shell that completes a word

        return names.tell(argv[1:])
    options = arguments.parse(argv, taken)
    return verb(options.command)(options)


def verb(name: str) -> Callable[[Options], int]:
    """The function of a verb."""
    found: Callable[[Options], int] = import_module(f"builder.cli.verbs.{name}").run
    return found


def _tell(error: BuilderError, as_json: bool) -> None:
    from builder.progress.clean import clean_lines  # noqa: PLC0415 - logs in a message must not steer the terminal

    if as_json:
        from builder.cli import output  # noqa: PLC0415

        output.say(output.error_document(error))
    sys.stderr.write(clean_lines(f"builder: {error}") + "\n")
