"""The arguments of every command, in one place: the parser is also what shell completion is made from."""

import argparse
from collections.abc import Callable

from builder import __version__

Command = Callable[[argparse.Namespace, list[str]], int]


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="builder", description="Reproducible, hash-pinned builds of an OpenResty gateway image.",
        epilog="Exit codes: 0 done, 1 the answer is no, 2 usage, 3 a source could not be had, 4 a build failed, "
        "5 the machine lacks something, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"builder {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_resolve, _fetch, _build, _test, _run, _audit, _shell, _graph, _why, _log, _list, _gc, _store, _schema, _completion):
        add(commands)
    return top


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.add_argument("--root", default=".", metavar="DIR", help="the project (default: here or above)")
    made.add_argument("--store", metavar="DIR", help="the store (default: settings, else the user's cache folder)")
    return made


def _target(made: argparse.ArgumentParser) -> None:
    made.add_argument("--profile", metavar="NAME", help="profile (default: the image's first)")
    made.add_argument("--platform", default="x86_64-linux-musl", choices=("x86_64-linux-musl", "aarch64-linux-musl"))


def _image(made: argparse.ArgumentParser) -> None:
    made.add_argument("--image", metavar="NAME", help="image (default: gateway)")
    _target(made)


def _sources(made: argparse.ArgumentParser) -> None:
    text = "folder with archives, by name or by SHA-256 (repeatable)"
    made.add_argument("--distdir", action="append", default=[], metavar="DIR", help=text)
    made.add_argument("--offline", action="store_true", help="open no socket; what is missing is listed")


def _sandboxed(made: argparse.ArgumentParser) -> None:
    text = "chroot: weaker, root only, where the kernel refuses namespaces"
    made.add_argument("--sandbox", choices=("auto", "chroot"), default="auto", help=text)
    made.add_argument("--cores", type=_positive, metavar="N", help="cores that all builds share (default: all)")


def _json(made: argparse.ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", help="print data as JSON")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, at least 1")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 1 to 65535")
    return int(text)


def _ports(rules: int) -> Callable[[str], tuple[int, int]]:
    """Of "8080:80": where it listens, and the port of the policy whose rules it takes; that one may be left out."""

    def parse(text: str) -> tuple[int, int]:
        own, found, policy = text.partition(":")
        return _port(own), _port(policy) if found else rules

    return parse


def _resolve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "resolve", "choose versions and write lock.toml")
    made.add_argument("--update", action="append", default=[], metavar="NAME", help="choose this package anew (repeatable)")
    made.add_argument("--update-all", action="store_true", help="choose every package anew")
    made.add_argument("--check", action="store_true", help="write nothing; exit 1 if the lock is stale")
    _sources(made)
    _json(made)


def _fetch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "fetch", "bring every source of an image, verified")
    _image(made)
    made.add_argument("--all", action="store_true", help="of all images and profiles")
    made.add_argument("--to", metavar="DIR", help="also copy the archives to a folder, for --distdir elsewhere")
    _sources(made)
    _json(made)


def _build(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "build", "build an image, or packages, from the lock")
    made.add_argument("names", nargs="*", metavar="NAME", help="an image or packages (default: image gateway)")
    made.add_argument("--all", action="store_true", help="every image, in every profile whose outputs are required")
    made.add_argument("--dry-run", action="store_true", help="only say what would be fetched and built, and why")
    _target(made)
    _sources(made)
    _sandboxed(made)
    made.add_argument("--jobs", type=_positive, metavar="N", help="builds at a time (default: one a core)")
    made.add_argument("--keep-going", action="store_true", help="after a failure build all that does not need it")
    made.add_argument("--keep-failed", action="store_true", help="keep the tree of a failed build in out/failed/")
    made.add_argument("--locked", action="store_true", help="the lock must be fresh and hold every output; write nothing to it")
    made.add_argument("--allow-weak-sandbox", action="store_true", help="with --locked, accept outputs of --sandbox chroot")
    made.add_argument("--check", action="store_true", help="build again under other conditions and compare bit for bit")
    made.add_argument("--compression", choices=("gzip", "zstd"), default="gzip", help="of the layers")
    made.add_argument("--out", metavar="DIR", help="where images go (default: out/ of the project)")
    _json(made)


