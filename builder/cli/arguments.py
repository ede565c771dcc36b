"""The arguments of every verb, in one place; help and shell completion are made from the same parser."""

import argparse
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from builder import __version__
from builder.base import platform
from builder.base.errors import UsageError
from builder.cache.noop import Fingerprint
from builder.cli.options import Options
from builder.cli.parser import Parser, meant, port, ports, positive

Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"


def parse(argv: Sequence[str], taken: Mapping[str, Fingerprint] = MappingProxyType({})) -> Options:
    """The arguments of one command line. taken: see `Options`.

    Raises:
        UsageError: they are wrong; for a verb or an option that does not exist, its hint names the nearest one.
    """
    top = parser()
    _check_verb(top, argv)
    options, extra = top.parse_known_args(argv)
    verb = verbs(top).get(options.command, top)
    if extra:
        word = next((each for each in extra if each.startswith("-") and each != "--"), "").partition("=")[0]
        if not word:
            verb.error(f"unexpected: {' '.join(extra)}")
        hint = meant(word, verb.options(), hint=f"`builder help {verb.name}".rstrip() + "` lists the options")
        raise UsageError(f"there is no option {word}", where=verb.name, hint=hint)
    if (words := getattr(options, "words", None)) and words[0].partition("=")[0] in verb.options():
        raise UsageError(
            f"{words[0]} stands behind the package, where the command stands", where=verb.name,
            hint=f"say: builder {shlex.join([verb.name, *words, options.name])}",
        )
    if target := getattr(options, "target", None):
        if options.image not in (None, target):
            verb.error(f"two images: '{target}' and --image {options.image}")
        options.image = target
    told = {name: value for name, value in vars(options).items() if name != "target"}
    return Options(argv=tuple(argv), taken=taken, **told)


def _check_verb(top: Parser, argv: Sequence[str]) -> None:
    """Raise UsageError when another word stands in the verb's place."""
    known = verbs(top)
    word = argv[0].partition("=")[0]
    if word in known or word in top.options():
        return
    verb = next((each for each in argv if each in known), None)
    if not word.startswith("-"):
        raise no_verb(argv[0], known)
    if not any(word in each.options() for each in known.values()):
        raise UsageError(f"there is no option {word}", hint="`builder help VERB` lists the options of a verb")
    if verb is not None and word in known[verb].options():
        words = list(argv)
        words.remove(verb)
        raise UsageError(f"{word} stands before the verb", hint=f"say: builder {shlex.join([verb, *words])}")
    other = next((each for each in argv if not each.startswith("-")), None)
    if other is not None and verb is None:
        raise no_verb(other, known)
    raise UsageError("a verb is missing", hint="`builder help` shows the verbs; options stand after the verb")


def no_verb(word: str, known: Iterable[str]) -> UsageError:
    """The error for a verb that does not exist."""
    hint = meant(word, list(known), hint="`builder help` lists the verbs")
    return UsageError(f"there is no verb '{word}'", hint=hint)


def verbs(top: Parser) -> dict[str, Parser]:
    """The parser of each verb, by name."""
    return {each.name: each for _, group in top.groups for each in group}


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="builder", description="Reproducible, hash-pinned builds of an OpenResty gateway image.",
        epilog="`builder help VERB` shows the options of a verb, with examples.\n\n"
        "Exit codes: 0 done, 1 the answer is no, 2 usage, 3 a source could not be had, 4 a build failed,\n"
        "5 the machine lacks something, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"builder {__version__}")
    commands = top.add_subparsers(dest="command", metavar="VERB")
    for heading, adders in GROUPS:
        before = len(commands.choices)
        for add in adders:
            add(commands)
        top.groups.append((heading, list(commands.choices.values())[before:]))
    return top


def _command(commands: Verbs, name: str, text: str, *examples: str) -> Parser:
    """A verb with the options of all verbs. examples: command lines, each with a comment."""
    shown = "examples:\n" + "\n".join(f"  {each}" for each in examples)
    made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=shown)
    made.name, made.summary = name, text
    made.add_argument("--root", default=".", metavar="DIR", help="the project (default: here or above)")
    made.add_argument("--store", metavar="DIR", help="the store (default: settings, else the user's cache directory)")
    amount = made.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes: warnings and errors only")
    amount.add_argument("-v", "--verbose", action="store_true", help="every task, and every line of builds' logs")
    return made


