"""The command line: arguments, exit codes, what goes to stdout and stderr. The project needs no sandbox and no network."""

import hashlib
import json
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import small
from small import Small

import builder
from builder import __main__ as start
from builder.base.errors import BuilderError, BuildError, MachineError, RefusedError, SourceError, UsageError
from builder.cache import noop
from builder.cli import main
from builder.cli import verbs as modules
from builder.cli.arguments import parse, parser, verbs
from builder.lock import text as lock_text

PLATFORM = "x86_64-linux-musl"
COMMANDS = ("resolve", "fetch", "build", "test", "run", "list", "graph", "why", "log", "audit", "shell", "store", "gc", "clean", "help",
            "doctor", "version", "schema", "completion")  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    return made


def usage_error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What bad arguments get, without "builder: "; their exit code is 2, and what to do next is said."""
    assert main.run(list(argv)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "\n  next: " in said.err
    return said.err.removeprefix("builder: ").rstrip("\n")


# ---- arguments


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main.run(["--version"])
    assert (error.value.code, capsys.readouterr().out) == (0, f"builder {builder.__version__}\n")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main.run(["--help"])
    assert error.value.code == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ") and line[4] != " "]
    assert tuple(listed) == COMMANDS
    assert {each.name for each in pkgutil.iter_modules(modules.__path__)} == {*COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main.run([command, "--help"])
    assert error.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: builder {command} ")


@pytest.mark.parametrize(("argv", "text"), [
    (["build", "--jobs", "0"], "build: argument --jobs: '0' is not a whole number, at least 1\n  next: `builder help build` shows"),
    (["build", "--jobs", "-1"], "build: argument --jobs: '-1' is not a whole number, at least 1\n"),
    (["build", "--cores", "two"], "build: argument --cores: 'two' is not a whole number, at least 1\n"),
    (["build", "--cores", "\u00b2"], "build: argument --cores: '\u00b2' is not a whole number, at least 1\n"),
    (["build", "--sandbox"], "build: argument --sandbox: expected one argument\n"),
    (["list", "one", "two"], "list: unexpected: two\n"),
    (["list", "one", "--image", "two"], "list: two images: 'one' and --image two\n"),
    (["list", "-q", "-v"], "list: argument -v/--verbose: not allowed with argument -q/--quiet\n"),
    (["why", "a"], "why: the following arguments are required: B\n"),
    (["schema", "recipe", "list"], "schema: unexpected: list\n  next: say `builder schema output KIND`"),
    (["schema", "output", "lst"], "there is no kind of document 'lst'\n  next: did you mean 'list'?"),
    (["--zzz"], "there is no option --zzz\n  next: `builder help VERB` lists the options of a verb"),
    (["--"], "there is no option --\n"),
])
def test_bad_arguments(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(capsys, *argv).startswith(text)


@pytest.mark.parametrize("argv", [
    ["build", "--platform", "mips"], ["build", "--sandbox", "none"], ["build", "--compression", "lzma"],
    ["graph", "--format", "png"], ["store", "burn"], ["schema", "lock"], ["completion", "tcsh"],
])
def test_words_that_are_not_known(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = usage_error(capsys, *argv)
    assert f"'{argv[-1]}' is none of: " in text
    assert "argument action" not in text


@pytest.mark.parametrize(("argv", "meant"), [
    (["graph", "--format", "svgg"], "svg"), (["store", "verfy"], "verify"), (["schema", "outpt"], "output"),
    (["completion", "bsh"], "bash"), (["build", "--platform", "aarch64"], "aarch64-linux-musl"),
])
def test_the_choice_that_was_meant(argv: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(capsys, *argv).endswith(f"\n  next: did you mean '{meant}'?")


@pytest.mark.parametrize(("argv", "text"), [
    (["biuld"], "there is no verb 'biuld'\n  next: did you mean 'build'?"),
    (["zzzzz"], "there is no verb 'zzzzz'\n  next: `builder help` lists the verbs"),
    (["help", "lits"], "there is no verb 'lits'\n  next: did you mean 'list'?"),
    (["build", "--offlien"], "build: there is no option --offlien\n  next: did you mean '--offline'?"),
    (["build", "--keep-goin", "zlib"], "build: there is no option --keep-goin\n  next: did you mean '--keep-going'?"),
    (["shell", "--offlien", "zlib"], "shell: there is no option --offlien\n  next: did you mean '--offline'?"),
    (["list", "--imgae=gateway"], "list: there is no option --imgae\n  next: did you mean '--image'?"),
    (["-q", "build"], "-q stands before the verb\n  next: say: builder build -q"),
    (["--root", "/x", "list"], "--root stands before the verb\n  next: say: builder list --root /x"),
    (["--root=/x", "list", "-q"], "--root stands before the verb\n  next: say: builder list --root=/x -q"),
    (["-q", "biuld"], "there is no verb 'biuld'\n  next: did you mean 'build'?"),
    (["-q"], "a verb is missing\n  next: `builder help` shows the verbs; options stand after the verb"),
    (["help", "--jobs"], "help: there is no option --jobs\n  next: `builder help help` lists the options"),
    (["shell"], "shell: the following arguments are required: NAME\n  next: `builder help shell` shows the choices"),
    (["shell", "zlib", "--failed"], "shell: --failed stands behind the package, where the command stands\n"
     "  next: say: builder shell --failed zlib"),
    (["store"], "store: the following arguments are required: {path,roots,verify}\n  next: `builder help store` shows the choices"),
    (["list", "--zzzzz"], "list: there is no option --zzzzz\n  next: `builder help list` lists the options"),
])
def test_the_word_that_was_meant(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(capsys, *argv) == text


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_option_can_be_abbreviated(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a script breaks on the day that a second option begins the same."""
    words = {"why": ["a", "b"], "log": ["a"], "shell": ["a"], "store": ["path"], "schema": ["recipe"], "completion": ["bash"]}
    for option in verbs(parser())[verb].options():
        if len(option) > 4:
            text = usage_error(capsys, verb, option[:-1], *words.get(verb, []))
            assert text.startswith(f"{verb}: there is no option {option[:-1]}\n  next: did you mean '--"), text


