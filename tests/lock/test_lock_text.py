"""The lock's text: its exact form, that reading gives back what was written, and what each bad edit by hand is told."""

import json
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builder.base import digest
from builder.base.errors import LockError
from builder.lock import text as lock_text
from builder.lock.lock import Lock, LockedImage, LockedLayer, LockedOutput, LockedPackage
from builder.recipe import requirement
from builder.recipe.source import Source

SRI = [digest.of_bytes(bytes([i])) for i in range(9)]
HEX = [digest.to_hex(each) for each in SRI]
MUSL = "x86_64-linux-musl"

LOCK = Lock(
    images=(
        LockedImage(
            name="web", profile="small", recipe=SRI[0], packages=("nginx 1.26.3",), base=("musl 1.2.5",),
            outputs={MUSL: LockedLayer(key=SRI[1], layer=HEX[2], size=4096, base=(HEX[3],))},
        ),
    ),
    packages=(
        LockedPackage(name="musl", version="1.2.5", profiles=("small",), recipe=SRI[4]),
        LockedPackage(
            name="nginx", version="1.26.3", profiles=("small",), recipe=SRI[5], features=("debug", "lua"),
            requires=("musl 1.2.5",), build_requires=("perl 5", "zlib 1.3.1"),
            sources=(
                Source(
                    filename="nginx-1.26.3.tar.gz", size=1260179, sha256=HEX[6], tree=SRI[7],
                    locations=("https://nginx.org/download/nginx-1.26.3.tar.gz", "mirror://debian/pool/n/nginx.tar.gz"),
                ),
                Source(name="patches", folder="recipes/patches", strip=0),
                Source(
                    name="tool", locations=("pypi://tool/1/tool.whl",), filename="t.zip", unpacked=5, entries=2, platform=MUSL, tree=SRI[1]
                ),
            ),
            outputs={MUSL: LockedOutput(key=SRI[7], trees={"out": SRI[8], "dev": SRI[0]}, sandbox="chroot")},
        ),
        LockedPackage(name="perl", version="5", profiles=("small",), recipe=SRI[0]),
        LockedPackage(name="zlib", version="1.3.1", profiles=("small",), recipe=SRI[1]),
    ),
)
TEXT = f"""\
# Written by `builder resolve`; do not edit. After a merge run it again.

lock-version = 1

[[image]]
name = "web"
profile = "small"
recipe = "{SRI[0]}"
packages = ["nginx 1.26.3"]
base = ["musl 1.2.5"]

[image.output.{MUSL}]
key = "{SRI[1]}"
layer = "{HEX[2]}"
size = 4096
base = ["{HEX[3]}"]

[[package]]
name = "musl"
version = "1.2.5"
profiles = ["small"]
recipe = "{SRI[4]}"

[[package]]
name = "nginx"
version = "1.26.3"
profiles = ["small"]
recipe = "{SRI[5]}"
features = [
    "debug",
    "lua",
]
requires = ["musl 1.2.5"]
build-requires = [
    "perl 5",
    "zlib 1.3.1",
]

[[package.source]]
locations = [
    "https://nginx.org/download/nginx-1.26.3.tar.gz",
    "mirror://debian/pool/n/nginx.tar.gz",
]
size = 1260179
sha256 = "{HEX[6]}"
tree = "{SRI[7]}"

[[package.source]]
name = "patches"
strip = 0
folder = "recipes/patches"

[[package.source]]
name = "tool"
locations = ["pypi://tool/1/tool.whl"]
filename = "t.zip"
tree = "{SRI[1]}"
unpacked = 5
entries = 2
platform = "{MUSL}"

[package.output.{MUSL}]
key = "{SRI[7]}"
dev = "{SRI[0]}"
out = "{SRI[8]}"
sandbox = "chroot"

[[package]]
name = "perl"
version = "5"
profiles = ["small"]
recipe = "{SRI[0]}"

[[package]]
name = "zlib"
version = "1.3.1"
profiles = ["small"]
recipe = "{SRI[1]}"
"""


