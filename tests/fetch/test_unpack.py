"""Unpacking: real layouts come out right, hostile ones are refused with a text that says what they did."""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from archives import COMPRESS, entry, folder, link, make_ar, make_deb, make_tar, make_zip, pax, retyped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.base.errors import ArchiveError
from builder.fetch.unpack import Cancelled, Limits, Totals, TruncatedError, kind, links, unpack
from builder.tree import nar

LIMITS = Limits(unpacked=1 << 20, entries=100)
REFUSED = "\n  next: an honest release has no such thing: compare the file with what upstream published"
AGAIN = "\n  next: fetch it again"


class Unpacker:
    """Unpacks bytes below a temporary folder and tells what came out."""

    def __init__(self, top: Path) -> None:
        self.into = top / "into"
        self.archive = top / "archive"

    def __call__(self, data: bytes, name: str = "a.tar", *, strip: int = 0, limits: Limits = LIMITS) -> dict[str, object]:
        self.into.mkdir()
        self.archive.write_bytes(data)
        self.totals = unpack(str(self.archive), name, str(self.into), strip=strip, limits=limits)
        return self.found()

    def found(self) -> dict[str, object]:
        shown: dict[str, object] = {}
        for each in nar.scan(str(self.into))[1:]:
            path = self.into / each.path
            if each.kind == "link":
                shown[each.path] = f"-> {each.target}"
            elif each.kind == "dir":
                shown[each.path + "/"] = None
            else:
                shown[each.path + ("*" if each.executable else "")] = path.read_bytes()
        return shown

    def refused(self, data: bytes, name: str = "a.tar", *, strip: int = 0, limits: Limits = LIMITS) -> str:
        with pytest.raises(ArchiveError) as caught:
            self(data, name, strip=strip, limits=limits)
        assert caught.value.hint
        return str(caught.value).removesuffix(REFUSED)


@pytest.fixture
def run(tmp_path: Path) -> Unpacker:
    return Unpacker(tmp_path)


FORGE = (
    folder("name-1a2b3c/"), entry("name-1a2b3c/README", b"read me\n"), folder("name-1a2b3c/lib/"),
    entry("name-1a2b3c/lib/run.sh", b"#!/bin/sh\n", mode=0o4775), link("name-1a2b3c/lib/now", "../README"),
    link("name-1a2b3c/hard", "name-1a2b3c/lib/run.sh", tarfile.LNKTYPE),
)
UNPACKED = {
    "README": b"read me\n", "hard*": b"#!/bin/sh\n", "lib/": None, "lib/now": "-> ../README", "lib/run.sh*": b"#!/bin/sh\n",
}


