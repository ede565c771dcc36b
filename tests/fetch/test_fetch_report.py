"""One cause is told once, with a remedy; what is said of each source is told when it is asked for."""

import hashlib
import json
from pathlib import Path

import pytest
from fakes import Listener
from http_server import Server, dead_address, good

from builder.base.errors import SourceError
from builder.fetch import Fetcher, Wanted, report
from builder.fetch.hosts import Patience
from builder.fetch.wanted import Attempt
from builder.progress.reporter import NullReporter, Reporter
from builder.recipe.recipe import read_source
from builder.recipe.source import Source
from builder.store import Store

MIRROR = "no address of the mirror 'debian' is known"
BRING = "bring the files: put each into a directory, under its name or its sha256, and give that with --distdir DIR"
MORE = "; `builder fetch --offline` lists them, and -v has every detail"


def sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def wanted(name: str, *locations: str) -> Wanted:
    filename = f"{name}.tar.gz"
    source = Source(locations=locations or (f"mirror://debian/pool/{filename}",), filename=filename, sha256=sha256(name), size=7)
    return Wanted(name, "1", source)


def failure(folder: Path, *sources: Wanted, verbose: bool = False, offline: bool = False, reporter: Reporter | None = None) -> SourceError:
    with Store(str(folder / "store")) as store:
        fetcher = Fetcher(
            store, mirrors={"debian": ()}, reporter=reporter or NullReporter(), patience=Patience(connect=0.5, read=0.5, pause=0.001),
            verbose=verbose, offline=offline,
        )  # fmt: skip
        with pytest.raises(SourceError) as caught:
            fetcher.fetch(sources)
    return caught.value


def test_no_mirror_is_said_once_with_the_line_to_type(tmp_path: Path) -> None:
    reporter = Listener()
    error = failure(tmp_path, *(wanted(f"p{n:02}") for n in range(49)), reporter=reporter)
    assert str(error) == (
        "49 sources could not be had:\n"
        f"49 sources: {MIRROR}\n"
        "  p00 1, p01 1, p02 1, p03 1, p04 1 and 44 more\n"
        f"  next: name a Debian mirror: export BUILDER_MIRROR_DEBIAN=https://HOST/debian, or {BRING}{MORE}"
    )
    assert reporter.starts == [], "nothing was tried, so nothing is said to run"


def test_nothing_is_downloaded_when_it_cannot_do(tmp_path: Path) -> None:
    with Server() as server:
        there = wanted("there", server.serve("/a", good(b"nothing")))
        assert failure(tmp_path, there, wanted("one"), wanted("two")).message.startswith("2 sources could not be had:\n2 sources: ")
        assert server.asked == []


def test_what_was_said_of_each_is_data_and_told_when_it_is_asked_for(tmp_path: Path) -> None:
    every = [wanted("one"), wanted("two")]
    rows = json.loads(json.dumps(failure(tmp_path, *every).as_dict()))["sources"]
    assert [row["package"] for row in rows] == ["one", "two"]
    assert rows[1] == {
        "package": "two", "version": "1", "source": "main", "filename": "two.tar.gz", "size": 7, "sha256": sha256("two"), "tree": None,
        "locations": ["mirror://debian/pool/two.tar.gz"], "attempts": [{
            "place": "mirror://debian/pool/two.tar.gz", "wrong": False,
            "said": f"{MIRROR}: set BUILDER_MIRROR_DEBIAN, or [mirrors] debian in the settings file",
        }],
    }  # fmt: skip
    text = str(failure(tmp_path, *every, verbose=True))
    assert text.count(f"  mirror://debian/pool/two.tar.gz: {MIRROR}: set BUILDER_MIRROR_DEBIAN") == 1
    assert text.startswith(f"2 sources could not be had:\n2 sources: {MIRROR}\n")


def test_other_causes_of_the_same_sources_are_counted(tmp_path: Path) -> None:
    dead = f"http://{dead_address()}"
    mirrors = [f"mirror://debian/{n}" for n in range(3)]
    others = [wanted(f"p{n}", mirrors[n], "http://nowhere.invalid/") for n in (1, 2)]
    error = failure(tmp_path, wanted("one", f"{dead}/1", mirrors[0]), *others)
    assert error.message.startswith(f"3 sources could not be had:\n3 sources: {MIRROR}\n  one 1, p1 1, p2 1\n2 sources: ")
    assert error.message.endswith(
        f"1 source: {dead.removeprefix('http://')}: could not connect: Connection refused\n  one 1"
    )