def test_the_exact_text() -> None:
    assert lock_text.format(LOCK) == TEXT


def test_reading_gives_back_what_was_written() -> None:
    assert lock_text.parse(TEXT) == LOCK


def test_an_empty_lock() -> None:
    assert lock_text.parse(lock_text.format(Lock())) == Lock()


def test_the_order_of_what_is_written_does_not_matter() -> None:
    mixed = Lock(images=LOCK.images, packages=LOCK.packages[::-1])
    assert lock_text.format(mixed) == TEXT
    nginx = LOCK.packages[1]
    output = nginx.outputs[MUSL]
    turned = replace(nginx, outputs={MUSL: replace(output, trees=dict(reversed(list(output.trees.items()))))})
    assert lock_text.format(replace(LOCK, packages=(LOCK.packages[0], turned, *LOCK.packages[2:]))) == TEXT


def test_blocks_that_a_merge_put_out_of_order_are_sorted() -> None:
    head, *blocks = TEXT.split("\n[[package]]")
    assert lock_text.parse("\n[[package]]".join([head, *reversed(blocks)])) == LOCK


@pytest.mark.parametrize("odd", ['"', "\\", "\n", "\t", "\x7f", "\x00", "é", "\u2028", "'", "\ud7ff", "\U0010ffff", "a\\u0041"])
def test_any_text_is_written_so_that_toml_reads_it_back(odd: str) -> None:
    image = replace(LOCK.images[0], packages=(odd,))
    assert tomli.loads(lock_text.format(Lock(images=(image,))))["image"][0]["packages"] == [odd]


# ---- edits by hand


def instead(old: str, new: str, which: int = 0) -> str:
    parts = TEXT.split(old)
    assert len(parts) > which + 1
    return old.join(parts[: which + 1]) + new + old.join(parts[which + 1 :])


