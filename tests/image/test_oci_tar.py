"""The archive: golden bytes, and other programs' reading of it."""

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.base.errors import StoreError
from builder.image.oci import capability, tar
from builder.image.oci.entry import DIR, FILE, LINK, Entry, order

SMALL = (
    Entry(path="etc", kind=DIR, mode=0o755),
    Entry(path="etc/passwd", kind=FILE, mode=0o644, size=5, data=b"root\n"),
    Entry(path="usr", kind=DIR, mode=0o1777, uid=101, gid=102),
    Entry(
        path="usr/nginx", kind=FILE, mode=0o755, size=3, data=b"ELF",
        xattrs=((capability.XATTR, capability.encode(["CAP_NET_BIND_SERVICE"])),),
    ),
    Entry(path="usr/sh", kind=LINK, mode=0o777, target="nginx"),
)  # fmt: skip
GOLDEN = "d332d84bf50e40e719869cf1deecf17f5b6eb4769d1af1c69f01551b708fade8"


def archive(entries: tuple[Entry, ...]) -> bytes:
    out = io.BytesIO()
    tar.write(entries, out.write)
    return out.getvalue()


def test_golden_bytes() -> None:
    """A change here changes the digest of every layer: bump the lock's layer keys when it is meant."""
    assert hashlib.sha256(archive(SMALL)).hexdigest() == GOLDEN


def test_an_empty_layer_is_two_blocks_of_zeros() -> None:
    assert archive(()) == bytes(1024)


def test_header_field_by_field() -> None:
    block = archive((Entry(path="bin", kind=DIR, mode=0o755, uid=8, gid=9),))[:512]
    assert block[:100] == b"bin/".ljust(100, b"\0")
    assert block[100:156] == b"0000755\x000000010\x000000011\x0000000000000\x0000000000000\x00" + b"%06o\0 " % (
        sum(block[:148]) + 8 * 32 + sum(block[156:])
    )
    assert block[156:] == b"5".ljust(101, b"\0") + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)


def test_the_process_does_not_show(tmp_path: Path) -> None:
    """Neither umask, nor times, owner and mode of the files on disk, nor the size of reads."""
    path = tmp_path / "x"
    entry = Entry(path="x", kind=FILE, mode=0o644, size=4, source=str(path))
    path.write_bytes(b"data")
    first = archive((entry,))
    before = os.umask(0o077)
    try:
        path.chmod(0o400)
        os.utime(path, (1, 1))
        assert archive((entry,)) == first
    finally:
        os.umask(before)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_files_of_any_size_are_read_from_disk(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    found = archive((Entry(path="x", kind=FILE, mode=0o644, size=size, source=str(tmp_path / "x")),))
    assert found == archive((Entry(path="x", kind=FILE, mode=0o644, size=size, data=data),))
    assert found[512 : 512 + size] == data
    assert len(found) % 512 == 0


@pytest.mark.parametrize("size", [10, 3 << 20])
@pytest.mark.parametrize(("change", "told"), [(-1, ""), (1, "more than ")])
def test_a_file_that_changed_is_refused(tmp_path: Path, size: int, change: int, told: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(size + change))
    with pytest.raises(StoreError) as error:
        archive((Entry(path="x", kind=FILE, mode=0o644, size=size, source=str(path)),))
    found = f"{told}{size}" if told else str(size + change)
    assert str(error.value) == (
        f"{path}: the file has {found} bytes, not {size}: it was changed after the layer was composed\n"
        "  next: run `builder store verify`, then build again"
    )


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        archive((Entry(path="x", kind=FILE, mode=0o644, size=1, source=str(tmp_path / "x")),))


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        ("n" * 100, False),
        ("n" * 101, True),
        ("p" * 155 + "/" + "n" * 100, False),
        ("p" * 156 + "/" + "n" * 100, True),
        ("p" * 155 + "/" + "n" * 101, True),
        ("p" * 99 + "/" + "q" * 55 + "/" + "n" * 100, False),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", True),
    ],
)
def test_extended_headers_only_where_ustar_ends(path: str, extended: bool) -> None:
    data = archive((Entry(path=path, kind=FILE, mode=0o644, size=0, data=b""),))
    assert (data[156:157] == b"x") is extended
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert read.getnames() == [path]


@pytest.mark.parametrize("length", [*range(85, 102), *range(980, 1002)])
def test_record_lengths_count_their_own_digits(length: int) -> None:
    record = tar._record("k", b"v" * length)
    assert int(record.split(b" ")[0]) == len(record)


