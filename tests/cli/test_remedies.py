"""What a message says to do next is done as it is printed, and cures: the command that failed ends well afterwards."""

import ast
import gzip
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import small
from archives import entry, make_tar
from http_server import Server, good
from small import Answer, Small, edited, git

import builder
from builder.cli.arguments import parser
from builder.lock import text as lock_text


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    """A project that was built, audited without a finding, and committed."""
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    assert made.run("build", "--all").code == 0
    assert made.run("audit").code == 0
    git(made, "init", "-q")
    git(made, "add", "recipes", "files", "lock.toml")
    git(made, "commit", "-q", "-m", "sound")
    return made


def remedies(answer: Answer) -> list[str]:
    """The commands in backticks of an answer's "next:" lines, each once."""
    lines = [line for line in (answer.out + answer.err).splitlines() if line.strip().startswith("next: ")]
    return list(dict.fromkeys(each for line in lines for each in re.findall(r"`((?:builder|git) [^`]+)`", line)))


def follow(project: Small, command: str) -> Answer:
    """Type a command as it was printed."""
    program, *words = command.split()
    if program == "builder":
        return project.run(*words)
    git(project, *words)
    return Answer(0, "", "")


def cured(project: Small, *argv: str) -> list[str]:
    """Run a command that must fail, and type what it says to do next, until it ends well; what was typed.

    One cure can show the next trouble (a lock that is there again pins no output yet), but none is told twice.
    """
    answer = project.run(*argv)
    assert answer.code != 0, argv
    typed: list[str] = []
    while answer.code != 0:
        found = remedies(answer)
        assert found, answer.err + answer.out
        assert set(typed).isdisjoint(found), answer.err + answer.out
        typed += found
        for command in found:
            assert follow(project, command).code == 0, command
        answer = project.run(*argv)
    return typed


# ---- the lock


EDITS: dict[str, Callable[[Small], object]] = {
    "a recipe that changed": lambda project: project.replace("recipes/hello.toml", "A greeting", "Greets"),
    "the digest of a recipe": lambda project: edited(project, "hello", r'recipe = "sha256-.{8}', 'recipe = "sha256-AAAAAAAA'),
    "an edge that no recipe gives": lambda project: edited(project, "world", r'build-requires = \["hello 1"\]\n', ""),
    "a folder that is not the recipe's": lambda project: edited(project, "hello", "files/hello", "files/base"),
    "an image's packages": lambda project: project.replace("lock.toml", 'packages = ["world 2"]', 'packages = ["hello 1"]'),
}


@pytest.mark.parametrize("argv", [("resolve", "--check"), ("build", "--locked"), ("audit",)], ids=" ".join)
@pytest.mark.parametrize("edit", EDITS)
def test_a_stale_lock(project: Small, edit: str, argv: tuple[str, ...]) -> None:
    EDITS[edit](project)
    answer = project.run(*argv)
    assert answer.code == 1
    if argv[0] != "resolve":
        assert "builder resolve" in remedies(answer)
    assert project.run("resolve").code == 0
    assert project.run("resolve", "--check").code == 0
    assert project.run("build", "--all").code == 0  # what `audit` sends to next, where outputs are of other inputs now
    assert project.run(*argv).code == 0
    assert project.run("audit").code == 0


def test_resolve_says_what_it_put_back(project: Small) -> None:
    edited(project, "hello", "files/hello", "files/base")
    assert project.run("resolve").out == f"hello 1, source 'main': folder changed\n{project.root}/lock.toml: written, 3 packages\n"
    git(project, "diff", "--exit-code", "lock.toml")