AGAIN = "run `builder resolve`, which writes lock.toml again"
BACK = (
    "take it from version control: `git checkout lock.toml`; where there is none, remove it and run `builder resolve`, which "
    "chooses and measures everything anew"
)
DIGEST = "a digest is 'sha256-' and 44 characters of base64"
EDITS: list[tuple[str, str, list[str], str]] = [
    ("a digest that lost a digit", instead(SRI[4], SRI[4][:-2] + "="), [
        f"package[0] 'musl 1.2.5'.recipe: '{SRI[4][:-2]}=' is not a digest ({DIGEST})",
    ], BACK),
    ("a digest whose last digit holds bits that are not there", instead(SRI[4], SRI[4][:-2] + "F="), [
        f"package[0] 'musl 1.2.5'.recipe: '{SRI[4][:-2]}F=' is not a digest ({DIGEST})",
    ], BACK),
    ("a sum in capitals", instead(HEX[6], HEX[6].upper()), [
        f"package[1] 'nginx 1.26.3'.source[0].sha256: '{HEX[6].upper()}' is not of the right form "
        "(64 hexadecimal digits, as `sha256sum` prints them)",
    ], BACK),
    ("a missing version", instead('version = "1.2.5"\n', ""), ["package[0] 'musl'.version: is missing"], BACK),
    ("a missing name", instead('name = "musl"\n', ""), ["package[0] '1.2.5'.name: is missing"], BACK),
    ("a missing recipe of an image", instead(f'recipe = "{SRI[0]}"\n', ""), ["image[0] 'web small'.recipe: is missing"], BACK),
    ("a missing lock-version", instead("lock-version = 1\n", ""), ["lock-version: is missing"], BACK),
    ("a lock of a newer builder", instead("lock-version = 1", "lock-version = 2"), ["lock-version: is 2, but this builder reads 1"],
     "a newer builder wrote this lock; update builder"),
    ("a lock-version as text", instead("lock-version = 1", 'lock-version = "1"'), [
        "lock-version: must be a whole number, not text",
    ], BACK),
    ("an unknown key", instead("size = 1260179", "sise = 1260179"), [
        "package[1] 'nginx 1.26.3'.source[0].sise: unknown key (did you mean 'size'?)",
    ], BACK),
    ("a negative size", instead("size = 1260179", "size = -1"), [
        "package[1] 'nginx 1.26.3'.source[0].size: must be at least 1, not -1",
    ], BACK),
    ("a text for a list", instead('requires = ["musl 1.2.5"]', 'requires = "musl 1.2.5"'), [
        "package[1] 'nginx 1.26.3'.requires: must be a list, not text",
    ], BACK),
    ("a requirement without a version", instead('requires = ["musl 1.2.5"]', 'requires = ["musl"]'), [
        "package[1] 'nginx 1.26.3'.requires[0]: 'musl' is not of the right form (NAME VERSION)",
    ], BACK),
    ("a block that is there twice", TEXT + TEXT[TEXT.rindex("\n[[package]]"):], [
        "package 'zlib 1.3.1': is there twice (one block a package in profile 'small')",
    ], AGAIN),
    ("two versions in one profile", TEXT + TEXT[TEXT.rindex("\n[[package]]"):].replace("1.3.1", "1.3.2"), [
        "package 'zlib 1.3.2': 'zlib 1.3.1' is in profile 'small' too (one block a package in profile 'small')",
    ], AGAIN),
    ("an image that is there twice", TEXT + TEXT[TEXT.index("\n[[image]]"):TEXT.index("\n[image.")], [
        "image 'web small': is there twice (remove one of them)",
    ], AGAIN),
    ("a required package that is gone", TEXT[: TEXT.rindex("\n[[package]]")], [
        "package 'nginx 1.26.3'.build-requires[1]: 'zlib 1.3.1' is not in the lock for profile 'small' "
        "(known here: musl 1.2.5, nginx 1.26.3, perl 5)",
    ], AGAIN),
    ("a required version that is another", instead('requires = ["musl 1.2.5"]', 'requires = ["musl 1.2.4"]'), [
        "package 'nginx 1.26.3'.requires[0]: 'musl 1.2.4' is not in the lock for profile 'small' (did you mean 'musl 1.2.5'?)",
    ], AGAIN),
    ("an image of a package that is not there", instead('packages = ["nginx 1.26.3"]', 'packages = ["nginx 1.26.4"]'), [
        "image 'web small'.packages[0]: 'nginx 1.26.4' is not in the lock for profile 'small' (did you mean 'nginx 1.26.3'?)",
    ], AGAIN),
    ("an unknown profile", instead('profiles = ["small"]', 'profiles = ["small", "smal"]'), [
        "package 'musl 1.2.5'.profiles: no image is in profile 'smal' (did you mean 'small'?)",
    ], AGAIN),
    ("no profile", instead('profiles = ["small"]', "profiles = []"), [
        "package[0] 'musl 1.2.5'.profiles: must have at least 1 of them",
    ], BACK),
    ("an unknown platform", instead(f"[package.output.{MUSL}]", "[package.output.x86_64-linux-gnu]"), [
        "package[1] 'nginx 1.26.3'.output.x86_64-linux-gnu: the key is not of the right form "
        "(it must match x86_64-linux-musl|aarch64-linux-musl)",
    ], BACK),
    ("a sandbox without a name", instead('sandbox = "chroot"', 'sandbox = "No one"'), [
        f"package[1] 'nginx 1.26.3'.output.{MUSL}.sandbox: 'No one' is not of the right form (it must match {requirement.NAME})",
    ], BACK),
    ("a source of nowhere", instead('folder = "recipes/patches"\n', ""), [
        "package[1] 'nginx 1.26.3'.source[1]: must have exactly one of locations, folder; it has none of them "
        "(a source is fetched or lies in this repository)",
    ], BACK),
    ("a source that climbs out", instead('folder = "recipes/patches"', 'folder = "../patches"'), [
        "package[1] 'nginx 1.26.3'.source[1].folder: '../patches' is not a path inside a tree",
    ], BACK),
    ("two sources of one name", instead('name = "patches"\n', ""), [
        "package 'nginx 1.26.3'.source[1]: two sources are called 'main' (remove one of them)",
    ], AGAIN),
    ("conflict markers", instead("size = 4096", "<<<<<<< ours\nsize = 4096\n=======\nsize = 4097\n>>>>>>> theirs"), [
        "line 15: a merge conflict is left here", "line 19: a merge conflict is left here",
    ], "take one side whole: `git checkout --ours lock.toml`, or --theirs; then run `builder resolve`"),
    ("a quote that is open", instead('name = "musl"', 'name = "musl'), ["line 19, column 13: is not TOML: Illegal character '\\n'"], BACK),
    ("a key that is there twice", instead("size = 4096", "size = 4096\nsize = 4096"), [
        "line 16, column 12: is not TOML: Cannot overwrite a value",
    ], BACK),
    ("half a file", TEXT[: TEXT.index('"perl 5"')], ["line 35, column 5: is not TOML: Invalid value"], BACK),
]