def _target(made: Parser) -> None:
    made.named("profiles", "--profile", metavar="NAME", help="profile (default: the image's first)")
    made.add_argument("--platform", default=platform.DEFAULT, choices=tuple(platform.PLATFORMS), help="host platform")


def _image(made: Parser, default: str = "gateway", *, positional: bool = False) -> None:
    if positional:
        made.named("images", "target", nargs="?", metavar="IMAGE", help=f"image (default: {default})")
    made.named("images", "--image", metavar="NAME", help="the same" if positional else f"image (default: {default})")
    _target(made)


def _sources(made: Parser) -> None:
    text = "directory with archives, by name or by SHA-256 (repeatable)"
    made.add_argument("--distdir", action="append", default=[], metavar="DIR", help=text)
    made.add_argument("--offline", action="store_true", help="open no socket; list the missing sources")


def _sandboxed(made: Parser) -> None:
    text = "chroot: weaker, root only, where the kernel refuses namespaces"
    made.add_argument("--sandbox", choices=("auto", "chroot"), default="auto", help=text)
    made.add_argument("--cores", type=positive, metavar="N", help="cores that all builds share (default: all)")


def _json(made: Parser) -> None:
    made.add_argument("--json", action="store_true", help="print data as JSON")


def _locked(made: Parser) -> None:
    made.add_argument("--locked", action="store_true", help="the lock must be fresh and complete; write nothing to it")


def _resolve(commands: Verbs) -> None:
    made = _command(
        commands, "resolve", "choose versions and write lock.toml",
        "builder resolve                         # bring lock.toml up to date by the smallest step",
        "builder resolve --update openssl        # let one package move",
        "builder resolve --check                 # write nothing: exit code 1 if the lock is stale",
        "builder resolve --check --update-all    # write nothing: show the changes of an update",
    )
    text = "choose this package anew (repeatable)"
    made.named("packages", "--update", action="append", default=[], metavar="NAME", help=text)
    made.add_argument("--update-all", action="store_true", help="choose every package anew")
    made.add_argument("--check", action="store_true", help="write nothing; exit 1 if the lock is stale")
    _sources(made)
    _json(made)


def _fetch(commands: Verbs) -> None:
    made = _command(
        commands, "fetch", "bring every source of an image, verified",
        "builder fetch                   # all that a build of the default image needs",
        "builder fetch --to archives     # and copy the archives, for a machine without network",
    )
    _image(made, positional=True)
    made.add_argument("--all", action="store_true", help="sources of all images and profiles")
    made.add_argument("--to", metavar="DIR", help="also copy the archives to a directory, for --distdir elsewhere")
    _sources(made)
    _json(made)


def _build(commands: Verbs) -> None:
    made = _command(
        commands, "build", "build an image, or packages, from the lock",
        "builder build                                         # the default image, into out/",
        "builder build openresty --profile upstream            # another image, in another profile",
        "builder build --all                                   # every image whose outputs are required",
        "builder build --dry-run                               # only show the work to do, and why",
        "builder build zlib --keep-failed                      # one package; keep the tree of a failure",
        "builder build --locked --offline --distdir archives   # in CI, without network",
        "builder build --check zlib                            # build again and compare bit for bit",
    )
    made.named("targets", "names", nargs="*", metavar="NAME", help="an image or packages (default: image gateway)")
    made.add_argument("--all", action="store_true", help="every image, in every profile whose outputs are required")
    made.add_argument("--dry-run", action="store_true", help="only show the fetches and builds to do, and why")
    _target(made)
    _sources(made)
    _sandboxed(made)
    made.add_argument("--jobs", type=positive, metavar="N", help="builds at a time (default: one a core)")
    made.add_argument("--keep-going", action="store_true", help="after a failure build all that can still be built")
    made.add_argument("--keep-failed", action="store_true", help="keep the tree of a failed build in out/failed/")
    _locked(made)
    made.add_argument("--allow-weak-sandbox", action="store_true", help="accept chroot's outputs under --locked")
    made.add_argument("--check", action="store_true", help="build again under other conditions and compare bit for bit")
    made.add_argument("--compression", choices=("gzip", "zstd"), default="gzip", help="format of the layers")
    made.add_argument("--out", metavar="DIR", help="directory of the images (default: out/ of the project)")
    _json(made)


