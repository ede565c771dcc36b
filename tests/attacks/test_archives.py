"""Archives that are not the pinned ones, and cost more than they are worth: the builder must say so with little memory."""

import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable

import pytest
from archives import entry, make_deb, make_tar, pax, retyped
from integration.world import World

GIGABYTE = 1 << 30
LIMITED = ("prlimit", f"--as={GIGABYTE}")


def inflated(head: bytes) -> bytes:
    """A gzip file of `head` and a gigabyte and a half of zeros."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(head), *(packer.compress(bytes(1 << 24)) for _ in range(96)), packer.flush()]
    return b"".join(parts)


def negative() -> bytes:
    data = bytearray(make_tar(entry("a"))[:512])
    data[124:136] = b"\xff" * 11 + b"\x00"
    return inflated(retyped(data, tarfile.REGTYPE))


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "negative.tar.gz": negative,
    "headers.tar.gz": lambda: inflated(pax(b"2 " * 130_000 + b"k=v\n")),
    "records.tar.xz": lambda: lzma.compress(pax(b"5 a=\n" * 50_000) * 40),
    "cut_1_amd64.deb": lambda: make_deb(lzma.compress(make_tar(entry("a"))))[:-70],
}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("pin", ["sha256", "tree", ""])
def test_an_archive_that_costs_more_than_its_limits(here: World, name: str, pin: str) -> None:
    data = ARCHIVES[name]()
    right = hashlib.sha256(data).hexdigest()
    pins = {"sha256": f'sha256 = "{"0" * 64}"', "tree": f'tree = "sha256-{"A" * 43}="', "": f'sha256 = "{right}"'}
    files = here.home / "files"
    files.mkdir()
    (files / name).write_bytes(data)
    more = f'[[version.source]]\nlocations = ["https://example.org/{name}"]\nsize = {len(data)}\n{pins[pin]}\n'
    here.recipe("victim", "true")
    recipe = here.root / "recipes" / "victim.toml"
    recipe.write_text(recipe.read_text() + "\n" + more)
    here.image("victim")
    answer = here.run("fetch", "--distdir", str(files), "--offline", before=LIMITED)
    assert answer.code == 3, answer.err
    assert "Traceback" not in answer.err and "MemoryError" not in answer.err