@pytest.mark.parametrize(("text", "expected", "hint"), [each[1:] for each in EDITS], ids=[each[0] for each in EDITS])
def test_a_bad_edit_is_told_where_it_is_and_what_to_do(text: str, expected: list[str], hint: str) -> None:
    with pytest.raises(LockError) as caught:
        lock_text.parse(text)
    assert [str(each) for each in caught.value.problems] == [f"lock.toml: {each}" for each in expected]
    assert caught.value.hint == hint


def test_all_problems_come_at_once() -> None:
    text = instead("size = 1260179", "size = 0").replace(HEX[6], "abc").replace('"perl 5"', '"perl"')
    with pytest.raises(LockError) as caught:
        lock_text.parse(text, "other.lock")
    assert [each.place for each in caught.value.problems] == [
        "other.lock: package[1] 'nginx 1.26.3'.build-requires[0]",
        "other.lock: package[1] 'nginx 1.26.3'.source[0].size",
        "other.lock: package[1] 'nginx 1.26.3'.source[0].sha256",
    ]


# ---- remembered texts


def test_a_text_that_was_sound_is_not_checked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lock_text.parse(TEXT, cache_dir=str(tmp_path))
    monkeypatch.setattr(tomli, "loads", lambda _: pytest.fail("read again"))
    assert lock_text.parse(TEXT, cache_dir=str(tmp_path)) == first == LOCK


def test_of_many_texts_few_are_remembered(tmp_path: Path) -> None:
    for number in range(64):
        image = replace(LOCK.images[0], packages=(), base=())
        lock = Lock(images=(image,), packages=(LockedPackage(name="a", version=str(number), profiles=("small",), recipe=SRI[0]),))
        for _ in range(2):
            assert lock_text.parse(lock_text.format(lock), cache_dir=str(tmp_path)) == lock
    assert len(list(tmp_path.iterdir())) <= 16