def _test(commands: Verbs) -> None:
    made = _command(
        commands, "test", "run Test::Nginx files against the nginx of an image",
        "builder test                                  # all of t/",
        "builder test t/routing.t --filter 'redirect'  # some blocks of one file",
        "builder test --suite ../lua-resty-x/t         # the tests of a component",
    )
    made.add_argument("paths", nargs="*", metavar="PATH", help="files and directories of the suite (default: all)")
    made.add_argument("--suite", metavar="DIR", help="test directory instead of t/; its tests see its parent, too")
    made.add_argument("--filter", metavar="REGEX", help="only blocks whose title matches, and files whose name does")
    made.add_argument("--junit", metavar="FILE", help="also write a JUnit XML report")
    made.add_argument("--limit", type=positive, default=120, metavar="SECONDS", help="limit of a file (default: 120)")
    made.add_argument("--jobs", type=positive, metavar="N", help="files at a time (default: one a core)")
    _image(made, "gateway-test")
    _sources(made)
    _locked(made)
    _json(made)


def _run(commands: Verbs) -> None:
    made = _command(
        commands, "run", "run the gateway of an image on this machine, with the checkout's Lua in it",
        "builder run --policy policy.json                   # http on 8080, https on 8443, until Ctrl-C",
        "builder run --policy policy.json --port 9000:80    # port 9000 serves the rules of port 80",
        "builder run --reload                               # in another terminal, after an edit under lua/",
    )
    made.add_argument("--policy", metavar="FILE", help="the policy file; replace it, and the gateway follows")
    made.add_argument("--reload", action="store_true", help="let the running gateway take the edits under lua/")
    for option, name, own, rules in (("--port", "HTTP", 8080, 80), ("--tls-port", "HTTPS", 8443, 443)):
        text = f"{name}: HOST_PORT:POLICY_PORT, for example {own}:{rules} (repeatable; default: {own}:{rules})"
        made.add_argument(option, type=ports(rules), action="append", metavar=f"PORT[:{rules}]", help=text)
    made.add_argument("--status-port", type=port, metavar="PORT", help="port of /status and /metrics (default: 1936)")
    made.add_argument("--listen", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    made.add_argument("--workers", type=positive, metavar="N", help="worker processes (default: one a core)")
    _image(made, positional=True)
    _sources(made)
    _locked(made)


def _audit(commands: Verbs) -> None:
    made = _command(
        commands, "audit", "check the lock against recipes, sources and store",
        "builder audit                  # exit code 1 when there is a finding",
        "builder audit --since main     # the changes since a git revision, and their findings",
        "builder audit --rules          # the list of rules",
    )
    _image(made, "all images", positional=True)
    made.add_argument("--all", action="store_true", help="every image and profile, also those with optional outputs")
    made.add_argument("--since", metavar="REV", help="compare with the lock of a git revision")
    made.add_argument("--rules", action="store_true", help="list the rules and end")
    _json(made)


def _shell(commands: Verbs) -> None:
    made = _command(
        commands, "shell", "open the sandbox of a package as its build sees it",
        "builder shell zlib                # an interactive shell",
        "builder shell zlib ls /sources    # one command in it",
        "builder shell --failed zlib       # the tree that build --keep-failed left",
    )
    made.named("packages", "name", metavar="NAME", help="a package")
    made.add_argument("--failed", action="store_true", help="enter the tree that build --keep-failed left, as it is")
    words = made.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="run it instead of a shell")
    words.required = False
    _image(made)
    _sources(made)
    _sandboxed(made)


