"""The fetcher as a whole, with a real store and a server that lies."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives import COMPRESS, entry, folder, link, make_tar
from fakes import Listener
from http_server import Answer, Server, cut_off, dead_address, endless, good, redirect, stall, status

from builder.base.errors import MismatchError, SourceError, StoreError
from builder.fetch import Fetcher, Pinned, Wanted, unpack_key
from builder.fetch.hosts import Patience
from builder.fetch.places import LAST_RESORT
from builder.recipe.source import Source
from builder.store import Record, Store
from builder.tree import nar

PATIENCE = Patience(connect=0.5, read=0.5, pause=0.001)
NAME = "mlcache-2.5.0.tar.gz"
BRING = "put each into a directory, under its name or its sha256, and give that with --distdir DIR"
HINT = f"\n  next: correct the network or the pins, or bring the files: {BRING}"


def forge(top: str = "mlcache-acf6d6e", lua: bytes = b"return {}\n") -> bytes:
    """A tar of the layout that a forge makes."""
    return make_tar(
        folder(f"{top}/"), folder(f"{top}/lib/"), entry(f"{top}/lib/mlcache.lua", lua), entry(f"{top}/README.md", b"# mlcache\n"),
        link(f"{top}/doc", "README.md"),
    )


DATA = COMPRESS[".gz"](forge())
RECOMPRESSED = COMPRESS[".xz"](forge())
SHA256 = hashlib.sha256(DATA).hexdigest()
TREE = "sha256-mm05oriOXxE3W93RwZtHh27m8FfRIxXFj9kSHfRi22I="
PINNED = Pinned(SHA256, len(DATA), TREE, 20, 4)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in\n to GitHub</title></head><body>...</body></html>"


class World:
    """A store, a server, and a folder of files that a user brought."""

    def __init__(self, top: Path, server: Server) -> None:
        self.top = top
        self.server = server
        self.store = Store(str(top / "store"))
        self.listener = Listener()
        self.distdir = top / "distdir"
        self.distdir.mkdir()
        self.mirrors: dict[str, tuple[str, ...]] = {"debian": ()}

    def fetcher(self, *, offline: bool = False) -> Fetcher:
        return Fetcher(
            self.store, mirrors=self.mirrors, distdirs=[str(self.distdir)], offline=offline, reporter=self.listener, patience=PATIENCE
        )

    def wanted(self, *locations: str, package: str = "mlcache", **pins: Any) -> Wanted:
        pins = {"sha256": SHA256, "size": len(DATA), "tree": TREE, **pins}
        return Wanted(package, "2.5.0", Source(locations=locations, filename=NAME, **pins), False)

    def fetch(self, *wanted: Wanted, unpack: bool = True, offline: bool = False) -> list[Pinned]:
        found = self.fetcher(offline=offline).fetch(wanted, unpack=unpack)
        assert list(found) == list(dict.fromkeys(wanted))
        return list(found.values())

    def refused(self, *wanted: Wanted, unpack: bool = True, offline: bool = False) -> str:
        with pytest.raises(SourceError) as caught:
            self.fetch(*wanted, unpack=unpack, offline=offline)
        assert self.names("quarantine") == []
        assert self.names("tmp") == []
        assert self.names("trees") == []
        self.error = caught.value
        return str(caught.value).replace(self.server.address, "http://server").replace(str(self.top), "/top")

    def said(self, *answers: Answer, **pins: Any) -> str:
        """What the error says of the server's answers, without what it says anyway."""
        text = self.refused(self.wanted(self.serve(*answers), **pins))
        start, end = "\n  http://server/a: ", f"\n  /top/distdir: has no file '{SHA256}' or '{NAME}' or 'a'{HINT}"
        assert start in text
        assert text.endswith((end, end.replace(f"'{SHA256}' or ", "")))
        return text[text.index(start) + len(start):].rpartition("\n  /top/distdir")[0]

    def serve(self, *answers: Answer) -> str:
        return self.server.serve("/a", *answers)

    def names(self, part: str) -> list[str]:
        return sorted(os.listdir(self.top / "store" / part))

    @property
    def requests(self) -> int:
        return len(self.server.asked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Server() as server:
        world = World(tmp_path, server)
        yield world
        world.store.close()


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be opened and no program started."""
    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("not while offline")

    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    monkeypatch.setattr("os.fork", refuse)


class TestWell:
    def test_a_source_comes_into_the_store(self, world: World) -> None:
        assert world.fetch(world.wanted(world.serve(good(DATA)))) == [PINNED]
        assert nar.hash_tree(world.store.tree_path(TREE)) == TREE
        assert Path(world.store.file_path(SHA256)).read_bytes() == DATA
        assert world.names("quarantine") == world.names("tmp") == []
        assert world.listener.ends == [f"fetching mlcache 2.5.0: done, {len(DATA)} of {len(DATA)}"]
        assert world.listener.texts == []

    def test_a_tree_that_is_there_costs_no_request(self, world: World, sealed: None) -> None:
        world.store.put_record("sha256-" + "A" * 43 + "=", Record())
        (world.distdir / NAME).write_bytes(DATA)
        assert world.fetch(world.wanted("https://a.example/a"), offline=True) == [PINNED]
        (world.distdir / NAME).unlink()
        os.unlink(world.store.file_path(SHA256))
        assert world.fetch(world.wanted("https://a.example/a")) == [PINNED]
        assert len(world.listener.ends) == 1

    def test_without_a_tree_pin_the_record_tells_it(self, world: World, sealed: None) -> None:
        (world.distdir / NAME).write_bytes(DATA)
        wanted = world.wanted("https://a.example/a", tree=None, size=None)
        assert world.fetch(wanted, offline=True) == world.fetch(wanted) == [PINNED]
        record = world.store.record(unpack_key(wanted.source))
        assert record is not None
        assert record.trees == {"out": TREE}

    def test_a_tree_is_made_again_from_the_file(self, world: World, sealed: None) -> None:
        (world.distdir / NAME).write_bytes(DATA)
        wanted = world.wanted("https://a.example/a")
        world.fetch(wanted, offline=True)
        (world.distdir / NAME).unlink()
        world.store.discard_tree(TREE)
        assert world.fetch(wanted) == [PINNED]

    def test_a_damaged_file_of_the_store_is_fetched_again(self, world: World) -> None:
        wanted = world.wanted(world.serve(good(DATA)))
        path = Path(world.store.file_path(SHA256))
        path.write_bytes(DATA[:-1])
        assert world.fetch(wanted) == [PINNED]
        assert world.listener.texts == [f"warning: {path} was damaged and is fetched again"]
        assert path.read_bytes() == DATA

    def test_only_the_file(self, world: World) -> None:
        wanted = world.wanted(world.serve(good(DATA)))
        for _ in range(2):
            assert world.fetch(wanted, unpack=False) == [Pinned(SHA256, len(DATA), TREE, None, None)]
        assert (world.names("trees"), world.names("files"), world.requests) == ([], [SHA256], 1)

    def test_nothing_is_pinned(self, world: World) -> None:
        (world.distdir / "a").write_bytes(DATA)
        assert world.fetch(world.wanted("https://a.example/a", sha256=None, size=None, tree=None), offline=True) == [PINNED]

    def test_only_the_tree_is_pinned(self, world: World) -> None:
        assert world.fetch(world.wanted(world.serve(good(DATA)), sha256=None, size=None)) == [PINNED]

    def test_the_same_bytes_for_two_packages_come_once(self, world: World) -> None:
        url = world.serve(good(DATA))
        other = world.wanted(url, strip=0, tree=None, package="other")
        found = world.fetch(world.wanted(url), world.wanted(url, package="fork"), other)
        assert found[0] == found[1] == PINNED
        assert (found[2].tree != TREE, found[2].entries, world.requests) == (True, 5, 1)

    def test_many_at_once(self, world: World) -> None:
        files = {f"/{n}": COMPRESS[".gz"](make_tar(entry(f"t/{n}", b"1" * n))) for n in range(20)}
        wanted = [
            Wanted("p", path[1:], Source(
                locations=(world.server.serve(path, good(data)),), filename="a.tar.gz", sha256=hashlib.sha256(data).hexdigest()
            ), False)
            for path, data in files.items()
        ]
        assert [each.unpacked for each in world.fetch(*wanted)] == list(range(20))

    def test_a_mirror(self, world: World) -> None:
        world.mirrors = {"debian": ("http://" + dead_address(), world.server.address + "/debian/")}
        world.server.serve("/debian/pool/a.tar.gz", good(DATA))
        assert world.fetch(world.wanted("mirror://debian/pool/a.tar.gz")) == [PINNED]

    @pytest.mark.parametrize("name", [NAME, SHA256, "v2.5.0.tar.gz"])
    def test_a_file_brought_by_hand(self, world: World, sealed: None, name: str) -> None:
        (world.distdir / name).write_bytes(DATA)
        assert world.fetch(world.wanted("https://a.example/archive/v2.5.0.tar.gz"), offline=True) == [PINNED]
        assert (world.distdir / name).read_bytes() == DATA

    def test_a_good_place_after_bad_ones(self, world: World) -> None:
        bad = [world.server.serve(f"/{n}", answer) for n, answer in enumerate([status(404), good(PAGE), redirect("/0"), endless()])]
        dead = f"http://{dead_address()}/a"
        assert world.fetch(world.wanted(dead, *bad, world.serve(good(DATA)))) == [PINNED]


class TestGoingOn:
    def part(self, world: World) -> Path:
        return world.top / "store" / "quarantine" / f"{SHA256}.part"

    def test_from_an_earlier_run(self, world: World) -> None:
        self.part(world).write_bytes(DATA[:100])
        assert world.fetch(world.wanted(world.serve(good(DATA)))) == [PINNED]
        assert world.server.asked == [("/a", "bytes=100-")]

    def test_from_an_earlier_run_that_had_it_all(self, world: World, sealed: None) -> None:
        self.part(world).write_bytes(DATA)
        assert world.fetch(world.wanted("https://a.example/a"), offline=True) == [PINNED]

    @pytest.mark.parametrize("tree", [TREE, None])
    def test_from_a_beginning_that_was_wrong(self, world: World, tree: str | None) -> None:
        self.part(world).write_bytes(b"x" * 100)
        assert world.fetch(world.wanted(world.serve(good(DATA)), tree=tree)) == [PINNED]
        assert world.server.asked == [("/a", "bytes=100-"), ("/a", "")]

    def test_from_a_beginning_that_was_too_long(self, world: World) -> None:
        self.part(world).write_bytes(b"x" * len(DATA) * 1000)
        assert world.fetch(world.wanted(world.serve(good(DATA)))) == [PINNED]

    def test_at_another_place(self, world: World) -> None:
        first = world.server.serve("/first", cut_off(DATA, 50), status(404))
        assert world.fetch(world.wanted(first, world.serve(good(DATA)))) == [PINNED]
        assert world.server.asked == [("/first", ""), ("/first", "bytes=50-"), ("/a", "bytes=50-")]

    def test_not_when_nothing_proves_the_whole(self, world: World) -> None:
        wanted = world.wanted(world.serve(good(DATA)), sha256=None, size=None, tree=None)
        assert "refused: over plain http nothing proves a file" in world.refused(wanted)
        assert world.server.asked == [("/a", "")]

    def test_what_nothing_proves_is_measured_and_gets_no_name(self, world: World) -> None:
        text = world.refused(world.wanted(world.serve(good(DATA)), sha256=None, size=None, tree=None))
        lines = [f"size = {len(DATA)}", f'sha256 = "{SHA256}"', f'tree = "{TREE}"']
        assert "\n".join(f"    {line}" for line in lines) in text
        assert not Path(world.store.file_path(SHA256)).exists()
        assert not world.store.has_tree(TREE)

    def test_what_came_stays_when_every_place_broke_off(self, world: World) -> None:
        with pytest.raises(SourceError):
            world.fetch(world.wanted(world.serve(cut_off(DATA, 20), status(404))))
        assert self.part(world).read_bytes() == DATA[:20]
        assert world.fetch(world.wanted(world.serve(good(DATA)))) == [PINNED]


class TestRecompressed:
    WARNING = (
        "warning: mlcache 2.5.0: mlcache-2.5.0.tar.gz was recompressed: same tree, but its sha256 is "
        + hashlib.sha256(RECOMPRESSED).hexdigest()
    )

    @pytest.mark.parametrize("unpack", [True, False])
    def test_a_pinned_tree_is_accepted_and_told(self, world: World, unpack: bool) -> None:
        found = world.fetch(world.wanted(world.serve(good(RECOMPRESSED))), unpack=unpack)
        assert found == [Pinned(hashlib.sha256(RECOMPRESSED).hexdigest(), len(RECOMPRESSED), TREE, 20, 4)]
        assert world.listener.texts == [self.WARNING]
        assert world.names("files") == [hashlib.sha256(RECOMPRESSED).hexdigest()]

    def test_another_name_of_the_top_folder_is_the_same_tree(self, world: World) -> None:
        world.fetch(world.wanted(world.serve(good(COMPRESS[".gz"](forge("renamed"))))))
        assert len(world.listener.texts) == 1

    def test_without_a_pinned_tree_it_is_refused(self, world: World) -> None:
        world.store.put_record(unpack_key(world.wanted().source), Record(trees={"out": TREE}))
        assert world.said(good(RECOMPRESSED), tree=None, size=None) == (
            f"it was recompressed: it has the same tree {TREE}, so it is good if you pin that; its sha256 is "
            f"{hashlib.sha256(RECOMPRESSED).hexdigest()}, pinned is {SHA256}"
        )


class TestMismatch:
    HTML = "it is an HTML page ('Sign in to GitHub'), no archive: an error or a login, perhaps"

    @pytest.mark.parametrize("pins", [{}, {"tree": None}, {"sha256": None}])
    def test_html(self, world: World, pins: dict[str, Any]) -> None:
        assert world.said(good(PAGE), **pins) == self.HTML
        assert isinstance(world.error, MismatchError)

    def test_html_where_nothing_is_pinned(self, world: World) -> None:
        (world.distdir / NAME).write_bytes(PAGE)
        text = world.refused(world.wanted(sha256=None, tree=None, size=None), offline=True)
        assert text.splitlines()[2] == f"  /top/distdir: {self.HTML}"

    def test_html_that_is_larger_than_the_file(self, world: World) -> None:
        assert world.said(good(PAGE + b" " * 200_000)).startswith("it is an HTML page ('Sign in to GitHub')")
        assert world.said(endless(b"<html>")) == "it is an HTML page, no archive: an error or a login, perhaps"

    @pytest.mark.parametrize("tree", [TREE, None])
    def test_truncated(self, world: World, tree: str | None) -> None:
        assert world.said(good(DATA[:100]), tree=tree) == f"it is truncated: 100 of {len(DATA)} bytes"
        short = hashlib.sha256(DATA[:100]).hexdigest()
        assert world.said(good(DATA[:100]), tree=tree, size=None) == f"it is truncated: its sha256 is {short}, pinned is {SHA256}"

    def test_too_long(self, world: World) -> None:
        assert world.said(endless(DATA), tree=None) == f"it is too long: more than {len(DATA)} bytes came, pinned are {len(DATA)}"
        assert world.said(endless(DATA, announced=1 << 40)) == (
            f"it is too long: 1099511627776 bytes are announced, pinned are {len(DATA)}"
        )

    @pytest.mark.parametrize(("strip", "top"), [(1, "a/mlcache"), (0, "mlcache"), (2, "mlcache")])
    def test_another_top_folder(self, world: World, strip: int, top: str) -> None:
        data = COMPRESS[".gz"](forge(top))
        real = top.count("/") + 1
        assert world.said(good(data), strip=strip, size=None) == (
            f"its top directory changed: the pinned tree is there with strip = {real}, not {strip}"
        )

    def test_the_two_pins_do_not_belong_together(self, world: World) -> None:
        other = "sha256-" + "A" * 43 + "="
        url = world.serve(good(DATA))
        second = world.server.serve("/b", good(DATA))
        text = world.refused(world.wanted(url, second, tree=other))
        assert text.splitlines()[5:-1] == [
            "  http://server/a: the file is the pinned one, but its tree is not, so the two pins do not belong together; "
            f"the content is different: its tree is {TREE}, pinned is {other}"
        ]
        assert world.requests == 1, "no other place has better bytes than the pinned ones"
        assert "  the store's copy of it: the file is the pinned one" in world.refused(world.wanted(url, second, tree=other))

    def test_something_else(self, world: World) -> None:
        data = b"nothing like it" * 100
        wrong = f"its sha256 is {hashlib.sha256(data).hexdigest()}, pinned is {SHA256}"
        said = f"it is something else, and no good archive (the archive is damaged: a header is wrong): {wrong}"
        assert world.said(good(data), size=None) == world.said(good(data), size=None, tree=None) == said

    def test_different_content_without_anything_to_compare_with(self, world: World) -> None:
        data = COMPRESS[".gz"](forge(lua=b"return 1\n"))
        assert world.said(good(data), size=None, tree=None) == (
            f"the content is different: its sha256 is {hashlib.sha256(data).hexdigest()}, pinned is {SHA256}"
        )
        assert world.said(good(data), size=None) == (
            f"the content is different: its tree is sha256-NRhQ8LLnskmT7mamLeo1qWYRhI8wXeLDo24zZWOCzcs=, pinned is {TREE}"
        )

    def test_different_content_beside_the_pinned_tree(self, world: World) -> None:
        """The tree is there, and its file is asked for."""
        (world.distdir / NAME).write_bytes(DATA)
        world.fetch(world.wanted(), offline=True)
        os.unlink(world.store.file_path(SHA256))
        (world.distdir / NAME).write_bytes(COMPRESS[".gz"](forge(lua=b"return 1\n")))
        with pytest.raises(MismatchError) as caught:
            world.fetch(world.wanted(), unpack=False, offline=True)
        assert caught.value.message.splitlines()[5:] == [
            f"  {world.distdir}: the content is different:",
            "      content: lib/mlcache.lua differs from byte 7 on (10 bytes before, 9 now)",
        ]

    def test_a_renamed_top_folder_that_is_part_of_the_tree(self, world: World) -> None:
        (world.distdir / NAME).write_bytes(DATA)
        wanted = world.wanted(strip=0, tree=None, size=None)
        world.fetch(wanted, offline=True)
        os.unlink(world.store.file_path(SHA256))
        (world.distdir / NAME).write_bytes(COMPRESS[".gz"](forge("mlcache-v2")))
        with pytest.raises(MismatchError) as caught:
            world.fetch(wanted, unpack=False, offline=True)
        assert caught.value.message.splitlines()[3:] == [
            f"  {world.distdir}: its top directory was renamed from 'mlcache-acf6d6e' to 'mlcache-v2'; all below it is the same"
        ]

    def test_a_hostile_archive_that_is_the_pinned_one(self, world: World) -> None:
        data = make_tar(entry("a/../../etc/passwd", b"x"))
        wanted = world.wanted(world.serve(good(data)), sha256=hashlib.sha256(data).hexdigest(), size=None, tree=None)
        said = world.refused(wanted)
        assert "  http://server/a: 'a/../../etc/passwd' leads out of the tree\n" in said
        assert not (world.top / "etc").exists()

    def test_more_than_the_lock_allows(self, world: World) -> None:
        assert "http://server/a: it unpacks to more than 19 bytes" in world.refused(
            world.wanted(world.serve(good(DATA)), unpacked=19)
        )


class TestErrors:
    def test_every_source_and_every_place_is_told(self, world: World) -> None:
        dead = f"http://{dead_address()}"
        absent = world.server.serve("/b", status(410))
        other = Wanted("openssl", "3.5.7", Source(name="patches", locations=(absent, "mirror://debian/pool/b%2B1.tar.xz"),
                                                  filename="b+1.tar.xz"))
        world.mirrors = {"debian": (), LAST_RESORT: ("https://kept.invalid/debian",)}
        text = world.refused(world.wanted(f"{dead}/a", world.serve(status(404))), other).replace(dead, "http://dead")
        text, _, snapshot = text.partition("\n  https://kept.invalid/debian/20261123T000000Z/pool/b%2B1.tar.xz: ")
        assert snapshot
        assert "  http://dead/a: could not connect: Connection refused" in text.splitlines()
        assert [line for line in text.splitlines() if "http://dead" not in line] == [
            "2 sources could not be had:",
            "mlcache 2.5.0: mlcache-2.5.0.tar.gz",
            f"  size    {len(DATA)} bytes",
            f"  sha256  {SHA256}",
            f"  tree    {TREE}",
            "  http://server/a: HTTP 404 Not Found",
            f"  /top/distdir: has no file '{SHA256}' or '{NAME}' or 'a'",
            "openssl 3.5.7 patches: b+1.tar.xz",
            "  http://server/b: HTTP 410 Gone",
            "  mirror://debian/pool/b%2B1.tar.xz: no address of the mirror 'debian' is known: set BUILDER_MIRROR_DEBIAN, "
            "or [mirrors] debian in the settings file",
            "  /top/distdir: has no file 'b+1.tar.xz' or 'b'",
        ]
        assert type(world.error) is SourceError

    def test_the_others_are_in_the_store(self, world: World) -> None:
        with pytest.raises(SourceError):
            world.fetch(world.wanted(world.serve(good(DATA))), world.wanted("http://" + dead_address() + "/", sha256="0" * 64, tree=None))
        assert world.store.has_tree(TREE)

    def test_a_folder_that_is_not_there(self, world: World) -> None:
        world.distdir.rmdir()
        assert "\n  /top/distdir: there is no such directory\n" in world.refused(world.wanted(), offline=True)


class TestFullDisk:
    FULL = (
        "/top/store: could not fetch a source: No space left on device\n"
        "  next: free some space there or run `builder gc`, then run the command again: what was finished is kept"
    )

    @pytest.mark.parametrize("where", ["builder.fetch.part.Part.write", "builder.fetch.unpack.tree._write_all"])
    def test_nothing_half_made_has_a_name(self, world: World, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        def full(*_args: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        wanted = world.wanted(world.serve(good(DATA)), sha256=None)
        with monkeypatch.context() as patched:
            patched.setattr(where, full)
            with pytest.raises(StoreError) as caught:
                world.fetch(wanted)
        assert str(caught.value).replace(str(world.top), "/top") == self.FULL
        assert world.names("files") == world.names("tmp") == []
        assert world.fetch(wanted) == [PINNED]


NO_SOCKETS = """
import sys, tempfile

def refuse(event, _args):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system", "os.exec"):
        raise RuntimeError(event)

sys.addaudithook(refuse)
from builder.fetch import Fetcher, Wanted
from builder.progress.reporter import NullReporter
from builder.recipe.source import Source
from builder.store import Store

source = Source(locations=("https://a.example/a.tar", "mirror://debian/a", "pypi://a/1/a-1-py3-none-any.whl"), filename="a.tar")
with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
    fetcher = Fetcher(store, mirrors={}, offline=sys.argv[1] == "offline", reporter=NullReporter())
    fetcher.fetch([Wanted("a", "1", source)])
"""


class TestOffline:
    def test_what_is_missing_and_how_to_bring_it(self, world: World, sealed: None) -> None:
        other = Wanted("zlib", "1.3.1", Source(
            name="main", filename="zlib.tar.gz", locations=("mirror://debian/pool/zlib.tar.gz", "pypi://z/1/z-1-py3-none-any.whl")
        ))
        assert world.refused(world.wanted("https://a.example/v2.5.0.tar.gz"), other, offline=True) == (
            "2 sources missing, and --offline allows no fetching:\n"
            "mlcache 2.5.0: mlcache-2.5.0.tar.gz\n"
            f"  size    {len(DATA)} bytes\n"
            f"  sha256  {SHA256}\n"
            f"  tree    {TREE}\n"
            "  from    https://a.example/v2.5.0.tar.gz\n"
            f"  /top/distdir: has no file '{SHA256}' or '{NAME}' or 'v2.5.0.tar.gz'\n"
            "zlib 1.3.1: zlib.tar.gz\n"
            "  from    mirror://debian/pool/zlib.tar.gz\n"
            "  from    pypi://z/1/z-1-py3-none-any.whl\n"
            "  /top/distdir: has no file 'zlib.tar.gz' or 'z-1-py3-none-any.whl'\n"
            f"  next: run `builder fetch` where there is a network, or bring the files: {BRING}"
        )

    def test_nothing_is_opened_or_started(self) -> None:
        """Python tells its audit hooks of every socket, name look-up and program, whoever asks for it."""
        ends = [
            subprocess.run([sys.executable, "-c", NO_SOCKETS, each], capture_output=True, text=True, check=False).stderr
            for each in ("offline", "online")
        ]
        assert "SourceError: 1 source missing, and --offline allows no fetching:" in ends[0]
        assert "RuntimeError: " in ends[1], "the hook sees what the online run does"


class TestManyProcesses:
    SCRIPT = """
import sys
from builder.fetch import Fetcher, Wanted
from builder.progress.plain import PlainReporter
from builder.recipe.source import Source
from builder.store import Store

root, url, sha256, size = sys.argv[1:]
with Store(root) as store:
    fetcher = Fetcher(store, mirrors={}, reporter=PlainReporter(sys.stderr))
    source = Source(locations=(url,), filename="a.tar.gz", sha256=sha256, size=int(size))
    for pinned in fetcher.fetch([Wanted("mlcache", "2.5.0", source)]).values():
        print(pinned.tree)
"""

    def start(self, world: World, url: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", self.SCRIPT, str(world.top / "store"), url, SHA256, str(len(DATA))]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @pytest.mark.long
    def test_one_downloads_and_the_others_wait(self, world: World) -> None:
        release = threading.Event()

        def slowly(handler: object) -> None:
            release.wait(20)
            good(DATA)(handler)  # type: ignore[arg-type]

        url = world.serve(slowly)
        running = [self.start(world, url) for _ in range(4)]
        while not world.requests:
            time.sleep(0.01)
        time.sleep(1.5)
        release.set()
        ends = [each.communicate(timeout=30) for each in running]
        assert [out for out, _ in ends] == [f"{TREE}\n"] * 4
        assert world.requests == 1
        assert sum("waiting for another builder that fetches mlcache 2.5.0" in err for _, err in ends) >= 2

    def test_an_interrupt_ends_it_at_once_and_the_part_stays(self, world: World) -> None:
        process = self.start(world, world.serve(stall(DATA, 100, 20)))
        part = world.top / "store" / "quarantine" / f"{SHA256}.part"
        while not part.exists() or part.stat().st_size < 100:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert time.monotonic() - started < 3
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert part.read_bytes() == DATA[:100]
        assert world.fetch(world.wanted(world.serve(good(DATA)))) == [PINNED]
        assert world.server.asked[-1] == ("/a", "bytes=100-")


def test_importing_it_is_cheap() -> None:
    """Who has all sources imports the values only."""
    script = "import sys, builder.fetch; print([n for n in ('requests', 'zstandard', 'arpy', 'tarfile', 'zipfile') if n in sys.modules])"
    more = script.replace("; print", "; builder.fetch.Fetcher; print")
    for each in (script, more):
        assert subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.network
def test_a_real_mirror(tmp_path: Path) -> None:
    source = Source(
        locations=("mirror://debian/pool/main/l/lua-resty-lrucache/lua-resty-lrucache_0.15.orig.tar.gz",),
        filename="lua-resty-lrucache_0.15.orig.tar.gz",
        size=17822,
        sha256="adcbb1a95cc2ba2a484351bd1116619a4fb42f0856da220d2897876d472c6ce1",
        tree="sha256-G2l4Zo9Xm/m4zRfxrgzEvRE5LMO+UuX3kd7FwlCnxDA=",
    )
    wanted = Wanted("lua-resty-lrucache", "0.15", source)
    with Store(str(tmp_path / "store")) as store:
        found = Fetcher(store, mirrors={}, reporter=Listener()).fetch([wanted])
        assert found == {wanted: Pinned(source.sha256, source.size, source.tree, 86197, 32)}