class TestWhatComesOut:
    @pytest.mark.parametrize("suffix", COMPRESS)
    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_a_forge_archive_loses_its_top_folder(self, run: Unpacker, suffix: str, form: int) -> None:
        assert run(COMPRESS[suffix](make_tar(*FORGE, form=form)), f"name.tar{suffix}", strip=1) == UNPACKED
        assert run.totals == Totals(unpacked=28, entries=5)

    def test_compression_is_told_by_the_bytes_not_by_the_name(self, run: Unpacker) -> None:
        assert run(COMPRESS[".xz"](make_tar(entry("a", b"1"))), "a.tar.gz") == {"a": b"1"}

    def test_no_more_than_the_executable_bit_is_kept(self, run: Unpacker) -> None:
        before = os.umask(0o133)
        try:
            run(make_tar(entry("a", mode=0o6755), entry("b", mode=0o666), entry("c", mode=0o011)))
        finally:
            os.umask(before)
        assert [stat.S_IMODE((run.into / name).stat().st_mode) & ~0o044 for name in "abc"] == [0o711, 0o600, 0o600]

    def test_a_hard_link_is_a_file_of_its_own(self, run: Unpacker) -> None:
        run(make_tar(entry("a", b"1"), link("b", "a", tarfile.LNKTYPE)))
        assert (run.into / "b").stat().st_nlink == 1
        assert run.totals == Totals(unpacked=2, entries=2)

    def test_folders_that_are_not_named_are_made(self, run: Unpacker) -> None:
        assert run(make_tar(entry("./a/b//c", b"1"), folder("a/"))) == {"a/": None, "a/b/": None, "a/b/c": b"1"}

    def test_long_names_and_names_that_are_not_utf8(self, run: Unpacker) -> None:
        long, odd = "d" * 200 + "/" + "f" * 200, b"caf\xe9".decode("utf-8", "surrogateescape")
        found = run(make_tar(entry(long, b"1"), entry(odd, b"2"), form=tarfile.GNU_FORMAT))
        assert found == {"d" * 200 + "/": None, long: b"1", odd: b"2"}

    def test_a_global_header_as_git_writes_it(self, run: Unpacker) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "1" * 40}) as archive:
            archive.addfile(entry("top/a", b"1")[0], io.BytesIO(b"1"))
        assert run(file.getvalue(), strip=1) == {"a": b"1"}

    def test_two_folders_are_stripped(self, run: Unpacker) -> None:
        assert run(make_tar(folder("a/"), folder("a/b/"), entry("a/b/c", b"1")), strip=2) == {"c": b"1"}

    def test_concatenated_streams(self, run: Unpacker) -> None:
        data = make_tar(entry("a", b"1" * 5000))
        assert run(lzma.compress(data[:700]) + b"\0" * 8 + lzma.compress(data[700:]), "a.tar.xz") == {"a": b"1" * 5000}

    def test_zip(self, run: Unpacker) -> None:
        data = make_zip(
            ("top/", b"", 0o40755), ("top/a", b"1", 0o100644), ("top/b/c", b"2" * 5000, 0o100755), ("top/d", b"b/c", 0o120777),
        )
        assert run(data, "a.zip", strip=1) == {"a": b"1", "b/": None, "b/c*": b"2" * 5000, "d": "-> b/c"}
        assert run.totals == Totals(unpacked=5001, entries=4)

    def test_wheel(self, run: Unpacker) -> None:
        data = make_zip(("a/__init__.py", b"", 0o100644), ("a-1.dist-info/RECORD", b"x", 0), method=zipfile.ZIP_STORED)
        assert run(data, "a-1-py3-none-any.whl") == {
            "a-1.dist-info/": None, "a-1.dist-info/RECORD": b"x", "a/": None, "a/__init__.py": b"",
        }

    @pytest.mark.parametrize("suffix", COMPRESS)
    def test_debian_package(self, run: Unpacker, suffix: str) -> None:
        data = make_tar(folder("./"), folder("./lib/"), entry("./lib/a", b"1"), link("./lib64", "/lib"), link("./etc", "/usr/etc"))
        deb = make_deb(COMPRESS[suffix](data), b"data.tar" + suffix.encode())
        assert run(deb, "a_1_amd64.deb") == {"etc": "-> /usr/etc", "lib/": None, "lib/a": b"1", "lib64": "-> /lib"}

    def test_a_tar_that_is_a_root_may_have_absolute_links(self, run: Unpacker) -> None:
        assert run(make_tar(link("bin/sh", "/bin/busybox"))) == {"bin/": None, "bin/sh": "-> /bin/busybox"}

    def test_a_patch_is_a_tree_of_one_file(self, run: Unpacker) -> None:
        assert run(b"--- a\n+++ b\n", "fix.patch", strip=1) == {"fix.patch": b"--- a\n+++ b\n"}


class TestNames:
    def test_kinds(self) -> None:
        names = ("a.tar", "a.TAR.GZ", "a.tgz", "a.tar.zst", "a.whl", "a.zip", "a_1.deb", "a.diff")
        assert [kind(name) for name in names] == ["tar", "tar", "tar", "tar", "zip", "zip", "deb", "file"]

    def test_unknown(self) -> None:
        with pytest.raises(ArchiveError) as caught:
            kind("a.rar")
        assert str(caught.value) == (
            "a.rar: the name does not say what kind of archive it is\n  next: set 'filename' of the source; known are .tar, "
            ".tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, .txz, .tar.zst, .tzst, .zip, .whl, .deb, .patch, .diff, .lua"
        )


HOSTILE_PATHS = [
    ("/etc/passwd", "'/etc/passwd' is an absolute path"),
    ("../a", "'../a' leads out of the tree"),
    ("a/../../b", "'a/../../b' leads out of the tree"),
    ("a/..", "'a/..' leads out of the tree"),
]


class TestHostilePaths:
    @pytest.mark.parametrize(("name", "said"), HOSTILE_PATHS)
    def test_tar(self, run: Unpacker, name: str, said: str) -> None:
        assert run.refused(make_tar(entry(name, b"x"))) == f"a.tar: {said}"
        assert run.found() == {}

    @pytest.mark.parametrize(("name", "said"), HOSTILE_PATHS)
    def test_zip(self, run: Unpacker, name: str, said: str) -> None:
        assert run.refused(make_zip((name, b"x", 0o100644)), "a.zip") == f"a.zip: {said}"
        assert run.found() == {}

    @pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE])
    def test_folders_and_links_too(self, run: Unpacker, kind: bytes) -> None:
        assert run.refused(make_tar(entry("../a", type=kind, linkname="b"))) == "a.tar: '../a' leads out of the tree"

    def test_nul_in_a_tar(self, run: Unpacker) -> None:
        data = make_tar(entry("a", b"x", pax_headers={"path": "a\0b"}))
        assert run.refused(data) == "a.tar: 'a\\x00b' has a NUL byte"

    def test_nul_in_a_zip(self, run: Unpacker) -> None:
        data = make_zip(("aXb", b"x", 0o100644)).replace(b"aXb", b"a\0b")
        assert run.refused(data, "a.zip") == "a.zip: 'a\\x00b' has a NUL byte"

    def test_an_empty_name(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("./", b"x", type=tarfile.CONTTYPE))) == "a.tar: './' is not a path of a file"

    def test_a_name_that_the_file_system_refuses(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("a" * 300, b"x"))) == (
            "a.tar: it has a name that this file system does not take: File name too long"
        )

    def test_control_characters_do_not_reach_the_terminal(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("/\x1b[2J", b"x"))) == "a.tar: '/\\x1b[2J' is an absolute path"