def test_every_verb_can_be_quiet_or_verbose() -> None:
    for verb, each in verbs(parser()).items():
        assert {"-q", "--quiet", "-v", "--verbose"} <= set(each.options()), verb


def test_no_verb_at_all_shows_the_verbs_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    bare = capsys.readouterr()
    assert main.run(["help"]) == 0
    assert (bare.out, bare.err) == ("", capsys.readouterr().out)


def test_help_of_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", "why"]) == 0
    assert capsys.readouterr().out.startswith("usage: builder why ")


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_shows_examples_that_parse(verb: str) -> None:
    text = verbs(parser())[verb].format_help()
    lines = [line.strip() for line in text[text.index("examples:\n") :].splitlines()[1:]]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0], comments=True)
        assert words[:2] == ["builder", verb], line
        assert parse(words[1:]).command == verb


@pytest.mark.parametrize("verb", ["list", "graph", "audit", "fetch", "run"])
def test_an_image_is_named_by_a_word_or_by_an_option(verb: str) -> None:
    assert parse([verb, "one"]).image == parse([verb, "--image", "one"]).image == parse([verb, "one", "--image", "one"]).image == "one"
    assert parse([verb]).image is None


def test_usage_errors_are_data_under_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", "--json", "--imgae", "x"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "version": 1, "kind": "error",
        "error": {"reason": "usage", "where": "list", "message": "there is no option --imgae", "hint": "did you mean '--image'?"},
    }
    assert said.err == "builder: list: there is no option --imgae\n  next: did you mean '--image'?\n"


def test_defaults_of_a_build() -> None:
    found = vars(parser().parse_args(["build"]))
    assert found == {
        "command": "build", "names": [], "root": ".", "store": None, "quiet": False, "verbose": False, "profile": None,
        "platform": PLATFORM, "distdir": [], "offline": False, "sandbox": "auto", "cores": None, "jobs": None, "keep_going": False,
        "keep_failed": False, "locked": False, "allow_weak_sandbox": False, "check": False, "compression": "gzip", "out": None,
        "json": False,
        "all": False, "dry_run": False,
    }


def test_words_after_a_shells_package_are_its_own() -> None:
    found = parser().parse_args(["shell", "--profile", "p", "zlib", "ls", "-l", "--json"])
    assert (found.profile, found.name, found.words) == ("p", "zlib", ["ls", "-l", "--json"])


