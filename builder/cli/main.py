"""From arguments to an exit code. stdout is data, stderr is people."""

import os
import sys

from builder.cli import arguments
from builder.errors import BuilderError, MachineError


def run(argv: list[str]) -> int:
    """Run one command.

    Exit codes: 0 done, 1 the answer is no, 2 usage, 3 a source could not be had, 4 a build failed, 5 the machine lacks
    something, 130 interrupted.
    """
    os.umask(0o022)
    as_json = "--json" in argv and argv[0] != "shell"  # the words after a shell's package are not the builder's
    try:
        return _answer(argv)
    except BuilderError as error:
        _tell(error, as_json)
        return error.exit_code
    except BrokenPipeError:  # the reader of stdout has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        hint = "check the folder's permissions and the space that is left"
        _tell(MachineError(error.strerror or str(error), where=str(error.filename or ""), hint=hint), as_json)
        return MachineError.exit_code
    except KeyboardInterrupt:
        tests = "what was built stays, tests begin again"
        others = "nothing is lost, the same command goes on where it was"
        sys.stderr.write(f"builder: interrupted; {tests if argv[:1] == ['test'] else others}\n")
        return 130


def _answer(argv: list[str]) -> int:
    if not argv:  # as git does: a script that lost its verb must not go on
        sys.stderr.write(arguments.parser().format_help())
        return 2
    if argv[0] == "--names":
        from builder.cli import names  # noqa: PLC0415 - for a shell that completes a word

        return names.tell(argv[1:])
    options = arguments.parse(argv)
    from builder.cli import commands  # noqa: PLC0415 - `--help` and bad arguments need none of it

    return commands.COMMANDS[options.command](options, argv)


def _tell(error: BuilderError, as_json: bool) -> None:
    from builder.reporter import clean_lines  # noqa: PLC0415 - logs in a message must not steer the terminal

    if as_json:
        from builder.cli import output  # noqa: PLC0415

        output.say(output.error_document(error))
    sys.stderr.write(clean_lines(f"builder: {error}") + "\n")