class TestTwice:
    @pytest.mark.parametrize(("first", "second", "said"), [
        (entry("a", b"1"), entry("a", b"2"), "'a' is there twice, as a file and as a file"),
        (folder("a"), link("a", "b"), "'a' is there twice, as a folder and as a link"),
        (folder("a"), entry("a", b"1"), "'a' is there twice, as a folder and as a file"),
        (entry("a/b", b"1"), link("a", "b"), "'a' is there twice, as a folder and as a link"),
        (link("a", "b"), folder("a"), "'a' is there twice, as a link and as a folder"),
        (link("a", "b"), entry("./a", b"1"), "'a' is there twice, as a link and as a file"),
        (link("a", "b"), entry("a/c", b"1"), "'a/c' lies below a link"),
        (link("a", "."), entry("a/b/c", b"1"), "'a/b/c' lies below a link"),
        (entry("a", b"1"), folder("a/b"), "'a/b' lies below a file"),
    ])
    def test_nothing_is_replaced_or_written_through(
        self, run: Unpacker, first: tuple[tarfile.TarInfo, bytes], second: tuple[tarfile.TarInfo, bytes], said: str
    ) -> None:
        assert run.refused(make_tar(first, second)) == f"a.tar: {said}"

    def test_zip(self, run: Unpacker, tmp_path: Path) -> None:
        data = make_zip(("a", str(tmp_path).encode(), 0o120777), ("a/evil", b"1", 0o100644))
        assert run.refused(data, "a.zip") == "a.zip: 'a/evil' lies below a link"
        assert not (tmp_path / "evil").exists()


