"""The image that `builder build` made: BUILDER_TEST_IMAGE names its folder (out/gateway)."""

import gzip
import hashlib
import json
import os
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from integration.world import BUILDER, ENVIRON, IMAGE, REPOSITORY

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not IMAGE, reason="BUILDER_TEST_IMAGE does not name the folder of a built image"),
]
NGINX = "usr/local/openresty/nginx/sbin/nginx"
CAPABILITY = "SCHILY.xattr.security.capability"
BIND_SERVICE = 10  # capability(7), linux/capability.h: CAP_NET_BIND_SERVICE


def blob(layout: Path, descriptor: Mapping[str, Any]) -> bytes:
    """A blob, which must be what its descriptor says (image-spec v1.1: descriptor.md)."""
    kind, _, name = str(descriptor["digest"]).partition(":")
    data: bytes = (layout / "blobs" / kind / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == name
    assert len(data) == descriptor["size"]
    return data


def manifest_of(layout: Path) -> dict[str, Any]:
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    return dict(json.loads(blob(layout, entry)))


@pytest.fixture(scope="module")
def layout() -> Path:
    return Path(IMAGE) / "oci"


@pytest.fixture(scope="module")
def members() -> Iterator[dict[str, tarfile.TarInfo]]:
    """Entries of the image's own layer, by path."""
    with tarfile.open(Path(IMAGE) / "layer.tar.gz") as file:
        yield {each.name: each for each in file.getmembers()}


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as file:
        for each in file:
            if each.isreg():
                found = file.extractfile(each)
                assert found is not None
                yield each.name, found.read()


def test_every_blob_is_what_its_descriptor_says_and_there_is_no_other(layout: Path) -> None:
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, entry))
    config = json.loads(blob(layout, manifest["config"]))
    layers = [blob(layout, each) for each in manifest["layers"]]
    assert [hashlib.sha256(gzip.decompress(each)).hexdigest() for each in layers] == [each[7:] for each in config["rootfs"]["diff_ids"]]
    known = {each["digest"][7:] for each in (entry, manifest["config"], *manifest["layers"])}
    assert set(os.listdir(layout / "blobs" / "sha256")) == known
    assert entry["platform"] == {"architecture": config["architecture"], "os": config["os"]}
    assert (Path(IMAGE) / "layer.tar.gz").read_bytes() == layers[-1]
    made = [each for each in config["history"] if not each.get("empty_layer")]
    assert len(made) == len(layers)


def test_the_config_says_how_to_run_it(layout: Path) -> None:
    config = json.loads(blob(layout, manifest_of(layout)["config"]))["config"]
    assert "/usr/local/openresty/bin/openresty" in [*config.get("Entrypoint", []), *config.get("Cmd", [])]
    assert config["User"] in ("nginx", "101", "101:101")
    assert config["StopSignal"] == "SIGQUIT"
    assert config["Labels"]["builder.lock"].startswith("sha256:")
    assert set(config["ExposedPorts"]) == {"80/tcp", "443/tcp", "1936/tcp"}
    assert config["Healthcheck"]["Test"] == ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:1936/status"]
    assert "NEW_POLICY_PATH=/etc/gateway/policy/policy.json" in config["Env"]


def test_nginx_may_bind_low_ports(members: dict[str, tarfile.TarInfo]) -> None:
    value = members[NGINX].pax_headers[CAPABILITY].encode("utf-8", "surrogateescape")
    magic, permitted, inheritable, *high = struct.unpack("<5I", value)
    assert magic == 0x02000001, "VFS_CAP_REVISION_2 with the effective flag (linux/capability.h)"
    assert (permitted, inheritable, high) == (1 << BIND_SERVICE, 0, [0, 0])
    assert [name for name, each in members.items() if CAPABILITY in each.pax_headers] == [NGINX]


def test_users_folders_and_links_are_as_the_image_says(members: dict[str, tarfile.TarInfo]) -> None:
    logs = "usr/local/openresty/nginx/logs"
    assert (members[logs].uid, members[logs].gid, members[logs].isdir()) == (101, 101, True)
    assert members[f"{logs}/access.log"].linkname == "/dev/stdout"
    assert members[f"{logs}/error.log"].linkname == "/dev/stderr"
    assert members["tmp"].mode == 0o1777
    assert (members["run/openresty"].uid, members["etc/gateway/policy"].isdir()) == (101, True)
    users = dict(contents(Path(IMAGE) / "layer.tar.gz"))["etc/passwd"].decode()
    assert [line for line in users.splitlines() if line.startswith("nginx:")] == ["nginx:x:101:101:nginx:/run/openresty:/sbin/nologin"]


def test_the_tar_tells_nothing_of_when_and_where(members: dict[str, tarfile.TarInfo]) -> None:
    assert list(members) == sorted(members, key=lambda name: name.split("/")), "folder by folder"
    assert {each.mtime for each in members.values()} == {0}
    assert {(each.uname, each.gname) for each in members.values()} <= {("", ""), ("root", "root")}
    assert {each.uid for each in members.values()} <= {0, 101}
    assert not [name for name, each in members.items() if each.mode & 0o002 and not each.issym() and name != "tmp"]
    assert not [name for name, each in members.items() if each.mode & 0o6000]


def test_no_path_of_the_build_and_of_this_machine_is_in_a_file(layout: Path) -> None:
    paths = [b"/build/src", b"/build/tmp", b"/sources/", ENVIRON["HOME"].rstrip("/").encode() + b"/.cache", str(REPOSITORY).encode()]
    for each in manifest_of(layout)["layers"]:
        for name, data in contents(layout / "blobs" / "sha256" / each["digest"][7:]):
            assert not [path for path in paths if path in data], name


def test_the_interpreter_of_every_program_is_in_the_image(layout: Path, tmp_path: Path) -> None:
    everything: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for each in manifest_of(layout)["layers"]:
        path = layout / "blobs" / "sha256" / each["digest"][7:]
        everything |= dict(contents(path))
        with tarfile.open(path) as file:
            links |= {member.name: member.linkname for member in file if member.issym()}
    programs = 0
    for name, data in everything.items():
        if not data.startswith(b"\x7fELF"):
            continue
        program = tmp_path / "program"
        program.write_bytes(data)
        with program.open("rb") as file:
            for segment in ELFFile(file).iter_segments("PT_INTERP"):
                programs += 1
                assert isinstance(segment, InterpSegment)
                assert segment.get_interp_name().lstrip("/") in everything, name
    assert programs > 1
    assert links["usr/local/openresty/bin/openresty"] == "../nginx/sbin/nginx"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_made_twice_it_is_the_same(tmp_path: Path, compression: str) -> None:
    found = []
    for number in range(2):
        out = tmp_path / str(number)
        argv = [BUILDER, "build", "--locked", "--compression", compression, "--out", str(out)]
        done = subprocess.run(argv, cwd=REPOSITORY, env=ENVIRON, capture_output=True, text=True, check=False)
        if done.returncode == 1 and "the lock" in done.stderr:
            pytest.skip("the lock of this checkout does not pin the image")
        assert done.returncode == 0, done.stderr
        found.append({str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()})
    assert found[0] == found[1]
    if compression == "gzip":
        assert found[0]["gateway/layer.tar.gz"] == (Path(IMAGE) / "layer.tar.gz").read_bytes()
    else:
        layer = zstandard.ZstdDecompressor().decompressobj().decompress(found[0]["gateway/layer.tar.zst"])
        assert layer == gzip.decompress((Path(IMAGE) / "layer.tar.gz").read_bytes())