# ---- exit codes


@pytest.mark.parametrize(("error", "code", "text"), [
    (RefusedError("no", where="x", hint="y"), 1, "builder: x: no\n  next: y\n"),
    (UsageError("what"), 2, "builder: what\n"),
    (SourceError("gone"), 3, "builder: gone\n"),
    (BuildError("broke\n  | \x1b[31mred\x07"), 4, "builder: broke\n  | red\n"),
    (MachineError("full"), 5, "builder: full\n"),
])
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_told_on_stderr(
    project: Small, monkeypatch: pytest.MonkeyPatch, error: BuilderError, code: int, text: str, as_json: bool
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(main, "verb", lambda _: fail)
    answer = project.run("list", *(["--json"] if as_json else []))
    assert (answer.code, answer.err.replace(" \n", "\n")) == (code, text)
    if as_json:
        assert answer.json == {"error": error.as_dict()}
    else:
        assert answer.out == ""


def test_an_interrupt(project: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "verb", lambda _: interrupt)
    answer = project.run("list")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "builder: interrupted; nothing is lost, the same command goes on where it was\n"


def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(main, "verb", lambda _: gone)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main.run(["list"]) == 141
        out.write("more")  # goes nowhere, and does not fail
    assert (tmp_path / "out").read_text() == ""


def test_the_umask_of_the_user_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(*_: object) -> int:
        seen.append(os.umask(0o022))
        return 0

    monkeypatch.setattr(main, "verb", lambda _: look)
    before = os.umask(0o077)
    try:
        assert main.run(["list"]) == 0
    finally:
        os.umask(before)
    assert seen == [0o022]


# ---- errors of a user, whole


@pytest.mark.parametrize(("argv", "text"), [
    (["list", "--image", "nope"], "builder: there is no image 'nope'\n  next: images here: openresty\n"),
    (["audit", "openrsty"], "builder: the lock has no image 'openrsty' in other, small\n  next: did you mean 'openresty'?\n"),
    (["list", "openrsty"], "builder: there is no image 'openrsty'\n  next: did you mean 'openresty'?\n"),
    (
        ["list", "--profile", "nope"],
        "builder: image 'openresty' does not resolve in profile 'nope'\n  next: known here: other, small\n",
    ),
    (["build", "helo"], "builder: there is no package 'helo' in profile 'small'\n  next: did you mean 'hello'?\n"),
    (["resolve", "--update", "wrld"], "builder: there is no recipe 'wrld' to update\n  next: did you mean 'world'?\n"),
    (["why", "world", "base2"], "builder: there is no 'base2' in the graph\n  next: did you mean 'base'?\n"),
])
def test_what_is_not_there(project: Small, argv: list[str], text: str) -> None:
    assert project.run("resolve").code == 0
    answer = project.run(*argv)
    assert (answer.code, answer.out, answer.err) == (2, "", text)


def test_no_project(tmp_path: Path, project: Small) -> None:
    answer = project.run("list", "--root", str(tmp_path))
    assert (answer.code, answer.err) == (
        2, f"builder: {tmp_path}: there is no directory recipes/ here or above\n"
        "  next: change into the project, or name it with --root DIR\n"
    )


def test_all_problems_of_the_recipes(project: Small) -> None:
    project.replace("recipes/hello.toml", 'style = "prebuilt"', 'style = "prebuild"')
    project.replace("recipes/base.toml", 'tools = ""', 'tool = ""')
    answer = project.run("build", "--json")
    assert answer.code == 2
    assert [each["place"] for each in answer.json["error"]["problems"]] == ["recipes/base.toml: tool", "recipes/hello.toml: build.style"]
    assert answer.json["error"]["problems"][1] == {
        "place": "recipes/hello.toml: build.style", "hint": "did you mean 'prebuilt'?",
        "message": "'prebuild' is not one of configure-make, make, nginx, copy, script, prebuilt, union",
    }


def test_a_log_of_what_needs_no_sandbox(project: Small) -> None:
    project.run("build")
    answer = project.run("log", "hello")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith(
        ".log: there is no log of hello 1\n  next: it was never built here in this form, or is made without a sandbox\n"
    )


def test_a_shell_in_what_needs_no_sandbox(project: Small) -> None:
    answer = project.run("shell", "world", "ls")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("builder: world 2 is made without a sandbox\n  next: there is nothing to look into\n")


# ---- resolve


def test_resolve(project: Small) -> None:
    first = project.run("resolve")
    assert (first.code, first.err) == (0, "")
    assert first.out == f"{project.root}/lock.toml: written, 3 packages\n"
    again = project.run("resolve")
    assert again.out == f"{project.root}/lock.toml: unchanged, 3 packages\n"
    project.replace("recipes/hello.toml", 'version = "1"', 'version = "1.1"')
    changed = project.run("resolve", "--json")
    assert (changed.code, changed.json["changed"]) == (0, True)
    assert changed.json["changes"][0] == "hello 1 -> 1.1 (other, small)"


def test_resolve_check(project: Small) -> None:
    answer = project.run("resolve", "--check")
    assert (answer.code, answer.out, answer.err) == (1, "", "stale: there is no lock.toml\n")
    assert not (project.root / "lock.toml").exists()
    project.run("resolve")
    before = (project.root / "lock.toml").read_bytes()
    assert project.run("resolve", "--check").code == 0
    project.replace("recipes/hello.toml", 'version = "1"', 'version = "1.1"')
    answer = project.run("resolve", "--check", "--json")
    assert (answer.code, answer.json["stale"]) == (1, True)
    assert answer.json["reasons"][0] == "hello 1 -> 1.1 (other, small)"
    assert (project.root / "lock.toml").read_bytes() == before


# ---- build


def test_build(project: Small) -> None:
    answer = project.run("build")
    assert answer.code == 0
    layer = project.root / "out/openresty/layer.tar.gz"
    shown = os.path.relpath(layer)
    assert f"file      {layer if shown.startswith('..') else shown}\n" in answer.out
    assert "builder" not in answer.out
    assert "building world 2" in answer.err
    lock = lock_text.parse((project.root / "lock.toml").read_text())
    built = {each.id for each in lock.packages if PLATFORM in each.outputs}
    assert built == {"base 1", "hello 1", "world 2"}


def test_build_as_data(project: Small) -> None:
    (found,) = project.run("build", "--json").json
    assert sorted(found) == ["file", "image", "layer", "manifest", "path", "profile", "realised", "text"]
    assert (found["image"], found["profile"], found["realised"]) == ("openresty", "small", ["base 1", "hello 1", "world 2"])
    lock = lock_text.parse((project.root / "lock.toml").read_text())
    image = lock.image("openresty", "small")
    assert image is not None
    assert found["layer"].removeprefix("sha256:") == image.outputs[PLATFORM].layer
    index = json.loads((Path(found["path"]) / "index.json").read_text())
    assert index["manifests"][0]["digest"].removeprefix("sha256:") == found["manifest"].removeprefix("sha256:")


def tree_of_bytes(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.rglob("*") if each.is_file()}


def test_a_build_is_the_same_everywhere(project: Small, tmp_path: Path) -> None:
    project.run("build")
    other = small.make(tmp_path / "deeper/and/elsewhere", project.capture)
    assert other.run("build", "--root", str(other.root), "--store", str(tmp_path / "store")).code == 0
    assert tree_of_bytes(other.root / "out") == tree_of_bytes(project.root / "out")
    assert (other.root / "lock.toml").read_bytes() == (project.root / "lock.toml").read_bytes()


def test_nothing_to_do_changes_nothing(project: Small) -> None:
    first = project.run("build")
    before = {each: each.stat().st_mtime_ns for each in project.root.rglob("*")}
    again = project.run("build")
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert {each: each.stat().st_mtime_ns for each in project.root.rglob("*")} == before


def test_a_lost_store_builds_nothing_that_out_has(project: Small, tmp_path: Path) -> None:
    project.run("build")
    again = project.run("build", "--json", "--store", str(tmp_path / "other"))
    assert again.code == 0
    assert again.json[0]["layer"] == project.run("build", "--json").json[0]["layer"]


def test_locked(project: Small) -> None:
    project.run("resolve")
    answer = project.run("build", "--locked")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"builder: lock.toml, platform {PLATFORM}: the lock pins no output for these inputs: base 1, hello 1, world 2\n"
        "  next: build once without --locked, look at the difference of lock.toml, commit it\n"
    )
    project.run("build")
    before = (project.root / "lock.toml").read_bytes()
    assert project.run("build", "--locked").code == 0
    assert (project.root / "lock.toml").read_bytes() == before