class TestLinks:
    @pytest.mark.parametrize("target", ["../a", "b/../../a", "/etc/passwd", "./../a"])
    def test_out_of_the_tree(self, run: Unpacker, target: str) -> None:
        said = f"a.tar: the symbolic link 'x' to '{target}' leads out of the tree"
        assert run.refused(make_tar(entry("top/f", b"1"), link("top/x", target)), strip=1) == said

    def test_zip_and_absolute(self, run: Unpacker) -> None:
        said = "a.zip: the symbolic link 'x' to '/etc/passwd' leads out of the tree"
        assert run.refused(make_zip(("x", b"/etc/passwd", 0o120777)), "a.zip") == said

    def test_out_through_another_link(self, run: Unpacker) -> None:
        data = make_tar(folder("a/b/c"), link("a/b/c/up", "../../.."), link("out", "a/b/c/up/.."))
        assert run.refused(data) == "a.tar: the symbolic link 'out' to 'a/b/c/up/..' leads out of the tree"

    def test_a_root_may_not_be_left_by_a_relative_link(self, run: Unpacker) -> None:
        assert run.refused(make_deb(make_tar(link("./a", "../../b")), b"data.tar"), "a.deb") == (
            "a.deb: the symbolic link 'a' to '../../b' leads out of the tree"
        )

    def test_hard_links(self, run: Unpacker) -> None:
        for target, said in [
            ("/etc/passwd", "'/etc/passwd' is an absolute path"), ("../a", "'../a' leads out of the tree"),
            ("b", "the hard link 'x' leads to 'b', which is no file before it"),
        ]:
            assert run.refused(make_tar(link("x", target, tarfile.LNKTYPE))) == f"a.tar: {said}"
            run.into.rmdir()

    def test_a_hard_link_through_a_symbolic_one(self, run: Unpacker, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        data = make_tar(link("a", str(tmp_path / "secret")), link("b", "a", tarfile.LNKTYPE))
        assert run.refused(data) == "a.tar: the hard link 'b' leads to 'a', which is no file before it"

    @pytest.mark.parametrize("target", ["", "a" * 5000])
    def test_targets_that_are_none(self, run: Unpacker, target: str) -> None:
        assert run.refused(make_tar(link("x", target))) == "a.tar: the symbolic link 'x' has no usable target"

    def test_a_circle_leads_nowhere(self, run: Unpacker) -> None:
        assert run(make_tar(link("a", "b"), link("b", "a"))) == {"a": "-> b", "b": "-> a"}

    def test_a_tangle_of_long_targets_is_given_up_early(self) -> None:
        """The work is counted by parts: a target of 2,000 of them is split for each link that leads there."""
        tangle = {b"l%d" % n: b"l%d/" % (n + 1) + b"x/" * 2000 for n in range(2000)}
        before = time.process_time()
        with pytest.raises(links.TangledError):
            links.leaving(tangle, root=False)
        assert time.process_time() - before < 2

    def test_a_tangle_is_given_up(self) -> None:
        tangle = {f"l{n}".encode(): b"/".join([f"l{n + 1}".encode(), *[b"x", b".."] * 2000]) for n in range(40)}
        with pytest.raises(links.TangledError):
            links.leaving(tangle, root=False)

    def test_an_absolute_target_counts_from_the_root(self) -> None:
        tree = {b"a/b": b"/c", b"d": b"a/b/../e", b"f": b"a/b/../../e"}
        assert links.leaving(tree, root=True) == [b"f"]
        assert links.leaving(tree, root=False) == [b"a/b", b"d", b"f"]


class TestKindsOfEntries:
    @pytest.mark.parametrize(("kind", "what"), [
        (tarfile.CHRTYPE, "a device"), (tarfile.BLKTYPE, "a device"), (tarfile.FIFOTYPE, "a pipe"),
        (b"V", "of unknown kind 'V'"),
    ])
    def test_tar(self, run: Unpacker, kind: bytes, what: str) -> None:
        assert run.refused(make_tar(entry("a", type=kind))) == f"a.tar: 'a' is {what}"

    def test_sparse(self, run: Unpacker) -> None:
        headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": "999999999"}
        said = run.refused(make_tar(entry("a", b"1", pax_headers=headers)))
        assert said == "a.tar: 'a' is a sparse file\n  next: pack it without --sparse"

    @pytest.mark.parametrize("mode", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
    def test_zip(self, run: Unpacker, mode: int) -> None:
        assert run.refused(make_zip(("a", b"", mode)), "a.zip") == "a.zip: 'a' is a device, a pipe or a socket"

    def test_encrypted_zip(self, run: Unpacker) -> None:
        data = bytearray(make_zip(("a", b"x", 0o100644)))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        assert run.refused(bytes(data), "a.zip") == "a.zip: 'a' is encrypted"


class TestTopFolder:
    MORE = "\n  next: set 'strip' of the source to less"

    def test_two_of_them(self, run: Unpacker) -> None:
        said = run.refused(make_tar(entry("a/x", b"1"), entry("b/x", b"1")), strip=1)
        assert said == "a.tar: there is more than one top directory: 'a' and 'b'" + self.MORE

    def test_a_file_beside_it(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("README", b"1")), strip=1) == (
            "a.tar: 'README' lies outside the top directory" + self.MORE
        )

    def test_a_link_in_its_place(self, run: Unpacker) -> None:
        assert run.refused(make_tar(link("a", ".")), strip=1) == "a.tar: 'a' lies outside the top directory" + self.MORE

    def test_two_below_it(self, run: Unpacker) -> None:
        said = run.refused(make_tar(folder("a"), folder("a/b"), entry("a/c/d", b"1")), strip=2)
        assert said == "a.tar: there is more than one top directory: 'a/b' and 'a/c'" + self.MORE


class TestLimits:
    BYTES = ": it unpacks to more than 1048576 bytes\n  next: raise 'unpacked' of the source if that is right"
    ENTRIES = ": it has more than 100 entries\n  next: raise 'entries' of the source if that is right"

    def test_exactly_at_both_limits(self, run: Unpacker) -> None:
        run(make_tar(entry("a", b"12"), entry("b", b"3")), limits=Limits(unpacked=3, entries=2))
        assert run.totals == Totals(unpacked=3, entries=2)

    @pytest.mark.parametrize("suffix", COMPRESS)
    def test_a_bomb_in_a_tar(self, run: Unpacker, suffix: str) -> None:
        data = COMPRESS[suffix](make_tar(entry("a", bytes(9 << 20))))
        assert run.refused(data, f"a.tar{suffix}") == f"a.tar{suffix}" + self.BYTES
        assert sum(path.stat().st_size for path in run.into.iterdir()) <= LIMITS.unpacked

    def test_a_bomb_in_a_zip_counts_real_bytes(self, run: Unpacker) -> None:
        data = make_zip(("a", bytes(9 << 20), 0o100644))
        assert run.refused(data, "a.zip") == "a.zip" + self.BYTES
        assert (run.into / "a").stat().st_size <= LIMITS.unpacked

    def test_a_zip_that_lies_about_its_size(self, run: Unpacker) -> None:
        data = make_zip(("a", bytes(9 << 20), 0o100644)).replace(struct.pack("<L", 9 << 20), struct.pack("<L", 10))
        assert run.refused(data, "a.zip").startswith("a.zip: the archive is damaged: Bad CRC-32")
        assert (run.into / "a").stat().st_size <= 10

    def test_files_of_a_zip_count_together(self, run: Unpacker) -> None:
        data = make_zip(*((f"f{n}", bytes(600_000), 0o100644) for n in range(2)))
        assert run.refused(data, "a.zip") == "a.zip" + self.BYTES

    def test_hard_links_count_as_the_files_they_become(self, run: Unpacker) -> None:
        data = make_tar(entry("a", bytes(600_000)), link("b", "a", tarfile.LNKTYPE))
        assert run.refused(data) == "a.tar" + self.BYTES

    def test_too_many_entries(self, run: Unpacker) -> None:
        names = [f"f{n}" for n in range(101)]
        assert run.refused(make_tar(*map(entry, names))) == "a.tar" + self.ENTRIES
        run.into.rename(run.into.with_name("old"))
        assert run.refused(make_zip(*((name, b"", 0) for name in names)), "a.zip") == "a.zip" + self.ENTRIES

    def test_folders_that_are_not_named_count(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("/".join("a" * 101), b"1"))) == "a.tar" + self.ENTRIES

    def test_a_directory_of_a_zip_that_would_fill_the_memory(self, run: Unpacker) -> None:
        data = make_zip(*((f"{n:05}", b"", 0) for n in range(21_000)))
        assert run.refused(data, "a.zip") == "a.zip" + self.ENTRIES
        assert run.found() == {}, "it was refused before the first entry"

    def test_a_directory_of_a_zip_with_long_names(self, run: Unpacker) -> None:
        data = make_zip(*((f"{n:0200}", b"", 0) for n in range(6000)))
        assert run.refused(data, "a.zip") == "a.zip: it has a directory of 1476000 bytes"

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_a_zip_whose_method_inflates_all_at_once(self, run: Unpacker, method: int) -> None:
        data = make_zip(("a", bytes(9 << 20), 0o100644), method=method)
        assert run.refused(data, "a.zip") == f"a.zip: 'a' is compressed by method {method}\n  next: pack it with method deflate"

    def test_a_zip_whose_entries_overlap(self, run: Unpacker) -> None:
        data = bytearray(make_zip(*((f"f{n}", os.urandom(2000), 0o100644) for n in range(3)), method=zipfile.ZIP_STORED))
        for at in [found.start() for found in re.finditer(b"PK\x01\x02", bytes(data))]:
            data[at + 20 : at + 28] = struct.pack("<LL", 6000, 6000)  # both sizes
        assert run.refused(bytes(data), "a.zip") == "a.zip: its entries overlap"

    def test_a_zip64_directory_of_exabytes(self, run: Unpacker) -> None:
        data = make_zip(("a", b"1", 0o100644))
        end = data.index(b"PK\x05\x06")
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 1 << 62, 0)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
        tail = data[end : end + 8] + b"\xff" * 12 + b"\0\0"
        assert run.refused(data[:end] + record + locator + tail, "a.zip").startswith("a.zip: ")

    def test_a_header_that_would_fill_the_memory(self, run: Unpacker) -> None:
        data = make_tar(entry("a", pax_headers={"comment": "x" * (9 << 20)}))
        assert run.refused(gzip.compress(data), "a.tar.gz") == "a.tar.gz: it has a header of 9437201 bytes"

    def test_a_long_name_that_would_fill_the_memory(self, run: Unpacker) -> None:
        data = make_tar(entry("a" * (1 << 20)), form=tarfile.GNU_FORMAT)
        assert run.refused(gzip.compress(data), "a.tar.gz") == "a.tar.gz: it has a header of 1048577 bytes"

    def test_records_of_a_header_that_overlap(self, run: Unpacker) -> None:
        """One header of 256 KiB whose 130,000 records each begin two bytes after the last and reach to its end."""
        data = pax(b"2 " * 130_000 + b"k=v\n")
        assert run.refused(data) == "a.tar: the archive is damaged: a record of an extended header is wrong" + AGAIN

    def test_records_that_are_many(self, run: Unpacker) -> None:
        assert run.refused(pax(b"5 a=\n" * 50_000)) == "a.tar: it has too many headers"

    def test_global_headers_are_not_kept(self, run: Unpacker) -> None:
        """What each of them says would otherwise be held, and copied for each entry."""
        records = b"".join(b"%d k%d=v\n" % (len(str(n)) + 7, n) for n in range(10_000, 10_200))
        one = pax(records, kind=tarfile.XGLTYPE)[: 512 + len(records) + -len(records) % 512]
        assert run(one + one + make_tar(entry("a", b"1"))) == {"a": b"1"}
        run.into.rename(run.into.with_name("old"))
        assert run.refused(pax(b"10 path=b\n", kind=tarfile.XGLTYPE)) == "a.tar: a global header renames or resizes all entries"

    def test_names_that_would_fill_the_memory(self, run: Unpacker) -> None:
        data = make_tar(*(link(f"{n}", "x/" * 2000) for n in range(300)))
        said = run.refused(data, limits=Limits(unpacked=1, entries=300))
        assert said == "a.tar: its names are too long for so many entries"

    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
    def test_empty_streams_without_end(self, run: Unpacker, pack: Callable[[bytes], bytes]) -> None:
        data = pack(b"") * 100_001 + pack(make_tar(entry("a")))
        assert run.refused(data) == "a.tar: the archive is damaged: it has more than 100000 compressed streams" + AGAIN

    def test_headers_without_end(self, run: Unpacker) -> None:
        headers = make_tar(entry("a", pax_headers={"comment": "x" * 100_000}))[: 512 + 100_352]
        assert run.refused(headers * 20) == "a.tar: it has too many headers"

    def test_an_xz_that_wants_gigabytes(self, run: Unpacker) -> None:
        data = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
        data[16] = 38  # dictionary of 2 GiB (The .xz File Format, section 5.3.1)
        data[20:24] = struct.pack("<L", zlib.crc32(data[12:20]))
        assert run.refused(bytes(data), "a.tar.xz") == (
            "a.tar.xz: the archive is damaged: Memory usage limit exceeded" + AGAIN
        )

    def test_zeros_without_end_after_the_mark(self, run: Unpacker) -> None:
        data = gzip.compress(make_tar(entry("a")) + bytes(20 << 20))
        assert run.refused(data, "a.tar.gz") == "a.tar.gz: more than 16777216 bytes follow its end"