def test_numbers_beyond_the_octal_fields() -> None:
    big = Entry(path="x", kind=DIR, mode=0o755, uid=0o7777777 + 1, gid=4_000_000_000)
    with tarfile.open(fileobj=io.BytesIO(archive((big,)))) as read:
        member = read.getmember("x")
    assert (member.uid, member.gid) == (2097152, 4_000_000_000)
    head = tar._head(Entry(path="x", kind=FILE, mode=0o644, size=1 << 33))
    assert b" size=8589934592\n" in head
    assert b" size=" not in tar._head(Entry(path="x", kind=FILE, mode=0o644, size=(1 << 33) - 1))


_NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120)
_PARTS = st.lists(_NAME.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4)
_PATH = _PARTS.map("/".join)
_IDS = st.one_of(st.integers(0, 70_000), st.integers(0, (1 << 32) - 2))


@st.composite
def _entry(draw: st.DrawFn, path: str) -> Entry:
    kind = draw(st.sampled_from([FILE, DIR, LINK]))
    data = draw(st.binary(max_size=1500)) if kind == FILE else None
    return Entry(
        path=path,
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(_IDS),
        gid=draw(_IDS),
        data=data,
        size=len(data or b""),
        target=draw(_PATH) if kind == LINK else "",
        xattrs=(("user.x", draw(st.binary(max_size=300))),) if kind == FILE and draw(st.booleans()) else (),
    )


_LAYER = st.lists(_PATH, max_size=6, unique=True).flatmap(lambda paths: st.tuples(*map(_entry, paths)))


@settings(deadline=None)
@given(_LAYER)
def test_tarfile_reads_what_was_written(entries: tuple[Entry, ...]) -> None:
    data = archive(entries)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as read:
        members = read.getmembers()
        assert len(members) == len(entries)
        for entry, member in zip(entries, members, strict=True):
            kinds = {FILE: member.isreg(), DIR: member.isdir(), LINK: member.issym()}
            assert kinds[entry.kind]
            assert (member.name, member.mode, member.uid, member.gid) == (entry.path, entry.mode, entry.uid, entry.gid)
            assert (member.mtime, member.uname, member.gname) == (0, "", "")
            assert member.linkname == entry.target
            if entry.data is not None:
                content = read.extractfile(member)
                assert content is not None
                assert content.read() == entry.data
            found = member.pax_headers.get("SCHILY.xattr.user.x")
            assert (None if found is None else found.encode("utf-8", "surrogateescape")) == dict(entry.xattrs).get("user.x")


_TREE_NAME = st.text("abcdefé. -", min_size=1, max_size=60).filter(lambda name: name.strip(". ") == name)


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.lists(_TREE_NAME, min_size=5, max_size=7).map("/".join), st.binary(max_size=2000), max_size=8))
def test_gnu_tar_unpacks_what_was_written(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    entries = tuple(sorted((Entry(path=p, kind=FILE, mode=0o640, size=len(d), data=d) for p, d in files.items()), key=order))
    into = tmp_path_factory.mktemp("gnu")
    subprocess.run(["tar", "-x", "--no-same-owner", "-C", str(into)], input=archive(entries), check=True)
    found = {str(each.relative_to(into)): each.read_bytes() for each in into.rglob("*") if each.is_file()}
    assert found == files


def test_gnu_tar_lists_everything(tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(archive(SMALL))
    env = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]}
    argv = ["tar", "--xattrs", "--xattrs-include=security.*", "--numeric-owner", "-tvvf", str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=env)
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "etc/"],
        ["-rw-r--r--", "0/0", "5", "1970-01-01", "00:00", "etc/passwd"],
        ["drwxrwxrwt", "101/102", "0", "1970-01-01", "00:00", "usr/"],
        ["-rwxr-xr-x*", "0/0", "3", "1970-01-01", "00:00", "usr/nginx"],
        ["x:", "20", "security.capability"],
        ["lrwxrwxrwx", "0/0", "0", "1970-01-01", "00:00", "usr/sh", "->", "nginx"],
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set file capabilities")
def test_gnu_tar_restores_capabilities(tmp_path: Path) -> None:
    argv = ["tar", "--xattrs", "--xattrs-include=security.*", "-x", "-C", str(tmp_path)]
    done = subprocess.run(argv, input=archive(SMALL), capture_output=True, check=False)
    if done.stderr:
        pytest.skip("this file system has no file capabilities")
    assert os.getxattr(tmp_path / "usr/nginx", capability.XATTR) == capability.encode(["CAP_NET_BIND_SERVICE"])