def test_an_output_that_is_not_the_pinned_one(project: Small, tmp_path: Path) -> None:
    project.run("build")
    lock = lock_text.parse((project.root / "lock.toml").read_text())
    (hello, base) = (next(each for each in lock.packages if each.name == name).outputs[PLATFORM] for name in ("hello", "base"))
    project.replace("lock.toml", f'out = "{hello.trees["out"]}"', f'out = "{base.trees["out"]}"')
    answer = project.run("build", "hello", "--store", str(tmp_path / "other"))
    assert (answer.code, answer.out) == (4, "")
    assert (
        "builder: hello 1: not reproduced: the same inputs gave other bytes than lock.toml pins\n"
        f"out: the lock has {base.trees['out']}, built was {hello.trees['out']}\n"
        f"  next: `builder build --store {tmp_path}/other --check hello` shows whether the build is deterministic here; "
        "if the pin itself is wrong, remove the package's [package.output] from lock.toml and build again\n"
    ) in answer.err


def test_early_cutoff(project: Small) -> None:
    """A source changes in a way that does not reach the output: nothing after it is built."""
    project.replace("recipes/hello.toml", "into =", 'exclude = ["usr/share/notes"]\ninto =')
    assert project.run("build", "world", "--json").json[0]["realised"] == ["hello 1", "world 2"]
    project.write("files/hello/notes", "not in the output\n")
    answer = project.run("build", "world", "--json")
    assert answer.code == 0
    assert "building hello 1" in answer.err
    assert "building world 2" not in answer.err