class TestDamage:
    @pytest.mark.parametrize("suffix", COMPRESS)
    def test_an_early_end_anywhere(self, tmp_path: Path, suffix: str) -> None:
        data = COMPRESS[suffix](make_tar(entry("a", os.urandom(3000)), entry("b", b"1" * 700)))
        for number, cut in enumerate((10, len(data) // 4, len(data) // 2, len(data) - 12)):
            (tmp_path / str(number)).mkdir()
            if suffix in ("", ".zst") and cut == len(data) - 12:
                continue  # only padding is missing, or what the decoder cannot tell
            with pytest.raises(TruncatedError) as caught:
                Unpacker(tmp_path / str(number))(data[:cut], "a.tar")
            assert str(caught.value) == "a.tar: the archive ends early: it is truncated" + AGAIN

    def test_zip_and_deb(self, tmp_path: Path) -> None:
        for name, data in (
            ("a.zip", make_zip(("a", os.urandom(3000), 0))), ("a.deb", make_deb(lzma.compress(make_tar(entry("a", os.urandom(3000)))))),
        ):
            (tmp_path / name).mkdir()
            with pytest.raises(TruncatedError):
                Unpacker(tmp_path / name)(data[:-500], name)

    @pytest.mark.parametrize("suffix", COMPRESS)
    def test_a_deb_that_ends_anywhere(self, tmp_path: Path, suffix: str) -> None:
        data = make_deb(COMPRESS[suffix](make_tar(entry("a", b"1"))), b"data.tar" + suffix.encode())
        for cut in range(len(data) - (1024 if suffix == "" else 16)):
            (tmp_path / str(cut)).mkdir()
            with pytest.raises(ArchiveError):
                Unpacker(tmp_path / str(cut))(data[:cut], "a.deb")

    def test_an_end_mark_is_needed(self, run: Unpacker) -> None:
        assert run.refused(make_tar(entry("a", b"1"))[:1024]) == "a.tar: the archive ends early: it is truncated" + AGAIN

    def test_a_broken_header_is_not_the_end(self, run: Unpacker) -> None:
        data = bytearray(make_tar(entry("a", b"1"), entry("b", b"2")))
        data[1024 + 5] ^= 1
        assert run.refused(bytes(data)) == "a.tar: the archive is damaged: a header is wrong" + AGAIN

    def test_check_sums_of_the_stream_count(self, run: Unpacker) -> None:
        data = bytearray(gzip.compress(make_tar(entry("a", b"1"))))
        data[-6] ^= 1
        assert run.refused(bytes(data)).startswith("a.tar: the archive is damaged: Error -3")

    @pytest.mark.parametrize(("name", "said"), [
        ("a.tar", "a.tar: the archive is damaged: a header is wrong"),
        ("a.zip", "a.zip: the archive is damaged: File is not a zip file"),
        ("a.deb", "a.deb: the archive is damaged: it is no Debian package"),
    ])
    def test_no_archive_at_all(self, run: Unpacker, name: str, said: str) -> None:
        assert run.refused(b"<!doctype html>" + b"x" * 2000, name).startswith(said)

    def test_an_empty_file(self, run: Unpacker) -> None:
        assert run.refused(b"") == "a.tar: the archive ends early: it is truncated" + AGAIN

    def test_a_negative_size_in_a_tar(self, run: Unpacker) -> None:
        for odd in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE):
            data = bytearray(make_tar(entry("a", bytes(4 << 20))))
            data[124:136] = b"\xff" * 11 + b"\x00"  # base 256, negative
            assert run.refused(retyped(data, odd)) == "a.tar: 'a' has a negative size"
            run.into.rmdir()

    @pytest.mark.parametrize("size", [b"-1", b"1e3", b"", b"9" * 30])
    def test_a_size_in_an_extended_header_that_is_none(self, run: Unpacker, size: bytes) -> None:
        record = b" size=%s\n" % size
        data = pax(b"%d%s" % (len(record) + 2, record)) if len(record) > 8 else pax(b"%d%s" % (len(record) + 1, record))
        assert run.refused(data).startswith("a.tar: 'a' has a size that is no number")

    def test_a_size_beyond_the_end(self, run: Unpacker) -> None:
        data = bytearray(make_tar(entry("a", b"1")))
        data[124:136] = b"\x80" + b"\x7f" * 11  # base 256, 2 ** 86 or so
        assert run.refused(retyped(data, tarfile.REGTYPE)) == "a.tar: the archive ends early: it is truncated" + AGAIN

    def test_headers_nested_too_deep(self, run: Unpacker) -> None:
        one = make_tar(entry("a", pax_headers={"comment": "x"}))[:1024]
        limits = Limits(unpacked=1, entries=10_000)
        assert run.refused(one * 3000, limits=limits).startswith("a.tar: an entry has more than 16 extended headers")


class TestDeb:
    def test_a_thin_archive_cannot_read_files_of_the_machine(self, run: Unpacker, tmp_path: Path) -> None:
        (tmp_path / "data.tar").write_bytes(make_tar(entry("stolen", b"1")))
        size = (tmp_path / "data.tar").stat().st_size
        deb = make_ar((b"data.tar", bytes(size)), magic=b"!<thin>\n")
        assert run.refused(deb, "a.deb") == "a.deb: the archive is damaged: it is no Debian package" + AGAIN

    def test_a_negative_size_does_not_go_round_in_circles(self, run: Unpacker) -> None:
        deb = make_ar((b"debian-binary", b"2.0\n")).replace(b"4         `", b"-60       `")
        assert run.refused(deb, "a.deb") == "a.deb: the archive is damaged: a member has a negative size" + AGAIN

    def test_a_name_of_gigabytes(self, run: Unpacker) -> None:
        deb = make_ar((b"#1/999999999", b"x"))
        assert run.refused(deb, "a.deb") == "a.deb: the archive is damaged: it has a header of 999999999 bytes" + AGAIN

    def test_no_data(self, run: Unpacker) -> None:
        deb = make_ar((b"debian-binary", b"2.0\n"))
        assert run.refused(deb, "a.deb") == "a.deb: the archive is damaged: it has no data.tar" + AGAIN

    def test_a_name_that_is_no_number(self, run: Unpacker) -> None:
        assert run.refused(make_ar((b"#1/x", b"x")), "a.deb").startswith("a.deb: the archive is damaged: invalid literal")


def test_it_can_be_called_off(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_tar(entry("a", b"1")))
    cancel = threading.Event()
    cancel.set()
    (tmp_path / "into").mkdir()
    with pytest.raises(Cancelled):
        unpack(str(tmp_path / "a.tar"), "a.tar", str(tmp_path / "into"), strip=0, limits=LIMITS, cancel=cancel)


def test_a_disk_that_refuses_is_no_fault_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_tar(entry("a", b"1")))
    with pytest.raises(FileNotFoundError):
        unpack(str(tmp_path / "a.tar"), "a.tar", str(tmp_path / "absent"), strip=0, limits=LIMITS)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