def test_a_text_that_was_not_sound_is_not_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(LockError):
            lock_text.parse(EDITS[0][1], cache_dir=str(tmp_path))
        with pytest.raises(LockError):
            lock_text.parse(EDITS[13][1], cache_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# ---- any lock

_sris = st.sampled_from(SRI)
_hexes = st.sampled_from(HEX)
_some = st.none() | st.integers(1, 2**40)
_file_names = st.from_regex(r"[A-Za-z0-9_][!-.0-~]{0,8}", fullmatch=True)
_any_names = st.from_regex(r"[A-Za-z0-9_][!-.0-~é]{0,8}", fullmatch=True)


@st.composite
def sources(draw: st.DrawFn, name: str) -> Source:
    if draw(st.booleans()):
        include = draw(st.lists(st.from_regex("[a-z]+(/[*]+)?", fullmatch=True), max_size=2).map(tuple))
        return Source(name=name, folder=draw(st.from_regex("[a-z]/[a-z]", fullmatch=True)), strip=draw(st.integers(0, 2)), include=include)
    files = draw(st.lists(_file_names, min_size=1, max_size=3))
    locations = tuple(f"https://example.org/{each}" for each in files)
    return Source(
        name=name, locations=locations, filename=draw(st.just(files[0]) | _any_names), size=draw(_some), sha256=draw(st.none() | _hexes),
        tree=draw(st.none() | _sris), strip=draw(st.integers(0, 3)), unpacked=draw(_some), entries=draw(_some),
        platform=draw(st.sampled_from([None, MUSL])),
    )


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    """Locks that are sound: each package needs only earlier ones of its profiles."""
    names = draw(st.lists(st.from_regex(requirement.NAME, fullmatch=True), unique=True, max_size=5))
    profiles = ("p", "q")
    packages: list[LockedPackage] = []
    for name in names:
        mine = draw(st.sampled_from([("p",), ("p", "q")]))
        below = [each.id for each in packages if set(mine) <= set(each.profiles)]
        wants = st.lists(st.sampled_from(below), unique=True).map(sorted).map(tuple) if below else st.just(())
        trees = st.fixed_dictionaries({"out": _sris}, optional={"dev": _sris, "debug": _sris})
        output = st.builds(LockedOutput, key=_sris, trees=trees, sandbox=st.sampled_from(["", "chroot"]))
        packages.append(LockedPackage(
            name=name, version=draw(st.from_regex(requirement.VERSION, fullmatch=True)), profiles=mine, recipe=draw(_sris),
            features=draw(st.sampled_from([(), ("a",), ("a", "b")])), requires=draw(wants), build_requires=draw(wants),
            sources=tuple(draw(sources(each)) for each in draw(st.sampled_from([(), ("main",), ("main", "x")]))),
            outputs=draw(st.dictionaries(st.just(MUSL), output)),
        ))
    layer = st.builds(LockedLayer, key=_sris, layer=_hexes, size=st.integers(1, 2**50), base=st.lists(_hexes, max_size=2).map(tuple))
    images = tuple(
        LockedImage(
            name="i", profile=profile, recipe=draw(_sris), outputs=draw(st.dictionaries(st.just(MUSL), layer)),
            packages=tuple(sorted(each.id for each in packages if profile in each.profiles)),
        )
        for profile in profiles
    )
    return Lock(images=images, packages=tuple(sorted(packages, key=lambda each: (each.name, each.version, each.profiles))))


@given(locks())
def test_any_sound_lock_comes_back_as_it_was_written(lock: Lock) -> None:
    text = lock_text.format(lock)
    again = lock_text.parse(text)
    assert again == lock
    assert lock_text.format(again) == text


@given(locks())
def test_what_is_remembered_of_a_written_lock_is_what_reading_its_text_gives(lock: Lock) -> None:
    tables = [lock_text.table_of(lock), lock_text._read(lock_text.format(lock), "lock.toml")]
    remembered, read = (json.dumps(each, sort_keys=True) for each in tables)  # a tuple is a list there
    assert remembered == read


def test_a_remembered_lock_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_text.remember(LOCK, TEXT, str(tmp_path))
    monkeypatch.setattr(tomli, "loads", lambda _: pytest.fail("read"))
    assert lock_text.parse(TEXT, cache_dir=str(tmp_path)) == LOCK


def test_an_output_of_any_weaker_executor_is_read_as_it_is_written() -> None:
    text = (Path(__file__).parents[2] / "lock.toml").read_text()
    weak = text.replace('\nout = "', '\nsandbox = "remote"\nout = "', 1)
    lock = lock_text.parse(weak)
    assert [each.sandbox for package in lock.packages for each in package.outputs.values()].count("remote") == 1
    assert lock_text.parse(lock_text.format(lock)) == lock