def test_packages_by_name(project: Small, home: Path) -> None:
    answer = project.run("build", "hello", "world 2")
    rows = dict(line.split("  ") for line in answer.out.splitlines())
    assert list(rows) == ["hello 1", "world 2"]
    assert (Path(rows["hello 1"]) / "usr/share/greeting").read_text() == "hello, world\n"
    assert os.readlink(Path(rows["world 2"]) / "usr/bin/greet") == "../share/greeting"
    assert rows["hello 1"].startswith(str(home))
    assert not (project.root / "out").exists()


def test_another_profile_goes_to_a_folder_of_its_own(project: Small) -> None:
    assert project.run("build", "--profile", "other").code == 0
    assert [each.name for each in (project.root / "out").iterdir()] == ["openresty-other"]
    one = project.run("build", "--profile", "other", "--json").json[0]
    assert project.run("build", "--json").json[0]["layer"] == one["layer"]  # the same layer on either base
    assert project.run("build", "--json").json[0]["manifest"] != one["manifest"]


def test_out_and_compression(project: Small, tmp_path: Path) -> None:
    project.run("build", "--out", str(tmp_path / "else"), "--compression", "zstd")
    assert (tmp_path / "else/openresty/layer.tar.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
    assert not (project.root / "out").exists()


def test_keep_going_builds_what_does_not_need_the_failure(project: Small) -> None:
    clash = 'name = "clash"\ntools = ""\n[build]\nstyle = "prebuilt"\n[[version]]\nversion = "1"\n'
    sources = '[[version.source]]\nfolder = "files/one"\n[[version.source]]\nname = "b"\nfolder = "files/two"\n'
    project.write("recipes/clash.toml", clash + sources)
    project.write("files/one/a", "1")
    project.write("files/two/a", "2")
    project.replace("recipes/images/openresty.toml", '["world"]', '["world", "clash"]')
    answer = project.run("build", "--keep-going", "--jobs", "1")
    assert (answer.code, answer.out) == (1, "")
    assert (
        "builder: a: source main and source b both have a, and they differ\n"
        "  next: leave it out of one of them with `exclude` in its recipe\n"
    ) in answer.err
    states = {row["package"]: row["state"] for row in project.run("list", "--json").json}
    assert states["clash"] == "absent"


# ---- the stamp


@pytest.fixture
def started(project: Small, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run `builder` as its script does, and tell what it says."""

    def run(*argv: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["builder", *argv])
        project.capture.readouterr()
        code = start.main()
        return code, project.capture.readouterr().out

    return run


def test_nothing_to_do_is_answered_from_the_stamp(
    started: Callable[..., tuple[int, str]], project: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started("build")
    assert first[0] == 0
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "builder.cli", SimpleNamespace(run=lambda *_: 99))
        assert started("build") == first
        assert started("build", "--json") == (99, "")  # another command line
        project.replace("files/hello/greeting", "hello", "HELLO")
        assert started("build") == (99, "")
    changed = started("build")
    assert changed[0] == 0
    assert changed != first


@pytest.mark.parametrize("change", [
    lambda project: project.replace("recipes/hello.toml", "A greeting", "Hello"),
    lambda project: (project.root / "lock.toml").write_text((project.root / "lock.toml").read_text() + "\n"),
    lambda project: (project.root / "out/openresty/layer.tar.gz").unlink(),
    lambda project: project.write("recipes/tools/new.toml", "name = 1"),
], ids=["recipe", "lock", "output", "new recipe"])
def test_what_the_stamp_looks_at(
    started: Callable[..., tuple[int, str]], project: Small, monkeypatch: pytest.MonkeyPatch, change: Callable[[Small], object]
) -> None:
    started("build")
    assert noop.answer(["build"]) is not None
    change(project)
    assert noop.answer(["build"]) is None


def test_a_failed_build_leaves_no_stamp(started: Callable[..., tuple[int, str]], project: Small) -> None:
    project.replace("recipes/hello.toml", 'style = "prebuilt"', 'style = "nothing"')
    assert started("build")[0] == 2
    assert noop.answer(["build"]) is None


# ---- looking


def test_list(project: Small) -> None:
    project.run("resolve")
    assert project.run("list").out == (
        "package  version  role   state        size\n"
        "world    2        image  absent\n"
        "base     1        base   absent\n"
        "hello    1        build  absent\n"
    )
    project.run("build")
    rows = project.run("list", "--json").json
    assert rows[0] == {"package": "world", "version": "2", "role": "image", "state": "built", "size": 13}
    assert {row["state"] for row in rows} == {"built"}


def test_graph(project: Small) -> None:
    project.run("resolve")
    assert project.run("graph").out == "image:openresty\n├── world 2\n│   └── hello 1 (build)\n└── base 1 (base)\n"
    assert project.run("graph", "--runtime", "--json").json == {
        "image": "openresty", "profile": "small", "packages": ["base 1", "image:openresty", "world 2"],
        "edges": [
            {"from": "image:openresty", "to": "base 1", "kind": "base"}, {"from": "image:openresty", "to": "world 2", "kind": "runtime"},
        ],
    }
    assert project.run("graph", "--format", "dot").out.startswith("digraph needs {\n")
    assert "<svg" in project.run("graph", "--format", "svg").out


def test_why(project: Small) -> None:
    project.run("resolve")
    answer = project.run("why", "openresty", "hello", "--json")
    assert (answer.code, answer.json) == (0, [[
        {"from": "image:openresty", "to": "world 2", "kind": "runtime"}, {"from": "world 2", "to": "hello 1", "kind": "build"},
    ]])
    no = project.run("why", "hello", "world")
    assert (no.code, no.out) == (1, "hello does not need world\n")
    assert project.run("why", "hello", "world", "--json").json == []


def test_looking_writes_no_lock(project: Small) -> None:
    for argv in (["list"], ["graph"], ["why", "world", "hello"], ["audit"]):
        project.run(*argv)
        assert not (project.root / "lock.toml").exists(), argv


def test_fetch_of_what_needs_no_fetching(project: Small, tmp_path: Path) -> None:
    assert project.run("fetch").out == "0 sources are here, verified (0.0 MB of archives)\n"
    assert project.run("fetch", "--all", "--json", "--to", str(tmp_path / "to")).json == []


def test_a_source_that_cannot_be_had(project: Small) -> None:
    gone = '[[version.source]]\nlocations = ["https://gone.example/hello-1.tar.gz"]\nsha256 = "' + "0" * 64 + '"\n'
    project.replace("recipes/hello.toml", '[[version.source]]\nfolder = "files/hello"\n', gone)
    answer = project.run("build", "--offline")
    assert (answer.code, answer.out) == (3, "")
    assert "hello 1" in answer.err
    assert "https://gone.example/hello-1.tar.gz" in answer.err
    assert "\n  next: " in answer.err


def test_check_of_what_needs_no_sandbox(project: Small) -> None:
    answer = project.run("build", "--check")
    assert (answer.code, answer.out) == (2, "")
    assert "nothing of it is built in a sandbox\n  next: name a package to see it joined again" in answer.err


def test_check_of_a_builtin_package(project: Small) -> None:
    answer = project.run("build", "--check", "world", "--json")
    assert answer.code == 0
    (row,) = answer.json
    assert (row["package"], row["reproduced"], row["differences"]) == ("world 2", True, [])


def test_audit(project: Small) -> None:
    project.run("resolve")
    answer = project.run("audit", "--json")
    assert answer.code == 1
    assert {each["rule"] for each in answer.json} == {"output-missing"}
    project.run("build")
    project.run("build", "--profile", "other")
    clean = project.run("audit")
    assert clean.code == 0
    assert clean.out.startswith("no findings; ")
    rules = [line.split()[0] for line in project.run("audit", "--rules").out.splitlines()]
    assert "output-missing" in rules
    assert len(set(rules)) == len(rules) >= 13


# ---- the store


def test_store_and_gc(project: Small, home: Path) -> None:
    project.run("build")
    root = home / ".cache/builder/store"
    assert project.run("store", "path").out == f"{root}\n"
    assert (project.run("store", "verify").code, project.run("store", "verify").out) == (0, "everything is as it was written\n")
    found = project.run("gc", "--json").json
    assert found.pop("size") > 0
    # What hello's source folder was copied to; base's source is its output.
    assert found == {"trees": 1, "records": 0, "archives": 0, "logs": 0, "roots": 0}
    assert project.run("build", "--locked", "--json").json[0]["realised"] == []


@pytest.mark.parametrize("argv", [("store", "verify"), ("store", "roots"), ("gc",), ("gc", "--dry-run")], ids=" ".join)
def test_a_store_that_is_not_there_is_not_said_to_be_whole(project: Small, tmp_path: Path, argv: tuple[str, ...]) -> None:
    answer = project.run(*argv, "--store", str(tmp_path / "typo"))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"builder: {tmp_path}/typo: there is no store\n  next: ")
    assert project.run("store", "path", "--store", str(tmp_path / "typo")).out == f"{tmp_path}/typo\n"
    assert not (tmp_path / "typo").exists()


def test_a_store_that_is_a_file(project: Small, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = project.run("build", "--store", str(tmp_path / "file"))
    assert (answer.code, "next: name a directory: --store, BUILDER_STORE" in answer.err) == (5, True), answer.err


def test_a_flipped_bit_in_the_store(project: Small, home: Path) -> None:
    project.run("build")
    path = next((home / ".cache/builder/store/trees").rglob("greeting"))
    path.chmod(0o644)
    path.write_text("hello, World\n")
    answer = project.run("store", "verify", "--json")
    assert answer.code == 1
    assert [each["kind"] for each in answer.json] == ["tree"]
    assert answer.json[0]["path"] in str(path)
    assert project.run("store", "verify").out.endswith("1 damaged\n")


# ---- for editors and shells


@pytest.mark.parametrize("kind", ["recipe", "image", "profile"])
def test_schema(project: Small, kind: str) -> None:
    assert project.run("schema", kind).json["title"] == f"builder {kind}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(project: Small, shell: str) -> None:
    answer = project.run("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "keep-going" in answer.out


def test_verify_removes_what_is_damaged(project: Small) -> None:
    project.run("build", "world")
    (tree,) = (line.split()[-1] for line in project.run("build", "world").out.splitlines())
    damaged = next(path for path in Path(tree).rglob("*") if path.is_file())
    damaged.chmod(0o644)
    damaged.write_text("flipped")
    answer = project.run("store", "verify", "--remove")
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "1 damaged")
    assert f"removed {tree}" in answer.err
    assert project.run("store", "verify").code == 0
    assert project.run("build", "world").out.split()[-1] == tree
    assert Path(tree).is_dir()