def test_a_dead_host_is_one_cause_however_it_was_noticed(tmp_path: Path) -> None:
    """The first is told that it is dead, the others that it is not asked again."""
    host = dead_address()
    error = failure(tmp_path, *(wanted(f"p{n}", f"http://{host}/{n}") for n in range(6)))
    assert error.message.splitlines()[1] == f"6 sources: {host}: could not connect: Connection refused"


def test_an_address_that_is_none(tmp_path: Path) -> None:
    error = failure(tmp_path, *(wanted(f"p{n}", f"http://me:secret@[::1/{n}") for n in range(2)))
    assert error.message.splitlines()[1] == "2 sources: [::1: the address is wrong: Invalid IPv6 URL"


def test_a_name_that_has_no_address(tmp_path: Path) -> None:
    error = failure(tmp_path, *(wanted(f"p{n}", f"http://nowhere.invalid/{n}") for n in range(3)))
    assert error.message.splitlines()[1].startswith("3 sources: could not find the host 'nowhere.invalid': ")
    assert error.hint.startswith("check the resolver of this machine, or name a proxy: export https_proxy=http://HOST:PORT, or bring")


def test_a_dead_proxy_is_one_cause_for_all_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://me:secret@{dead_address()}")
    monkeypatch.setenv("no_proxy", "")
    error = failure(tmp_path, *(wanted(f"p{n}", f"https://h{n}.example/x") for n in range(3)))
    assert error.message.splitlines()[1] == "3 sources: could not connect through the proxy: Connection refused"
    assert error.hint.startswith("check the proxy, which `env | grep -i _proxy` shows, or bring")
    assert "secret" not in json.dumps(error.as_dict())


def test_something_wrong_is_always_told_in_full(tmp_path: Path) -> None:
    with Server() as server:
        urls = [server.serve(f"/{n}", good(b"nothing")) for n in range(2)]
        dead = f"http://{dead_address()}"
        wrong = [wanted(f"p{n}", url) for n, url in enumerate(urls)]
        error = failure(tmp_path, *wrong, wanted("one", f"{dead}/1"), wanted("two", f"{dead}/2"))
    assert "2 sources: 127.0.0.1:" in error.message
    assert error.message.count(", pinned is ") == 2
    assert error.message.count("size    7 bytes") == 2


def test_one_source_is_told_in_full(tmp_path: Path) -> None:
    assert f"sha256  {sha256('one')}" in failure(tmp_path, wanted("one")).message


def test_offline_lists_every_source_without_secrets(tmp_path: Path) -> None:
    error = failure(tmp_path, *(wanted(f"p{n}", f"https://me:secret@h.example/{n}?sig=secret") for n in range(9)), offline=True)
    assert error.message.count("from    https://h.example/") == 9
    assert "secret" not in str(error) + json.dumps(error.as_dict())


@pytest.mark.parametrize(("cause", "remedy"), [
    ("no address of the mirror 'alpine' is known", ""),
    ("could not connect securely: certificate verify failed: self-signed certificate", "export REQUESTS_CA_BUNDLE="),
    ("the package index: pip: could not connect securely: certificate verify failed", "export REQUESTS_CA_BUNDLE="),
    ("the package index: pip: could not connect: Name or service not known", "check the resolver"),
    ("h.example: HTTP 404 Not Found", ""),
])
def test_remedies(cause: str, remedy: str) -> None:
    hint = report.failure({wanted("a"): [Attempt("x", cause, cause)]}, offline=False).hint
    assert remedy in hint
    assert hint.startswith("correct the network or the pins, or bring") == (not remedy)


def test_a_signature_is_no_part_of_a_file_name(tmp_path: Path) -> None:
    location = "https://me:secret@h.example/a.tar.gz?sig=secret/secret"
    source = read_source({"locations": [location, "https://h.example/b.tar.gz#secret"]})
    assert source.filename == "a.tar.gz"
    error = failure(tmp_path, Wanted("one", "1", source), offline=True)
    assert "secret" not in str(error) + json.dumps(error.as_dict())