def _graph(commands: Verbs) -> None:
    made = _command(
        commands, "graph", "show the packages of an image and their dependencies",
        "builder graph --runtime                     # packages in the image, without tools",
        "builder graph openresty --format svg        # a drawing of all of it",
    )
    _image(made, positional=True)
    made.add_argument("--format", choices=("text", "dot", "svg"), default="text", help="output format (default: text)")
    made.add_argument("--runtime", action="store_true", help="leave out packages that only builds need")
    _json(made)


def _why(commands: Verbs) -> None:
    made = _command(
        commands, "why", "show why one package needs another", "builder why gateway zlib    # every shortest chain"
    )
    made.named("targets", "dependant", metavar="A", help="a package or image")
    made.named("packages", "dependency", metavar="B", help="a package")
    _image(made)
    _json(made)


def _log(commands: Verbs) -> None:
    made = _command(commands, "log", "print the log of a package's build", "builder log nginx    # its last build")
    made.named("packages", "name", metavar="NAME", help="a package")
    _image(made)
    _json(made)


def _list(commands: Verbs) -> None:
    made = _command(
        commands, "list", "list packages with version, state and size",
        "builder list                      # the default image",
        "builder list openresty --json     # another image, as data",
    )
    _image(made, positional=True)
    _json(made)


def _store(commands: Verbs) -> None:
    made = _command(
        commands, "store", "look after the store",
        "builder store path                 # its directory",
        "builder store roots                # the projects' roots in it, with their sizes",
        "builder store verify --remove      # find every flipped bit, and remove damaged entries",
    )
    text = "path: print its directory; roots: list the projects' roots; verify: read it all and find every flipped bit"
    made.add_argument("action", choices=("path", "roots", "verify"), metavar="{path,roots,verify}", help=text)
    made.add_argument("--remove", action="store_true", help="with verify: remove damaged entries, to be made again")
    _json(made)


def _gc(commands: Verbs) -> None:
    made = _command(
        commands, "gc", "remove from the store all that no project needs",
        "builder gc --dry-run     # show the removals, and remove nothing",
        "builder gc --archives    # downloaded archives, too",
    )
    made.add_argument("--archives", action="store_true", help="remove downloaded archives that no root keeps, too")
    made.add_argument("--dry-run", action="store_true", help="only show the removals")
    _json(made)


def _doctor(commands: Verbs) -> None:
    made = _command(
        commands, "doctor", "check whether this machine can build",
        "builder doctor              # each check, and the remedy where one fails",
        "builder doctor --offline    # without asking mirror and index",
    )
    made.add_argument("--offline", action="store_true", help="open no socket; mirror and index are not asked")
    _json(made)


def _clean(commands: Verbs) -> None:
    made = _command(
        commands, "clean", "remove the builder's files from out/",
        "builder clean --dry-run    # show the removals, and remove nothing",
    )
    made.add_argument("--dry-run", action="store_true", help="only show the removals")
    _json(made)


def _schema(commands: Verbs) -> None:
    made = _command(
        commands, "schema", "print the JSON Schema of a kind of file, or of a verb's --json output",
        "builder schema recipe         # for an editor",
        "builder schema output list    # the output of `builder list --json`",
    )
    made.add_argument("kind", choices=("recipe", "image", "profile", "output"), help="kind of file, or output")
    made.named("documents", "document", nargs="?", metavar="KIND", help="with output: kind of document, like a verb")


def _completion(commands: Verbs) -> None:
    made = _command(
        commands, "completion", "print shell completion",
        "builder completion bash > ~/.local/share/bash-completion/completions/builder",
    )
    made.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def _version(commands: Verbs) -> None:
    _json(_command(commands, "version", "print the version of the builder", "builder version --json    # as data"))


def _help(commands: Verbs) -> None:
    made = _command(commands, "help", "show the verbs, or the options of one", "builder help build    # its options")
    made.named("verbs", "verb", nargs="?", metavar="VERB", help="a verb (default: all verbs)")


GROUPS: tuple[tuple[str, tuple[Callable[[Verbs], None], ...]], ...] = (
    ("build", (_resolve, _fetch, _build, _test, _run)),
    ("look", (_list, _graph, _why, _log, _audit, _shell)),
    ("tidy", (_store, _gc, _clean)),
    ("help", (_help, _doctor, _version, _schema, _completion)),
)
