"""Each finding of the audit: its remedy is done as it is printed, in another directory than the project's, and cures.

A row says how a sound project is broken, and does by hand what a remedy says beside its commands. The commands are typed
as they stand in the output: they must name the project and the store by themselves.
"""

import gzip
import hashlib
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from archives import entry, make_tar
from msgspec import Struct
from small import Answer, Small, edited, git

from builder.audit import RULES

PLACES = '"https://gone.example/hello-1.tar.gz", "https://gone.example.org/hello-1.tar.gz"'
MORE = ("http://gone.example.org/hello-1.tar.gz",)
ARM = "aarch64-linux-musl"
Step = Callable[["Away"], object]


class Away(Struct, frozen=True):
    """The project as it is used from another directory, with a store that no setting names."""

    project: Small
    store: Path

    def run(self, verb: str, *words: str) -> Answer:
        return self.project.run(verb, "--root", "../project", "--store", str(self.store), *words)

    def type(self, command: str) -> Answer:
        """Type a command as it was printed."""
        program, *words = shlex.split(command)
        if program == "builder":
            return self.project.run(*words)
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def lock(self, name: str, pattern: str, new: str) -> None:
        edited(self.project, name, pattern, new)

    def recipe(self, old: str, new: str) -> None:
        self.project.replace("recipes/hello.toml", old, new)

    def resolve(self) -> None:
        assert self.run("resolve").code == 0

    def commit(self) -> None:
        git(self.project, "commit", "-q", "-a", "--allow-empty", "-m", "because")