def _test(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "test", "run Test::Nginx files against the nginx of an image")
    made.add_argument("paths", nargs="*", metavar="PATH", help="files and folders of the suite (default: all of it)")
    made.add_argument("--suite", metavar="DIR", help="another folder of test files than t/; the folder above it is shown to them, too")
    made.add_argument("--filter", metavar="REGEX", help="only blocks whose title fits, and files whose name does")
    made.add_argument("--junit", metavar="FILE", help="also write a report as JUnit's XML")
    made.add_argument("--limit", type=_positive, default=120, metavar="SECONDS", help="of a file (default: 120)")
    made.add_argument("--jobs", type=_positive, metavar="N", help="files at a time (default: one a core)")
    made.add_argument("--image", metavar="NAME", help="image (default: gateway-test)")
    _target(made)
    _sources(made)
    made.add_argument("--locked", action="store_true", help="the lock must be fresh and hold every output; write nothing to it")
    _json(made)
    made.set_defaults(sandbox="auto", cores=None, compression="gzip", out=None)


def _run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "run", "run the gateway of an image on this machine, with the checkout's Lua in it")
    made.add_argument("--policy", metavar="FILE", help="the policy file; replace it, and the gateway follows")
    made.add_argument("--reload", action="store_true", help="have the one that runs take what was edited under lua/")
    text = "where it listens for {}, and the port of the policy whose rules that takes (repeatable; default: {})"
    made.add_argument("--port", type=_ports(80), action="append", metavar="PORT[:80]", help=text.format("http", "8080:80"))
    made.add_argument("--tls-port", type=_ports(443), action="append", metavar="PORT[:443]", help=text.format("https", "8443:443"))
    made.add_argument("--status-port", type=_port, metavar="PORT", help="of /status and /metrics (default: 1936)")
    made.add_argument("--listen", metavar="ADDRESS", help="on which address (default: 127.0.0.1)")
    made.add_argument("--workers", type=_positive, metavar="N", help="worker processes (default: one a core)")
    made.add_argument("--image", metavar="NAME", help="image (default: gateway)")
    _target(made)
    _sources(made)
    made.add_argument("--locked", action="store_true", help="the lock must be fresh and hold every output; write nothing to it")
    made.set_defaults(sandbox="auto", cores=None, jobs=None, compression="gzip", out=None)


def _audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "audit", "check the lock against recipes, sources and store")
    _image(made)
    made.add_argument("--all", action="store_true", help="every image and profile, also those whose outputs need not be pinned")
    made.add_argument("--since", metavar="REV", help="compare with the lock of a git revision")
    made.add_argument("--rules", action="store_true", help="list the rules and end")
    _json(made)


def _shell(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "shell", "open the sandbox of a package as its build sees it")
    made.add_argument("name", metavar="NAME", help="a package")
    made.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run instead of a shell")
    _image(made)
    _sources(made)
    _sandboxed(made)


def _graph(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "graph", "show what an image is made of")
    _image(made)
    made.add_argument("--format", choices=("text", "dot", "svg"), default="text")
    made.add_argument("--runtime", action="store_true", help="leave out what only builds need")
    _json(made)


def _why(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "why", "show why one package needs another")
    made.add_argument("who", metavar="A", help="a package or image")
    made.add_argument("needs", metavar="B", help="a package")
    _image(made)
    _json(made)


def _log(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "log", "print the log of a package's build")
    made.add_argument("name", metavar="NAME", help="a package")
    _image(made)


def _list(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "list", "list packages with version, state and size")
    _image(made)
    _json(made)


def _gc(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "gc", "remove from the store what no project needs")
    made.add_argument("--archives", action="store_true", help="remove downloaded archives that no root keeps, too")
    _json(made)


def _store(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "store", "look after the store")
    text = "verify: read everything and find every flipped bit; path: print where it lies"
    made.add_argument("action", choices=("verify", "path"), help=text)
    made.add_argument("--remove", action="store_true", help="with verify: remove what is damaged, so that it is fetched or built again")
    _json(made)


def _schema(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "schema", "print the JSON Schema of a kind of file, for editors")
    made.add_argument("kind", choices=("recipe", "image", "profile"))


def _completion(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = _command(commands, "completion", "print shell completion")
    made.add_argument("shell", choices=("bash", "zsh", "fish"))
