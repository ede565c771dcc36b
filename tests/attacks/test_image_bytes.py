"""An image in out/ that somebody changed: neither a build nor an audit takes it for the one that was written."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integration.world import World


@pytest.fixture
def world(here: World) -> World:
    here.recipe("one", 'echo one > "$OUT/one"')
    here.image("one")
    here.ok("build")
    return here


def blob(image: Path, name: str) -> Path:
    return image / "oci/blobs" / name.replace(":", "/")


def manifest(image: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    index = json.loads((image / "oci/index.json").read_text())
    return index, json.loads(blob(image, index["manifests"][0]["digest"]).read_text())


def put(image: Path, data: bytes) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blob(image, digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


def chain(image: Path, index: dict[str, Any], found: dict[str, Any]) -> None:
    """Write manifest and index so that all digests agree again."""
    index["manifests"][0] |= put(image, json.dumps(found).encode())
    (image / "oci/index.json").write_text(json.dumps(index))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_layer(image: Path) -> None:
    flip(blob(image, manifest(image)[1]["layers"][-1]["digest"]))


def other_layer_file(image: Path) -> None:
    data = (image / "layer.tar.gz").read_bytes()
    (image / "layer.tar.gz").unlink()
    (image / "layer.tar.gz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def flip_config(image: Path) -> None:
    path = blob(image, manifest(image)[1]["config"]["digest"])
    path.write_bytes(path.read_bytes().replace(b'"builder.package.one":"1"', b'"builder.package.one":"2"'))


def flip_manifest(image: Path) -> None:
    path = blob(image, manifest(image)[0]["manifests"][0]["digest"])
    path.write_bytes(path.read_bytes().replace(b"1970", b"1971"))


def other_index(image: Path) -> None:
    path = image / "oci/index.json"
    path.write_bytes(path.read_bytes().replace(b'"linux"', b'"other"'))


def other_command(image: Path) -> None:
    """All digests agree: a config with another command."""
    index, found = manifest(image)
    config = json.loads(blob(image, found["config"]["digest"]).read_text())
    config["config"]["Entrypoint"] = ["/bin/sh", "-c", "id"]
    found["config"] |= put(image, json.dumps(config).encode())
    chain(image, index, found)


def other_layer(image: Path) -> None:
    """All digests agree, but for the one of the tar in the layer, which the lock pins."""
    index, found = manifest(image)
    data = gzip.compress(b"\0" * 10240)
    found["layers"][-1] |= put(image, data)
    (image / "layer.tar.gz").unlink()
    (image / "layer.tar.gz").write_bytes(data)
    chain(image, index, found)


def no_types(image: Path) -> None:
    (image / "oci/index.json").write_text('{"manifests": 5}')


CHANGES = [flip_layer, other_layer_file, flip_config, flip_manifest, other_index, other_command, other_layer, no_types]


def files(image: Path) -> dict[str, bytes]:
    return {str(each.relative_to(image)): each.read_bytes() for each in image.rglob("*") if each.is_file()}


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: str(each.__name__))
def test_it_is_found_and_written_anew(world: World, change: Callable[[Path], None]) -> None:
    image = world.root / "out/all"
    before = files(image)
    assert world.run("audit", "--json").out.count("written-image") == 0
    change(image)
    assert files(image) != before
    assert "written-image" in [each["rule"] for each in world.run("audit", "--json").json]
    world.ok("build")
    assert files(image) == before
    assert "written-image" not in [each["rule"] for each in world.run("audit", "--json").json]
