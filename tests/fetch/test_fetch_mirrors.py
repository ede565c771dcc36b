"""Where the mirrors of a machine are, and which places a source can come from."""

import os
import shutil
from pathlib import Path

import pytest

from builder.fetch.mirrors import Mirrors
from builder.fetch.places import LAST_RESORT, Place, no_base, places
from builder.fetch.wanted import Wanted
from builder.recipe.source import Source


def fake_apt(folder: Path, text: str) -> dict[str, str]:
    """An environment whose apt-get prints `text`."""
    program = folder / "bin" / "apt-get"
    program.parent.mkdir()
    asked = "indextargets --format \\$(REPO_URI) \\$(ORIGIN) Created-By: Packages"
    program.write_text(f'#!/bin/sh\n[ "$*" = "{asked}" ] || exit 9\ncat <<\'END\'\n{text}END\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def no_apt(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "nothing")}


def test_the_environment_wins(no_apt: dict[str, str]) -> None:
    environ = {**no_apt, "BUILDER_MIRROR_DEBIAN": " https://a.example/debian/ http://b.example/debian\thttps://a.example/debian "}
    mirrors = Mirrors({"debian": ("https://c.example/",)}, environ)
    assert mirrors["debian"] == ("https://a.example/debian", "http://b.example/debian")


def test_then_the_settings(tmp_path: Path) -> None:
    environ = fake_apt(tmp_path, "http://apt.example/debian Debian\n")
    assert Mirrors({"debian": ("https://c.example/debian/",)}, environ)["debian"] == ("https://c.example/debian",)


def test_then_apt(tmp_path: Path) -> None:
    environ = fake_apt(tmp_path, (
        "http://a.example/debian/ Debian\nhttp://a.example/debian/ Debian\nhttp://a.example/debian-security/ Debian\n"
        "https://third.example/ Third Party\nhttps://third.example/ Docker\nfile:/srv/debian Debian\nhttps://b.example/d Debian\n"
    ))
    assert Mirrors({}, environ)["debian"] == ("http://a.example/debian", "https://b.example/d")


SOURCES = """
# a comment
Types: deb deb-src
URIs: http://one.example/debian
  https://two.example/debian/
Suites: bookworm
# Enabled: no
Components: main

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt on this machine")
def test_apt_that_was_never_updated(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    for folder in (parts, tmp_path / "lists" / "partial"):
        folder.mkdir(parents=True)
    (tmp_path / "sources.list").write_text(
        "deb [arch=amd64] http://zero.example/debian bookworm main\n#deb http://off.example/debian bookworm main\n"
        "deb http://zero.example/ubuntu jammy main\n"
    )
    (parts / "b.sources").write_text(SOURCES)
    (parts / "a.list").write_text("deb https://three.example/debian bookworm main\n")
    (parts / "c.save").write_text("deb http://off.example/debian bookworm main\n")
    config = tmp_path / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{parts}";\nDir::State::Lists "{tmp_path}/lists";\n'
    )
    assert sorted(Mirrors({}, {"PATH": os.environ["PATH"], "APT_CONFIG": str(config)})["debian"]) == [
        "http://one.example/debian", "http://zero.example/debian", "https://three.example/debian", "https://two.example/debian",
    ]


def test_nothing_known(no_apt: dict[str, str]) -> None:
    mirrors = Mirrors({}, no_apt)
    assert (list(mirrors), len(mirrors), mirrors.get("debian", ())) == ([], 0, ())
    with pytest.raises(KeyError):
        mirrors["debian"]


def test_other_names_come_from_settings_and_environment_only(no_apt: dict[str, str]) -> None:
    environ = {**no_apt, "BUILDER_MIRROR_MY_OWN": "https://b.example"}
    mirrors = Mirrors({"alpine": ("https://a.example",)}, environ)
    assert (mirrors["alpine"], mirrors["my-own"]) == (("https://a.example",), ("https://b.example",))
    assert list(mirrors) == ["alpine"]


def test_apt_is_asked_once_and_only_when_needed(tmp_path: Path) -> None:
    environ = fake_apt(tmp_path, "http://a.example/debian Debian\n")
    (tmp_path / "bin" / "apt-get").rename(tmp_path / "away")
    mirrors = Mirrors({}, environ)
    (tmp_path / "away").rename(tmp_path / "bin" / "apt-get")
    assert mirrors["debian"] == ("http://a.example/debian",), "it was asked after it had come back"
    (tmp_path / "bin" / "apt-get").unlink()
    assert mirrors["debian"] == ("http://a.example/debian",)


class TestPlaces:
    @staticmethod
    def of(*locations: str, snapshot: bool = True, bases: tuple[str, ...] = ("https://a.example/debian",)) -> list[Place]:
        wanted = Wanted("zlib", "1", Source(locations=locations, filename="z.tar"), snapshot)
        return places(wanted, {"debian": bases, LAST_RESORT: ("https://kept.example/debian",)}, ["/usb"], "20200101T000000Z")

    def test_locations_then_folders_then_the_last_resort(self) -> None:
        assert self.of("https://up.example/z.tar", "mirror://debian/pool/z.tar", "pypi://z/1/z.whl") == [
            Place("http", "https://up.example/z.tar"),
            Place("http", "https://a.example/debian/pool/z.tar"),
            Place("pypi", "pypi://z/1/z.whl"),
            Place("folder", "/usb"),
            Place("http", "https://kept.example/debian/20200101T000000Z/pool/z.tar"),
        ]

    def test_every_base_of_a_mirror_and_each_place_once(self) -> None:
        found = self.of("mirror://debian/z", "https://a.example/z", bases=("https://a.example", "http://b.example"), snapshot=False)
        assert [place.address for place in found] == ["https://a.example/z", "http://b.example/z", "/usb"]

    def test_a_mirror_without_a_base(self) -> None:
        place = self.of("mirror://debian/z", bases=())[0]
        assert place == Place("unknown", "mirror://debian/z")
        assert no_base(place.address).cause == "no address of the mirror 'debian' is known"
        assert no_base(place.address).reason == (
            "no address of the mirror 'debian' is known: set BUILDER_MIRROR_DEBIAN, or [mirrors] debian in the settings file"
        )

    def test_secrets_are_not_shown(self) -> None:
        assert Place("http", "https://me:secret@a.example:8443/b?token=1").shown == "https://a.example:8443/b?..."
        assert Place("folder", "/a@b?c").shown == "/a@b?c"