PARTS = NAMES.filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.tuples(st.binary(max_size=700), st.booleans()),
    lambda below: st.dictionaries(PARTS, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def flat(tree: object, path: str = "top") -> dict[str, tuple[bytes, bool] | None]:
    """Path -> (content, executable), or None for a folder."""
    if isinstance(tree, tuple):
        return {path: tree}
    assert isinstance(tree, dict)
    found: dict[str, tuple[bytes, bool] | None] = {path + "/": None}
    for name, below in tree.items():
        found |= flat(below, f"{path}/{name}")
    return found


class TestRoundTrip:
    @staticmethod
    def check(top: Path, data: bytes, name: str, items: dict[str, tuple[bytes, bool] | None]) -> None:
        expected = {
            path.removeprefix("top/") + ("*" if what and what[1] else ""): what and what[0]
            for path, what in items.items() if path != "top/"
        }
        run = Unpacker(top)
        assert run(data, name, strip=1) == expected
        assert run.totals == Totals(unpacked=sum(len(what[0]) for what in items.values() if what), entries=len(expected))

    @given(TREES, st.sampled_from(sorted(COMPRESS)), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_tar(self, tmp_path_factory: pytest.TempPathFactory, tree: object, suffix: str, form: int) -> None:
        items = flat(tree)
        entries = [
            folder(path) if what is None else entry(path, what[0], mode=0o755 if what[1] else 0o644) for path, what in items.items()
        ]
        data = COMPRESS[suffix](make_tar(*entries, form=form))
        self.check(tmp_path_factory.mktemp("tar"), data, f"a.tar{suffix}", items)

    @given(TREES)
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_zip(self, tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
        items = flat(tree)
        data = make_zip(*(
            (path, what[0] if what else b"", 0o40755 if what is None else 0o100755 if what[1] else 0o100644)
            for path, what in items.items()
        ))
        self.check(tmp_path_factory.mktemp("zip"), data, "a.zip", items)

    @given(st.binary(max_size=3000), st.sampled_from(["a.tar", "a.zip", "a.deb"]))
    @settings(max_examples=60, deadline=None)
    def test_garbage_is_refused_and_nothing_else(self, tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
        with pytest.raises(ArchiveError):
            Unpacker(tmp_path_factory.mktemp("garbage"))(data, name)

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_flipped_bytes_are_refused_or_harmless(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        name, good = data.draw(st.sampled_from([
            ("a.tar", make_tar(*FORGE)), ("a.zip", make_zip(("a/b", b"1" * 99, 0o100644))),
            ("a.deb", make_deb(make_tar(*FORGE), b"data.tar")),
        ]))
        bad = bytearray(good)
        for _ in range(3):
            bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
        run = Unpacker(tmp_path_factory.mktemp("flip"))
        with suppress(ArchiveError):
            run(bytes(bad), name)
        assert {path.name for path in run.into.parent.iterdir()} == {"into", "archive"}


def mutated(data: bytes, random: Random) -> bytes:
    """An archive with a few bytes overwritten by extreme values, doubled, or cut out."""
    made = bytearray(data)
    for _ in range(random.choice((1, 2, 4))):
        at = random.randrange(len(made))
        match random.randrange(4):
            case 0:
                made[at : at + 12] = bytes([random.choice((0, 0x7F, 0x80, 0xFF))]) * random.randrange(1, 13)
            case 1:
                made[at : at + 1] = random.randbytes(1)
            case 2:
                made[at:at] = made[at - at % 512 :][:1024]
            case 3:
                del made[at : at + random.randrange(1, 600)]
    return bytes(made)


def test_mutated_archives_are_refused_or_harmless_and_quick(tmp_path: Path) -> None:
    random = Random(1)  # the same archives each time
    tars = [make_tar(*FORGE, entry("name-1a2b3c/" + "n" * 150, b"x" * 999), form=form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    before = time.process_time()
    for number in range(600):
        raw = bytearray(mutated(random.choice(tars), random))
        for at in range(0, len(raw) - 512, 512):  # right check sums, so that what the headers say is believed
            if raw[at + 257 : at + 262] == b"ustar":
                raw[at : at + 512] = retyped(raw[at : at + 512], bytes(raw[at + 156 : at + 157]))
        packed = COMPRESS[random.choice(sorted(COMPRESS))](bytes(raw))
        zipped = make_zip(("a/b", b"1" * 99, 0o100644), ("a/l", b"b", 0o120777))
        name, data = random.choice([("a.tar", packed), ("a.deb", make_deb(packed)), ("a.zip", mutated(zipped, random))])
        into = tmp_path / str(number)
        into.mkdir()
        with suppress(ArchiveError):
            Unpacker(into)(data, name)
        assert {path.name for path in into.iterdir()} == {"into", "archive"}
    assert time.process_time() - before < 30