@pytest.fixture
def away(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Away:
    """A project with an archive, built, without a finding, and committed."""
    archive = gzip.compress(make_tar(entry("hello-1/greeting", b"hello, world\n")), mtime=0)
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/hello-1.tar.gz").write_bytes(archive)
    (home / ".config/builder").mkdir(parents=True)
    (home / ".config/builder/settings.toml").write_text(f'distdirs = ["{tmp_path}/archives"]\n')
    (tmp_path / "elsewhere").mkdir()
    made = Away(small.make(tmp_path / "project", capsys), tmp_path / "a store")
    made.recipe('folder = "files/hello"', f"locations = [{PLACES}]")
    monkeypatch.chdir(tmp_path / "elsewhere")
    made.resolve()
    pins = re.findall(r"^(?:sha256|size) = .*\n", (made.project.root / "lock.toml").read_text(), re.MULTILINE)
    made.recipe(f"locations = [{PLACES}]\n", f"locations = [{PLACES}]\n{''.join(pins)}")
    assert made.run("build", "--all").code == 0
    answer = made.run("audit")
    assert answer.code == 0, answer.out
    git(made.project, "init", "-q")
    git(made.project, "add", "recipes", "files", "lock.toml")
    made.commit()
    return made


class Row(Struct, frozen=True, kw_only=True):
    """rule: whose finding it is. said: words of its remedy. make: how it comes to be. hand: what a person does of the remedy,
    before the commands (`first`) or after them. argv: more arguments of the audit."""

    rule: str
    said: str
    make: Step
    first: Step = lambda away: None
    hand: Step = lambda away: None
    argv: tuple[str, ...] = ()


def steps(*each: Step) -> Step:
    def run(away: Away) -> None:
        for step in each:
            step(away)
    return run


def build_all(away: Away) -> None:
    assert away.run("build", "--all").code == 0


def written(path: str, text: str) -> Step:
    return lambda away: away.project.write(path, text)


def world_moved(away: Away) -> None:
    away.project.replace("recipes/world.toml", "usr/bin/greet", "usr/bin/hi")


def back(away: Away) -> None:
    """Take back the change."""
    git(away.project, "checkout", "-q", ".")


def unlocked(keys: str) -> Step:
    """Remove keys of the archive's block in the lock."""
    return lambda away: away.lock("hello", rf"(^(?:{keys}) = \S+\n)+", "")


def unsized(away: Away) -> None:
    text = (away.project.root / "recipes/hello.toml").read_text()
    (away.project.root / "recipes/hello.toml").write_text(re.sub(r"^size = .*\n", "", text, flags=re.MULTILINE))
    unlocked("size")(away)
    away.resolve()
    assert away.run("build", "--all").code == 0


def undeclared(*places: str) -> Step:
    """The recipe pins nothing, and neither does the lock."""
    def forget(away: Away) -> None:
        text = (away.project.root / "recipes/hello.toml").read_text()
        (away.project.root / "recipes/hello.toml").write_text(re.sub(r"^(size|sha256) = .*\n", "", text, flags=re.MULTILINE))
        relocated(*places)(away)
        unlocked("size|sha256|tree|unpacked|entries")(away)
    return forget


def other_bytes(away: Away) -> None:
    path = away.store.parent / "archives/hello-1.tar.gz"
    path.write_bytes(gzip.compress(make_tar(entry("hello-1/greeting", b"HELLO\n")), mtime=0))
    undeclared(*PLACES.strip('"').split('", "'))(away)
    away.resolve()
    assert away.run("build", "--all").code == 0


def declared_size(away: Away) -> None:
    answer = away.run("fetch", "--all", "--json")
    (row,) = answer.json
    away.recipe("sha256 = ", f"size = {row['size']}\nsha256 = ")


def relocated(*places: str) -> Step:
    def move(away: Away) -> None:
        shown = ", ".join(f'"{each}"' for each in places)
        away.recipe(PLACES, shown)
        away.resolve()
        assert away.run("build", "--all").code == 0
    return move


def relocked(away: Away) -> None:
    """`builder resolve` refuses what the lock tells of; without one it cannot."""
    (away.project.root / "lock.toml").unlink()
    away.resolve()
    assert away.run("build", "--all").code == 0


def placed(old: str, new: str) -> Step:
    return lambda away: away.recipe(old, new)


def damaged_trees(away: Away) -> None:
    for path in (away.store / "trees").rglob("greeting"):
        path.chmod(0o644)
        path.write_text("Hello")


def archive(away: Away) -> Path:
    (found,) = (away.store / "files").iterdir()
    return found


def damaged_archive(away: Away) -> None:
    archive(away).chmod(0o644)
    archive(away).write_bytes(b"x")


def blob(away: Away) -> Path:
    return max((away.project.root / "out/openresty/oci/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def foreign_image(away: Away) -> None:
    """A directory of another program at the place of an image."""
    place = image_moved(away)
    place.mkdir()
    (place / "thesis").write_text("years of work")


def image_moved(away: Away) -> Path:
    place = away.project.root / "out/openresty"
    place.rename(away.store.parent / "image")
    return place


def unlinked(away: Away) -> None:
    (away.project.root / "out/openresty").unlink()


def versions(*names: str) -> Step:
    """The recipe of base has these versions."""
    def write(away: Away) -> None:
        head, _, _ = (away.project.root / "recipes/base.toml").read_text().partition("[[version]]\n")
        source = '[[version.source]]\nfolder = "files/base"\n'
        away.project.write("recipes/base.toml", head + "".join(f'[[version]]\nversion = "{each}"\n{source}' for each in names))
    return write


def went_down(away: Away) -> None:
    """The lock holds version 1 of base, and the recipe prefers 2, which the last commit had."""
    versions("2", "1")(away)
    assert away.run("resolve", "--update", "base").code == 0
    away.run("build", "--all")
    away.commit()
    away.project.replace("recipes/profiles/small.toml", '["base"]', '["base 1"]')
    away.resolve()
    assert away.run("build", "--all").code == 0


def optional(*names: str) -> Step:
    def write(away: Away) -> None:
        for name in names:
            path = away.project.root / f"recipes/profiles/{name}.toml"
            path.write_text(path.read_text() + 'outputs = "optional"\n')
        away.resolve()
    return write


def pinned_wrong(away: Away) -> None:
    away.lock("hello", r'^out = "sha256-.{4}', 'out = "sha256-AAAA')


def layer_pinned_wrong(away: Away) -> None:
    path = away.project.root / "lock.toml"
    path.write_text(re.sub(r'^layer = "....', 'layer = "0000', path.read_text(), count=1, flags=re.MULTILINE))


def layer_unpinned(away: Away) -> None:
    path = away.project.root / "lock.toml"
    path.write_text(re.sub(r"\n\[image\.output\.x86[^[]*", "\n", path.read_text(), count=1))


def without_arm(away: Away) -> None:
    assert away.run("build", "--all", "--platform", ARM).code == 0
    without_outputs("aarch64")(away)


def without_outputs(platform: str) -> Step:
    return lambda away: away.lock("world", rf"\n\[package\.output\.{platform}[^[]*", "\n")


USER = written("recipes/images/openresty.toml", small.FILES["recipes/images/openresty.toml"] + '[config]\nuser = "7"\n')
ROWS = [
    Row(rule="stale-recipe", said="run `builder resolve", make=placed("A greeting", "Greets")),
    Row(rule="pin-disagrees", said="if it is the recipe's, run `builder resolve",
        make=lambda away: away.lock("hello", r'^sha256 = "....', 'sha256 = "0000')),
    Row(rule="measured-pin", said="remove all pins of that source there, and `builder resolve",
        make=lambda away: away.lock("hello", r"^entries = .", "entries = 9"), first=unlocked("size|sha256|tree|unpacked|entries")),
    Row(rule="weak-pin", said="measured by `builder fetch", make=unsized, first=declared_size),
    Row(rule="unpinned-source", said="or let `builder resolve", make=undeclared(*PLACES.strip('"').split('", "'))),
    Row(rule="plain-http-unpinned", said="or use https", make=undeclared("http://gone.example/hello-1.tar.gz", *MORE),
        first=placed("http:", "https:")),
    Row(rule="stale-output", said="which builds from the inputs of now",
        make=steps(world_moved, Away.resolve)),
    Row(rule="stale-output", said="which builds from the inputs of now", argv=("--all",),
        make=steps(optional("other"), world_moved, Away.resolve)),
    Row(rule="plain-http-first", said="first in the recipe; run `builder resolve",
        make=relocated("http://gone.example/hello-1.tar.gz", "https://gone.example.org/hello-1.tar.gz"),
        first=placed('"http://gone.example/hello-1.tar.gz", "https://gone.example.org/hello-1.tar.gz"', PLACES)),
    Row(rule="single-location", said="add a second location", make=relocated("https://gone.example/hello-1.tar.gz"),
        hand=steps(placed('"https://gone.example/hello-1.tar.gz"', PLACES), Away.resolve)),
    Row(rule="source-bytes", said="remove the file; the next build fetches it again", make=damaged_archive,
        hand=steps(lambda away: archive(away).unlink(), build_all)),
    Row(rule="source-bytes", said="correct the size in the recipe or the lock",
        make=steps(placed("size = ", "size = 1"), Away.resolve, lambda away: away.run("build", "--all")),
        first=placed("size = 1", "size = "), hand=Away.resolve),
    Row(rule="tree-bytes", said="store verify", make=damaged_trees, hand=lambda away: away.run("build", "--all")),
    Row(rule="output-missing", said="which fills in what is missing", make=without_outputs("x86")),
    Row(rule="output-missing", said="which fills in what is missing", make=without_arm),
    Row(rule="output-disagrees", said="if it is, the lock was edited: take back the change",
        make=pinned_wrong, hand=back),
    Row(rule="output-disagrees", said="pins it again",
        make=lambda away: away.lock("world", r"^key = ", 'sandbox = "chroot"\nkey = '),
        first=without_outputs("x86")),
    Row(rule="image-bytes", said="remove its output there and run `builder build",
        make=layer_pinned_wrong, first=layer_unpinned),
    Row(rule="written-image", said="which writes it anew", make=lambda away: blob(away).write_bytes(b"x")),
    Row(rule="written-image", said="move it to another place, then run `builder build", make=foreign_image,
        first=lambda away: (away.project.root / "out/openresty").rename(away.store.parent / "moved")),
    Row(rule="written-image", said="move it to another place, then run `builder build", first=unlinked,
        make=lambda away: image_moved(away).symlink_to("nowhere")),
    Row(rule="written-image", said="move it to another place, then run `builder build", first=unlinked,
        make=lambda away: image_moved(away).write_text("x")),
    Row(rule="invalid-file", said="take it from version control",
        make=lambda away: (away.project.root / "lock.toml").write_text("[")),
    Row(rule="unknown-key", said="vars, version",
        make=lambda away: away.project.write("recipes/hello.toml", "xyzzy = 1\n" +
        (away.project.root / "recipes/hello.toml").read_text()), hand=back),
    Row(rule="cannot-unneeded", said="take it out", hand=back, make=steps(
        written("recipes/profiles/other.toml", 'name = "other"\n[audit.cannot]\nweak-pin = "so it is"\n'), Away.resolve, build_all)),
    Row(rule="outputs-optional", said="or let one require its outputs", make=optional("small", "other"), hand=back),
    Row(rule="outputs-optional", said="take back `outputs`",
        make=optional("other"), hand=back, argv=("--since", "HEAD")),
    Row(rule="version-went-down", said="`builder why", make=went_down, argv=("--since", "HEAD"), hand=Away.commit),
    Row(rule="version-changed-same-hash", said="or take back the version", argv=("--since", "HEAD"), hand=back,
        make=steps(placed('version = "1"', 'version = "2"'), relocked)),
    Row(rule="url-changed-same-hash", said="list that place beside the old one first", argv=("--since", "HEAD"),
        make=steps(placed(PLACES, '"https://new.example/hello-1.tar.gz", "https://new.example.org/hello-1.tar.gz"'), relocked),
        hand=steps(placed("locations = [", f"locations = [{PLACES}, "), Away.resolve, build_all)),
    Row(rule="hash-changed-same-version", said="before you take the new hash",
        argv=("--since", "HEAD"), make=other_bytes, hand=back),
    Row(rule="image-rights-changed", said="take it back in the image recipe", argv=("--since", "HEAD"),
        make=steps(USER, build_all), hand=steps(back, build_all)),
    Row(rule="image-rights-changed", said="say so in the commit",
        argv=("--since", "HEAD"), make=steps(USER, build_all), hand=Away.commit),
    Row(rule="sandbox-changed", said="builds it again; take back the change", argv=("--since", "HEAD"), hand=back,
        make=lambda away: away.lock("world", r"^key = ", 'sandbox = "chroot"\nkey = ')),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}: {row.said}")
def test_a_finding(away: Away, row: Row) -> None:
    row.make(away)
    answer = away.run("audit", *row.argv)
    assert answer.code == 1, answer.err
    assert row.rule in re.findall(r"^([a-z-]+): ", answer.out, re.MULTILINE), answer.out
    assert row.said in answer.out
    row.first(away)
    typed: set[str] = set()
    for _ in range(3):  # one cure can show the next trouble
        commands = [each for each in commands_of(answer) if each not in typed]
        for command in commands:
            done = away.type(command)
            assert done.code in ((0, 1) if re.search(" store verify | --check ", command) else (0,)), (command, done.err)
        typed.update(commands)
        answer = away.run("audit", *row.argv)
        if answer.code == 0 or not commands:
            break
    row.hand(away)
    answer = away.run("audit", *row.argv)
    assert answer.code == 0, (answer.out, answer.err, typed)


def commands_of(answer: Answer) -> list[str]:
    """Commands in backticks of an answer's remedies, in their order."""
    lines = [line for line in (answer.out + answer.err).splitlines() if line.strip().startswith("next: ")]
    return list(dict.fromkeys(each for line in lines for each in re.findall(r"`((?:builder|git) [^`]+)`", line)))


ELSEWHERE = {  # rules without a row: these packages need a build in a sandbox
    "patch-witness": "tests/integration/test_remedies.py", "patch-weakened": "tests/integration/test_remedies.py",
}


def test_every_rule_has_a_row() -> None:
    assert {each.id for each in RULES} == {each.rule for each in ROWS} | ELSEWHERE.keys()


def base_archive(away: Away) -> Path:
    """The base is an archive, used byte for byte; where the store has it."""
    data = gzip.compress(make_tar(entry("etc/issue", b"a distribution\n")), mtime=0)
    (away.store.parent / "archives/base-1.tar.gz").write_bytes(data)
    places = 'locations = ["https://gone.example/base-1.tar.gz", "https://gone.example.org/base-1.tar.gz"]\nstrip = 0'
    away.project.replace("recipes/base.toml", 'folder = "files/base"', places)
    away.resolve()
    build_all(away)
    return away.store / "files" / hashlib.sha256(data).hexdigest()


def test_a_base_layer_that_a_disk_damaged(away: Away) -> None:
    path = base_archive(away)
    sound = path.read_bytes()
    for damage in (sound[:-9], b"x", b""):
        path.chmod(0o644)
        path.write_bytes(damage)
        (away.project.root / "out/openresty").rename(away.store.parent / f"out-{len(damage)}")
        answer = away.run("build")
        assert answer.code == 3, answer.err
        for command in commands_of(answer):
            away.type(command)
        assert away.run("build").code == 0
        assert path.read_bytes() == sound


def test_a_base_layer_that_is_not_in_the_store(away: Away) -> None:
    """The tree of the archive is there, but a layer that is made of that has other bytes than the archive."""
    path = base_archive(away)
    before = (away.project.root / "lock.toml").read_text()
    path.unlink()
    (away.project.root / "out/openresty").rename(away.store.parent / "moved")
    answer = away.run("build")
    assert answer.code == 0, answer.err
    assert (away.project.root / "lock.toml").read_text() == before