TORN: dict[str, Callable[[str], str]] = {
    "a package is gone": lambda text: text[: text.rindex("\n[[package]]")],
    "a package is there twice": lambda text: text + text[text.rindex("\n[[package]]") :],
    "a requirement of another version": lambda text: text.replace('"hello 1"', '"hello 2"'),
    "a profile that no image is in": lambda text: text.replace('profiles = ["small"]', 'profiles = ["small", "smal"]'),
}
UNREADABLE: dict[str, Callable[[str], str]] = {
    "not TOML": lambda text: text.replace('name = "hello"', 'name = "hello'),
    "half of it": lambda text: text[: len(text) // 2 + 7],
    "a digest without a digit": lambda text: re.sub(r'key = "sha256-.', 'key = "sha256-', text, count=1),
    "a conflict": lambda text: text.replace('name = "hello"', '<<<<<<< ours\nname = "hello"\n=======\nname = "hi"\n>>>>>>> theirs'),
}


@pytest.mark.parametrize("argv", [("list",), ("build", "--locked"), ("resolve", "--check"), ("audit",)], ids=" ".join)
@pytest.mark.parametrize("edit", TORN)
def test_a_lock_whose_blocks_do_not_fit_together(project: Small, edit: str, argv: tuple[str, ...]) -> None:
    path = project.root / "lock.toml"
    before = path.read_text()
    path.write_text(TORN[edit](before))
    answer = project.run(*argv)
    assert answer.code != 0
    assert project.run("resolve").code == 0
    assert project.run("build", "--all").code == 0  # pins the outputs of a block that was gone
    assert project.run(*argv).code == 0
    assert path.read_text() == before


@pytest.mark.parametrize("argv", [("list",), ("build",), ("resolve",), ("audit",)], ids=" ".join)
@pytest.mark.parametrize("edit", UNREADABLE)
def test_a_lock_that_cannot_be_read(project: Small, edit: str, argv: tuple[str, ...]) -> None:
    path = project.root / "lock.toml"
    path.write_text(UNREADABLE[edit](path.read_text()))
    answer = project.run(*argv)
    assert answer.code in (1, 2)
    way_back = next(each for each in remedies(answer) if each.startswith("git checkout "))
    follow(project, way_back.replace("--ours ", ""))  # there is no merge here, so both sides are one
    assert project.run(*argv).code == 0
    git(project, "diff", "--exit-code")


def test_a_lock_that_is_lost(project: Small) -> None:
    before = lock_text.parse((project.root / "lock.toml").read_text())
    (project.root / "lock.toml").write_text("lost")
    assert "remove it and run `builder resolve`" in project.run("list").err
    (project.root / "lock.toml").unlink()
    assert project.run("resolve").code == 0
    assert project.run("build", "--all").code == 0
    assert lock_text.parse((project.root / "lock.toml").read_text()) == before


def test_no_lock(project: Small) -> None:
    (project.root / "lock.toml").unlink()
    assert cured(project, "audit") == ["builder resolve", "builder build --all"]


def test_outputs_that_are_not_pinned(project: Small) -> None:
    (project.root / "lock.toml").unlink()
    project.run("resolve")
    answer = project.run("build", "--locked")
    assert (answer.code, "next: build once without --locked" in answer.err) == (1, True)
    assert cured(project, "audit") == ["builder build --all"]
    assert project.run("build", "--locked").code == 0


def test_every_command_that_the_program_names_can_be_typed() -> None:
    """The class: no message names a command or an option that is not there. NAME stands for what is filled in."""
    found = set()
    for path in sorted(Path(builder.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ""
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(each.value) if isinstance(each, ast.Constant) else "NAME" for each in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = re.sub(r"{\w+}", "NAME", node.value)
            found |= set(re.findall(r"`builder ([^`\n]+)`", text))
    assert {"resolve", "build --all", "fetch --platform NAME", "store verify --remove"} <= found
    platform = "x86_64-linux-musl"
    for words in sorted(found - {"build --check [NAME]", "shell"}):  # names of verbs in docstrings
        parser().parse_args(words.replace("--platform NAME", f"--platform {platform}").split())


def test_pins_that_were_measured_are_measured_again(project: Small, tmp_path: Path) -> None:
    archive = gzip.compress(make_tar(entry("hello-1/greeting", b"hello, world\n")), mtime=0)
    (tmp_path / "hello-1.tar.gz").write_bytes(archive)
    places = 'locations = ["https://gone.example/hello-1.tar.gz", "https://gone.example.org/hello-1.tar.gz"]'
    project.replace("recipes/hello.toml", 'folder = "files/hello"', places)
    project.run("resolve", "--distdir", str(tmp_path))
    assert project.run("build", "--all").code == 0
    sound = (project.root / "lock.toml").read_text()
    for key in ("sha256", "tree", "size", "unpacked", "entries"):
        edited(project, "hello", rf"^({key} = .*?)([0-9a])", lambda found: found[1] + ("1" if found[2] == "0" else "0"))
        answer = project.run("audit")
        assert answer.code == 1, key
        pins = r'(size|sha256|tree|unpacked|entries) = \S+\n'
        edited(project, "hello", f"^(?:{pins})+", "")
        assert project.run("resolve", "--distdir", str(tmp_path)).code == 0
        assert (project.root / "lock.toml").read_text() == sound, key
    assert project.run("audit").code == 0


def test_a_layer_that_is_not_the_pinned_one(project: Small) -> None:
    path = project.root / "lock.toml"
    sound = path.read_text()
    path.write_text(re.sub(r'^layer = "....', 'layer = "0000', sound, count=1, flags=re.MULTILINE))
    assert "remove its output there and run `builder build --all`" in project.run("audit").out
    path.write_text(re.sub(r"\n\[image\.output\.[^[]*", "\n", path.read_text(), count=1))
    assert project.run("build", "--all").code == 0
    assert path.read_text() == sound


def test_an_output_that_is_not_the_pinned_one(project: Small) -> None:
    """The message of a build that gives other bytes: the package's output is removed from the lock, and built again."""
    path = project.root / "lock.toml"
    sound = path.read_text()
    edited(project, "hello", r'^out = "sha256-.{4}', 'out = "sha256-AAAA')
    answer = project.run("build", "hello")
    assert (answer.code, "remove the package's [package.output] from lock.toml and build again" in answer.err) == (4, True)
    edited(project, "hello", r"\n\[package\.output\.[^[]*", "\n")
    assert project.run("build", "hello").code == 0
    assert project.run("build", "--all").code == 0
    assert path.read_text() == sound


# ---- a component that is added


EXTRA = small.FILES["recipes/hello.toml"].replace("hello", "extra").replace("A greeting", "More")


def add(project: Small) -> None:
    project.write("recipes/extra.toml", EXTRA)
    project.write("files/extra/more", "more\n")


def test_the_readmes_example_of_adding_a_component(project: Small) -> None:
    """Another image stands on the one that the component goes into: `build` alone leaves it as it was."""
    project.write("recipes/over.toml", EXTRA.replace("extra", "over"))
    project.write("files/over/above", "above\n")
    project.write("recipes/images/above.toml", 'name = "above"\nfrom = "openresty"\npackages = ["over"]\nprofiles = ["small"]\n')
    assert project.run("build", "--all").code == 0
    add(project)
    project.replace("recipes/images/openresty.toml", '["world"]', '["world", "extra"]')
    assert project.run("resolve").code == 0
    assert project.run("build", "openresty").code == 0
    answer = project.run("audit")
    assert answer.code == 1
    places = sorted(line for line in answer.out.splitlines() if line.startswith("  image "))
    assert places == ["  image above in small, output for x86_64-linux-musl", "  image openresty in other, output for x86_64-linux-musl"]
    assert cured(project, "audit") == ["builder build --all"]


def test_a_stale_output_where_outputs_are_optional(project: Small) -> None:
    project.write("recipes/profiles/other.toml", 'name = "other"\noutputs = "optional"\n')
    project.run("build", "--profile", "other")
    project.replace("files/hello/greeting", "hello", "HELLO")
    add(project)
    project.replace("recipes/images/openresty.toml", '["world"]', '["world", "extra"]')
    project.run("build", "--all")
    assert "builder build openresty --profile other" in cured(project, "audit", "--all")


def test_all_builds_every_image_in_its_required_profiles(project: Small) -> None:
    rows = project.run("build", "--all", "--json").json
    assert [(each["image"], each["profile"]) for each in rows] == [("openresty", "small"), ("openresty", "other")]
    project.replace("files/hello/greeting", "hello", "Hello")
    assert project.run("build", "--all").err.count("lock.toml: outputs pinned\n") == 1
    assert [each["profile"] for each in project.run("build", "--all", "--profile", "other", "--json").json] == ["other"]
    project.write("recipes/profiles/other.toml", 'name = "other"\noutputs = "optional"\n')
    assert [each["profile"] for each in project.run("build", "--all", "--json").json] == ["small"]
    answer = project.run("build", "--all", "world")
    assert (answer.code, answer.err) == (2, "builder: world: --all is about every image\n  next: leave out the names, or --all\n")


# ---- what is there, and no image names it


def test_a_recipe_that_no_image_needs(project: Small) -> None:
    add(project)
    hint = "recipes/extra.toml exists, but no image needs it: add it to `packages` of an image or `requires` of a recipe"
    answer = project.run("why", "openresty", "extra")
    assert (answer.code, answer.err) == (2, f"builder: there is no package 'extra' in profile 'small'\n  next: {hint}\n")
    assert project.run("build", "extrra").err.splitlines()[-1] == f"  next: did you mean 'extra'? {hint}"
    assert project.run("build", "extrra", "--locked").code == 2
    project.write("recipes/images/other.toml", 'name = "other"\npackages = ["extra"]\nprofiles = ["small"]\n')
    answer = project.run("why", "--image", "openresty", "openresty", "extra")
    assert answer.err.endswith("image 'openresty' does not need extra 1\n  next: ask about one that does: --image other\n")
    assert project.run("why", "--image", "other", "other", "extra").code == 0


def test_it_is_built_alone_and_not_pinned(project: Small) -> None:
    before = (project.root / "lock.toml").read_bytes()
    add(project)
    answer = project.run("build", "extra", "world")
    assert answer.code == 0
    rows = dict(line.split("  ") for line in answer.out.splitlines())
    assert (Path(rows["extra 1"]) / "usr/share/more").read_text() == "more\n"
    assert "lock.toml does not pin packages that no image needs" in answer.err
    assert (project.root / "lock.toml").read_bytes() == before
    assert project.run("build", "extra 1").out == f"extra 1  {rows['extra 1']}\n"
    assert project.run("build", "--check", "extra").out.startswith("extra 1: reproduced")
    for words in (["log", "extra"], ["shell", "extra", "true"]):  # a build that fails names them
        assert "without a sandbox" in project.run(*words).err
    refused = project.run("build", "extra", "--locked")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "builder: lock.toml: --locked builds only packages of the lock, and it holds no 'extra'\n"
        "  next: recipes/extra.toml exists, but no image needs it: add it to `packages` of an image or `requires` of a recipe\n"
    )


def test_a_package_of_another_profile(project: Small) -> None:
    assert project.run("why", "world", "base", "--profile", "other").err.splitlines()[-1] == (
        "  next: an image needs it in another profile: --profile small"
    )


def test_a_profile_that_no_image_names(project: Small) -> None:
    project.write("recipes/profiles/new.toml", 'name = "new"\n')
    answer = project.run("build", "--profile", "new")
    assert (answer.code, answer.err.splitlines()[-1]) == (
        2, "  next: recipes/profiles/new.toml exists, but no image resolves in it: add it to `profiles` of "
        "recipes/images/openresty.toml, or take small or other",
    )
    assert project.run("build", "hello", "--profile", "new").code == 0  # alone, in a profile without an image
    assert project.run("build", "hello", "--profile", "nwe").err.splitlines()[-1] == "  next: did you mean 'new'?"
    project.replace("recipes/images/openresty.toml", '"other"]', '"other", "new"]')
    assert project.run("build", "--profile", "new").code == 0


# ---- dry runs


def test_check_with_an_update_is_its_dry_run(project: Small) -> None:
    newer = small.FILES["recipes/hello.toml"].replace('[[version]]\nversion = "1"', '[[version]]\nversion = "2"\n'
        '[[version.source]]\nfolder = "files/hello"\n[[version]]\nversion = "1"')
    project.write("recipes/hello.toml", newer)
    project.run("resolve")
    before = (project.root / "lock.toml").read_bytes()
    assert project.run("resolve", "--check").code == 0
    for argv in (["--update", "hello"], ["--update-all"]):
        answer = project.run("resolve", "--check", *argv)
        assert (answer.code, answer.out, answer.err.splitlines()[0]) == (1, "", "would change: hello 1 -> 2 (other, small)")
    assert project.run("resolve", "--check", "--update", "world").code == 0
    assert project.run("resolve", "--check", "--update", "wrld").code == 2
    found = project.run("resolve", "--check", "--update", "hello", "--json").json
    assert (found["stale"], found["reasons"][0]) == (True, "hello 1 -> 2 (other, small)")
    assert (project.root / "lock.toml").read_bytes() == before
    changed = project.run("resolve", "--update", "hello", "--json").json["changes"]
    assert changed == found["reasons"]


def test_a_dry_run_of_a_build(project: Small, home: Path) -> None:
    nothing = project.run("build", "--dry-run")
    assert nothing.out == (
        "image   openresty in small: is there\nto fetch: 0 archives, 0 B; to build: 0 packages; reused: 3\n"
    )
    project.replace("files/hello/greeting", "hello", "HELLO")
    before = {each: each.stat().st_mtime_ns for each in (*project.root.rglob("*"), *home.rglob("trees/*"))}
    answer = project.run("build", "--dry-run")
    assert (answer.code, answer.out) == (0,
        "build   hello 1: source 'main' changed\n"
        "build?  world 2: when the outputs of hello 1 change\n"
        "image   openresty in small: would be written\n"
        "to fetch: 0 archives, 0 B; to build: 1 package, perhaps 1 more; reused: 1\n"
    )
    project.replace("recipes/world.toml", "usr/bin/greet", "usr/bin/hail")
    found = project.run("build", "--dry-run", "--all", "--json").json
    assert found["build"][1] == {"package": "world 2", "why": "its recipe changed", "sure": False}
    assert found["images"][1] == {"image": "openresty", "profile": "other", "what": "would be written"}
    project.replace("recipes/world.toml", "usr/bin/hail", "usr/bin/greet")
    assert {each: each.stat().st_mtime_ns for each in before if each.suffix != ".toml"} == {
        each: time for each, time in before.items() if each.suffix != ".toml"
    }
    assert project.run("list", "--json").json[2]["state"] == "stale"
    built = project.run("build", "--json").json[0]["realised"]
    assert built == ["hello 1", "world 2"]


def test_a_dry_run_says_what_is_fetched(project: Small) -> None:
    source = '[[version.source]]\nlocations = ["https://gone.example/a-1.tar.gz"]\nsize = 1500\nsha256 = "' + "0" * 64 + '"\n'
    project.replace("recipes/hello.toml", '[[version.source]]\nfolder = "files/hello"\n', source)
    answer = project.run("build", "--dry-run", "hello")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "fetch   hello 1: a-1.tar.gz (1.5 kB)")
    (row,) = project.run("build", "--dry-run", "hello", "--json").json["fetch"]
    assert row == {"package": "hello", "version": "1", "source": "main", "file": "a-1.tar.gz", "size": 1500}


# ---- what a remedy is about


@pytest.mark.parametrize(("argv", "command"), [
    (["build"], "builder fetch"),
    (["build", "openresty"], "builder fetch --image openresty"),
    (["build", "openresty", "--profile", "other"], "builder fetch --image openresty --profile other"),
    (["build", "hello", "--profile", "other"], "builder fetch --profile other"),
    (["fetch", "openresty"], "builder fetch --image openresty"),
    (["fetch", "--all"], "builder fetch --all"),
    (["build", "second"], "builder fetch --image second --profile other"),
    (["build", "--all"], "builder fetch --all"),
])
def test_a_remedy_is_about_what_the_command_was_about(project: Small, argv: list[str], command: str) -> None:
    project.write("recipes/images/gateway.toml", 'name = "gateway"\npackages = ["world"]\nprofiles = ["small"]\n')
    project.write("recipes/images/second.toml", 'name = "second"\npackages = ["world"]\nprofiles = ["other"]\n')
    gone = '[[version.source]]\nlocations = ["https://gone.example/hello-1.tar.gz"]\nsha256 = "' + "0" * 64 + '"\n'
    project.replace("recipes/hello.toml", '[[version.source]]\nfolder = "files/hello"\n', gone)
    answer = project.run(*argv, "--offline")
    assert (answer.code, remedies(answer)) == (3, [command]), answer.err


def test_the_remedy_of_every_failure_is_about_what_the_command_was_about(project: Small) -> None:
    for name in ("hello", "base"):
        edited(project, name, r'^out = "sha256-.{8}', 'out = "sha256-AAAAAAAA')
    answer = project.run("build", "hello", "base", "--profile", "small", "--keep-going", "--store", "elsewhere")
    assert answer.code == 4
    for name in ("hello", "base"):
        assert f"`builder build --store elsewhere --profile small --check {name}`" in answer.err


def test_a_remedy_is_about_the_project_and_the_store_of_the_command(
    project: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.replace("recipes/hello.toml", "A greeting", "Greets")
    monkeypatch.chdir(tmp_path)
    there = ["--root", "project", "--store", str(tmp_path / "a store")]
    answer = project.run("build", "--locked", *there)
    assert remedies(answer) == [f"builder resolve --root project --store '{tmp_path}/a store'"]
    assert "-- " not in answer.err


def test_a_remedy_of_git_works_in_every_directory_that_the_command_does(
    project: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, root, option in ((project.root / "files", ".", "-C .. "), (tmp_path, "project", "-C project "), (project.root, ".", "")):
        monkeypatch.chdir(place)
        lock = project.root / "lock.toml"
        lock.write_text("[")
        for argv in (["list"], ["audit"]):
            answer = project.run(*argv, "--root", root)
            assert f"`git {option}checkout lock.toml`" in answer.out + answer.err
        subprocess.run(["git", *option.split(), "checkout", "-q", "lock.toml"], check=True)
        assert project.run("audit", "--root", root).code == 0


def test_a_reload_where_no_gateway_runs_names_the_project(project: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = project.run("run", "--reload", "--root", "project")
    assert (answer.code, answer.err.splitlines()[-1]) == (1, "  next: start it: builder run --root project --policy FILE")


# ---- platforms


def test_an_audit_of_a_platform_of_which_nothing_is_pinned(project: Small) -> None:
    answer = project.run("audit", "--platform", "aarch64-linux-musl")
    assert (answer.code, "no findings" in answer.out) == (1, False)
    found = re.search(r"next: .*(--platform \S+)", answer.out)
    assert found
    assert project.run("audit", *found[1].split()).code == 0


def test_a_build_for_another_processor(project: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    script = EXTRA.replace('style = "prebuilt"\ninto = { main = "usr/share" }', 'style = "script"\nstep = [{ name = "x", run = "true" }]')
    project.write("recipes/extra.toml", script.replace('folder = "files/extra"', 'locations = ["https://gone.example/extra-1.tar.gz"]'))
    for argv in (["build", "extra"], ["build", "extra", "--dry-run"]):
        answer = project.run(*argv, "--platform", "aarch64-linux-musl")
        assert (answer.code, answer.out) == (5, "")
        assert "there is no tool set that runs on" in answer.err
        assert "gone.example" not in answer.err
    assert project.run("build", "--platform", "aarch64-linux-musl").code == 0  # joined by the builder itself: no tool runs


# ---- a hash that is taken out


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def test_the_block_that_is_printed_for_an_unpinned_source_is_what_the_recipe_lacks(project: Small, server: Server) -> None:
    place = server.serve("/hello-1.tar.gz", good(gzip.compress(make_tar(entry("hello-1/greeting", b"hello, world\n")))))
    project.replace("recipes/hello.toml", 'folder = "files/hello"', f'locations = ["{place}"]')
    answer = project.run("resolve")
    assert answer.code == 3
    block = "".join(f"{line}\n" for line in re.findall(r'^    (\w+ = .+)$', answer.err, re.MULTILINE))
    assert [line.split()[0] for line in block.splitlines()] == ["size", "sha256", "tree", "unpacked", "entries"]
    project.replace("recipes/hello.toml", f'locations = ["{place}"]\n', f'locations = ["{place}"]\n{block}')
    assert project.run("resolve").code == 0
    assert project.run("build", "--all").code == 0
