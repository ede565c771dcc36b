"""OCI image layouts: structure, digests, and other programs' reading of them."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builder.base import canonical
from builder.base.errors import ArchiveError, RefusedError, StoreError
from builder.image.oci import base, capability, image, index
from builder.image.oci.compress import Blob
from builder.image.oci.config import About, config_of
from builder.image.oci.entry import DIR, FILE, LINK, Entry
from builder.image.oci.image import Composed, Tarball
from builder.recipe.image import Config, Healthcheck

BASE = (
    Entry(path="bin", kind=DIR, mode=0o755),
    Entry(path="bin/busybox", kind=FILE, mode=0o755, size=2, data=b"bb", origin="busybox 1.37.0"),
    Entry(path="bin/sh", kind=LINK, mode=0o777, target="busybox"),
)
LAYER = (
    Entry(path="etc", kind=DIR, mode=0o755),
    Entry(path="etc/passwd", kind=FILE, mode=0o644, size=31, data=b"nginx:x:101:101:nginx:/:/bin/sh"),
    Entry(
        path="nginx", kind=FILE, mode=0o755, size=3, data=b"ELF",
        xattrs=((capability.XATTR, capability.encode(["CAP_NET_BIND_SERVICE"])),),
    ),
)  # fmt: skip
CONFIG = Config(
    entrypoint=("/nginx",),
    command=("-g", "daemon off;"),
    env={"TZ": "UTC", "PATH": "/bin"},
    user="nginx",
    working_dir="/srv",
    stop_signal="SIGQUIT",
    ports=("80/tcp", "443/tcp"),
    labels={"org.opencontainers.image.title": "Web", "team": "edge"},
    healthcheck=Healthcheck(test=("nginx", "-t"), interval=5, timeout=2, start_period=0, retries=4),
)
ABOUT = About(
    name="web",
    version="1.2",
    platform="x86_64-linux-musl",
    config=CONFIG,
    packages={"nginx": "1.26.3", "busybox": "1.37.0"},
    lock="sha256-abc",
)


def written(target: Path, **options: Any) -> image.Written:
    return image.write(str(target), [Composed(entries=BASE, title="base"), Composed(entries=LAYER, title="web 1.2")], ABOUT, **options)


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def digests(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.rglob("*") if each.is_file()}


def check_layout(layout: Path) -> tuple[Any, Any]:
    """Manifest and config after checking that every descriptor in the layout is true and every blob is wanted."""
    assert load(layout / "oci-layout") == {"imageLayoutVersion": "1.0.0"}
    index = load(layout / "index.json")
    blobs = layout / "blobs" / "sha256"
    wanted = set()

    def blob(descriptor: Any) -> bytes:
        name = descriptor["digest"].removeprefix("sha256:")
        data: bytes = (blobs / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (name, descriptor["size"])
        wanted.add(name)
        return data

    manifest = json.loads(blob(index["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    layers = [blob(each) for each in manifest["layers"]]
    if all(each["mediaType"].endswith("+gzip") for each in manifest["layers"]):
        plain = [f"sha256:{hashlib.sha256(gzip.decompress(each)).hexdigest()}" for each in layers]
        assert plain == config["rootfs"]["diff_ids"]
    assert wanted == {each.name for each in blobs.iterdir()}
    assert len(config["history"]) == len(layers)
    return manifest, config


def test_structure(tmp_path: Path) -> None:
    made = written(tmp_path / "web")
    manifest, config = check_layout(Path(made.layout))
    assert load(Path(made.layout, "index.json")) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": f"sha256:{made.manifest}",
                "size": Path(made.layout, "blobs/sha256", made.manifest).stat().st_size,
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {"org.opencontainers.image.ref.name": "1.2"},
            }
        ],
    }
    assert [each["mediaType"] for each in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+gzip"] * 2
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert config == {
        "created": "1970-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": "nginx",
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Env": ["PATH=/bin", "TZ=UTC"],
            "Entrypoint": ["/nginx"],
            "Cmd": ["-g", "daemon off;"],
            "WorkingDir": "/srv",
            "StopSignal": "SIGQUIT",
            "Healthcheck": {
                "Test": ["CMD", "nginx", "-t"],
                "Interval": 5_000_000_000,
                "Timeout": 2_000_000_000,
                "StartPeriod": 0,
                "Retries": 4,
            },
            "Labels": {
                "org.opencontainers.image.title": "Web",
                "org.opencontainers.image.version": "1.2",
                "org.opencontainers.image.ref.name": "1.2",
                "builder.package.nginx": "1.26.3",
                "builder.package.busybox": "1.37.0",
                "builder.lock": "sha256-abc",
                "builder.layer-sizes": f"{made.layers[0].diff_size} {made.layers[1].diff_size}",
                "team": "edge",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each.diff_id}" for each in made.layers]},
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": "builder", "comment": "base"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "builder", "comment": "web 1.2"},
        ],
    }


def test_what_the_recipe_leaves_open_is_absent() -> None:
    about = About(name="web", version="1", platform="aarch64-linux-musl", config=Config())
    config = config_of([("base", Blob(digest="1", size=1, diff_id="2", diff_size=2))], about)
    assert config["architecture"] == "arm64"
    assert list(config["config"]) == ["Labels"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_was_written_can_be_read_back(tmp_path: Path, compression: str) -> None:
    made = written(tmp_path / "web", compression=compression)
    assert image.read(str(tmp_path / "web")) == made


def test_what_an_image_says_may_depend_on_its_layers(tmp_path: Path) -> None:
    def about(blobs: tuple[Blob, ...]) -> About:
        return replace(ABOUT, lock=blobs[-1].diff_id)

    made = image.write(str(tmp_path / "web"), [Composed(entries=LAYER, title="web")], about)
    _, config = check_layout(Path(made.layout))
    assert config["config"]["Labels"]["builder.lock"] == made.layer.diff_id


def test_the_layer_is_a_file_of_its_own(tmp_path: Path) -> None:
    made = written(tmp_path / "web")
    assert made.layer_file == f"{tmp_path}/web/layer.tar.gz"
    assert sorted(each.name for each in (tmp_path / "web").iterdir()) == ["layer.tar.gz", "oci"]
    assert hashlib.sha256(Path(made.layer_file).read_bytes()).hexdigest() == made.layer.digest == made.layers[1].digest
    assert os.path.samefile(made.layer_file, Path(made.layout, "blobs/sha256", made.layer.digest))
    with tarfile.open(made.layer_file) as archive:
        assert archive.getnames() == ["etc", "etc/passwd", "nginx"]


def test_the_same_bytes_wherever_and_however(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "one", threads=1)
    before = os.umask(0o077)
    try:
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        written(tmp_path / "other" / "two", threads=3)
    finally:
        os.umask(before)
    assert digests(tmp_path / "one") == digests(tmp_path / "other" / "two")


def test_the_layer_is_the_same_on_either_base(tmp_path: Path) -> None:
    own = Composed(entries=LAYER, title="web")
    one = image.write(str(tmp_path / "one"), [Composed(entries=BASE, title="base"), own], ABOUT)
    two = image.write(str(tmp_path / "two"), [own], ABOUT)
    assert one.layer == two.layer


def test_zstd(tmp_path: Path) -> None:
    made = written(tmp_path / "web", compression="zstd")
    manifest, _ = check_layout(Path(made.layout))
    assert [each["mediaType"] for each in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+zstd"] * 2
    assert made.layer_file == f"{tmp_path}/web/layer.tar.zst"
    assert made.layer.diff_id == written(tmp_path / "gzip").layer.diff_id


def tarball(path: Path) -> bytes:
    """A root file system as a distribution packs it: `./` names, a hard link, times, an attribute."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=99) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, mode in (("./", tarfile.DIRTYPE, 0o755), ("./tmp/", tarfile.DIRTYPE, 0o1777)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            archive.addfile(member)
        member = tarfile.TarInfo("./bin/busybox")
        member.size, member.mode, member.mtime = 4, 0o4755, 1234
        member.pax_headers = {"SCHILY.xattr.user.note": "\udcff\x01"}
        archive.addfile(member, io.BytesIO(b"\x7fELF"))
        for name, kind in (("./bin/hard", tarfile.LNKTYPE), ("./bin/sh", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o777
            member.linkname = "./bin/busybox" if kind == tarfile.LNKTYPE else "/bin/busybox"
            archive.addfile(member)
    path.write_bytes(out.getvalue())
    return out.getvalue()


def test_a_tarball_is_used_byte_for_byte(tmp_path: Path) -> None:
    data = tarball(tmp_path / "base.tar.gz")
    layers: list[Composed | Tarball] = [
        Tarball(path=str(tmp_path / "base.tar.gz"), title="alpine 3.23"),
        Composed(entries=LAYER, title="web"),
    ]
    made = image.write(str(tmp_path / "web"), layers, ABOUT, compression="zstd")
    manifest, config = check_layout(Path(made.layout))
    first = made.layers[0]
    assert Path(made.layout, "blobs/sha256", first.digest).read_bytes() == data
    assert first.diff_id == hashlib.sha256(gzip.decompress(data)).hexdigest()
    assert first.diff_size == len(gzip.decompress(data))
    assert [each["mediaType"][-4:] for each in manifest["layers"]] == ["gzip", "zstd"]
    assert config["history"][0]["comment"] == "alpine 3.23"


def test_entries_of_a_tarball(tmp_path: Path) -> None:
    tarball(tmp_path / "base.tar.gz")
    entries = base.entries(str(tmp_path / "base.tar.gz"), origin="alpine 3.23")
    assert [(each.path, each.kind, oct(each.mode), each.data, each.target) for each in entries] == [
        ("bin/busybox", FILE, "0o4755", b"\x7fELF", ""),
        ("bin/hard", FILE, "0o777", b"\x7fELF", ""),
        ("bin/sh", LINK, "0o777", None, "/bin/busybox"),
        ("tmp", DIR, "0o1777", None, ""),
    ]
    assert entries[0].xattrs == (("user.note", b"\xff\x01"),)
    assert {each.origin for each in entries} == {"alpine 3.23"}


def broken(path: Path, how: str) -> None:
    data = tarball(path)
    plain = gzip.decompress(data)
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    path.write_bytes(
        {
            "short": data[: len(data) // 2],
            "flipped": data[:-6] + bytes([data[-6] ^ 1]) + data[-5:],
            "plain": plain,
            "pipe": gzip.compress(pipe.tobuf() + bytes(1024)),
        }[how]
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("short", "the base layer is damaged: it ends early"),
        ("flipped", "the base layer is damaged: Error -3 while decompressing data: incorrect data check"),
        ("plain", "the base layer is not a .tar.gz"),
    ],
)
def test_damaged_tarballs(tmp_path: Path, how: str, message: str) -> None:
    path = tmp_path / "base.tar.gz"
    broken(path, how)
    with pytest.raises(ArchiveError) as error:
        image.write(str(tmp_path / "web"), [Tarball(path=str(path), title="x")], ABOUT)
    assert error.value.message.startswith(message)
    assert error.value.where == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["base.tar.gz"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("short", "the base layer is damaged: "),
        ("plain", "the base layer is not a .tar.gz"),
        ("pipe", "'pipe' in the base layer is no file, directory, symbolic link or hard link to an earlier file"),
    ],
)
def test_entries_of_damaged_tarballs(tmp_path: Path, how: str, message: str) -> None:
    broken(tmp_path / "base.tar.gz", how)
    with pytest.raises(ArchiveError) as error:
        base.entries(str(tmp_path / "base.tar.gz"), origin="x")
    assert error.value.message.startswith(message)


def test_a_file_that_vanished_leaves_the_old_image(tmp_path: Path) -> None:
    before = written(tmp_path / "web")
    source = tmp_path / "source"
    source.write_bytes(b"123")
    changed = Entry(path="x", kind=FILE, mode=0o644, size=4, source=str(source))
    with pytest.raises(StoreError):
        image.write(str(tmp_path / "web"), [Composed(entries=(changed,), title="x")], ABOUT)
    check_layout(Path(before.layout))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source", "web"]


def test_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = image.write("out/web", [Composed(entries=LAYER, title="web")], ABOUT)
    assert image.describe(made, ABOUT).splitlines() == [
        f"layer     sha256:{made.layer.diff_id} (4.6 kB, {made.layer.size} B compressed)",
        "file      out/web/layer.tar.gz",
        f"image     out/web/oci ({made.layer.size} B compressed)",
        f"manifest  sha256:{made.manifest}",
        "",
        "inspect   skopeo inspect oci:out/web/oci:1.2",
        "run       podman run --rm oci:out/web/oci:1.2",
        "Docker    skopeo copy oci:out/web/oci:1.2 docker-daemon:web:1.2",
    ]


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_reads_it(tmp_path: Path, compression: str) -> None:
    made = written(tmp_path / "web", compression=compression)
    reference = f"oci:{made.layout}:{made.reference}"
    done = subprocess.run(["skopeo", "inspect", reference], check=True, capture_output=True)
    found = json.loads(done.stdout)
    assert found["Digest"] == f"sha256:{made.manifest}"
    assert found["Labels"]["builder.package.nginx"] == "1.26.3"
    assert found["Layers"] == [f"sha256:{each.digest}" for each in made.layers]
    copy = ["skopeo", "copy", "--insecure-policy", reference, f"dir:{tmp_path}/copy"]
    subprocess.run(copy, check=True, capture_output=True)
    assert (tmp_path / "copy" / made.layer.digest).read_bytes() == Path(made.layer_file).read_bytes()


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("umoci") or os.geteuid() != 0, reason="needs umoci, and root for owners")
def test_umoci_unpacks_it(tmp_path: Path) -> None:
    made = written(tmp_path / "web")
    subprocess.run(["umoci", "unpack", "--image", f"{made.layout}:{made.reference}", str(tmp_path / "bundle")], check=True)
    root = tmp_path / "bundle" / "rootfs"
    assert sorted(str(each.relative_to(root)) for each in root.rglob("*")) == [
        "bin", "bin/busybox", "bin/sh", "etc", "etc/passwd", "nginx",
    ]  # fmt: skip
    assert os.readlink(root / "bin/sh") == "busybox"
    assert os.getxattr(root / "nginx", capability.XATTR) == capability.encode(["CAP_NET_BIND_SERVICE"])
    process = load(tmp_path / "bundle" / "config.json")["process"]
    assert process["args"] == ["/nginx", "-g", "daemon off;"]
    assert process["user"]["uid"] == 101


def test_no_check_of_health_is_not_the_same_as_none_given() -> None:
    def of(check: Healthcheck | None) -> dict[str, Any]:
        about = About(name="a", version="1", platform="x86_64-linux-musl", config=Config(healthcheck=check))
        return dict(config_of([], about)["config"])

    assert of(Healthcheck(test=("NONE",)))["Healthcheck"] == {"Test": ["NONE"]}
    assert "Healthcheck" not in of(None)


def test_an_image_that_another_program_made_is_not_replaced(tmp_path: Path) -> None:
    layout = tmp_path / "web/oci"
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "blobs/sha256" / ("c" * 64)).write_text('{"config": {}}')
    (layout / "blobs/sha256" / ("a" * 64)).write_text(json.dumps({"config": {"digest": "sha256:" + "c" * 64}}))
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:" + "a" * 64}]}))
    with pytest.raises(RefusedError) as error:
        image.write(str(tmp_path / "web"), [Composed(entries=LAYER, title="web")], ABOUT)
    assert str(error.value) == (
        f"{tmp_path}/web: it holds what another program made, so it is not replaced\n"
        "  next: move it to another place, then run the command again"
    )
    (tmp_path / "web").rename(tmp_path / "theirs")
    for _ in range(2):
        made = image.write(str(tmp_path / "web"), [Composed(entries=LAYER, title="web")], ABOUT)
        os.unlink(made.layer_file)  # ours by its label


def test_what_was_written_is_known_to_the_byte(tmp_path: Path) -> None:
    target = str(tmp_path / "web")
    image.write(target, [Composed(entries=LAYER, title="web")], ABOUT, compression="zstd")
    layers = image.kept(target)
    assert image.is_written(target, layers, ABOUT)
    assert not image.is_written(target, layers, replace(ABOUT, lock="other"))
    (tmp_path / "web/layer.tar.zst").unlink()
    assert not image.is_written(target, layers, ABOUT)


def put(layout: str, data: bytes) -> dict[str, Any]:
    name = hashlib.sha256(data).hexdigest()
    Path(layout, "blobs/sha256", name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def beside(layout: str, *, lock: str = "sha256-abc", platform: str = "arm64") -> list[dict[str, Any]]:
    """Put a bill of materials of the image, a signature of that, and an image of another platform in the index."""
    index_file = Path(layout, "index.json")
    top = load(index_file)
    kind = "application/vnd.oci.image.manifest.v1+json"
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", **put(layout, b"{}")}
    found = []
    subject = top["manifests"][0]
    for artifact in ("application/spdx+json", "application/x-signature"):
        named = {key: subject[key] for key in ("digest", "size", "mediaType")}
        layers = [{"mediaType": artifact, **put(layout, artifact.encode())}]
        manifest = {"schemaVersion": 2, "artifactType": artifact, "config": empty, "layers": layers, "subject": named}
        subject = {"mediaType": kind, "artifactType": artifact, **put(layout, canonical.encode(manifest))}
        found.append(subject)
    config = put(layout, json.dumps({"config": {"Labels": {"builder.lock": lock}}}).encode())
    other = {"schemaVersion": 2, "config": config, "layers": [put(layout, b"a layer")]}
    about = {"platform": {"architecture": platform, "os": "linux"}}
    found.append({"mediaType": kind, **about, **put(layout, canonical.encode(other))})
    top["manifests"] += found
    index_file.write_bytes(canonical.encode(top))
    return found


def test_what_stands_beside_an_image_stays_when_it_is_written_again(tmp_path: Path) -> None:
    layout = written(tmp_path / "web").layout
    found = beside(layout)
    assert image.is_written(str(tmp_path / "web"), image.kept(str(tmp_path / "web")), ABOUT)
    before = digests(tmp_path / "web")
    written(tmp_path / "web")
    assert digests(tmp_path / "web") == before
    assert load(Path(layout, "index.json"))["manifests"][1:] == found


def test_what_is_about_another_image_goes(tmp_path: Path) -> None:
    written(tmp_path / "new")
    beside(written(tmp_path / "web").layout)
    layers = image.kept(str(tmp_path / "web"))
    image.write(str(tmp_path / "web"), layers, replace(ABOUT, lock="sha256-def"))
    image.write(str(tmp_path / "web"), image.kept(str(tmp_path / "web")), ABOUT)
    assert digests(tmp_path / "web") == digests(tmp_path / "new")


@pytest.mark.parametrize("change", [{"lock": "sha256-def"}, {"platform": "amd64"}])
def test_another_image_of_this_platform_or_of_another_lock_goes(tmp_path: Path, change: dict[str, str]) -> None:
    layout = written(tmp_path / "web").layout
    found = beside(layout, **change)
    assert not image.is_written(str(tmp_path / "web"), image.kept(str(tmp_path / "web")), ABOUT)
    written(tmp_path / "web")
    assert load(Path(layout, "index.json"))["manifests"][1:] == found[:2]


@pytest.mark.parametrize("how", ["changed", "absent", "linked", "a pipe"])
def test_a_damaged_companion_goes_and_what_names_it(tmp_path: Path, how: str) -> None:
    layout = written(tmp_path / "web").layout
    found = beside(layout)
    path = Path(layout, "blobs", found[0]["digest"].replace(":", "/"))
    if how == "changed":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "linked":
        path.symlink_to(tmp_path / "elsewhere")
    if how == "a pipe":
        os.mkfifo(path)
    staying = index.companions(layout, index.read(layout)[0], ABOUT.lock)
    assert [each.descriptor for each in staying] == found[2:]


def test_a_companion_that_cannot_be_written_again_goes(tmp_path: Path) -> None:
    layout = written(tmp_path / "web").layout
    found = beside(layout)
    whole = json.loads(Path(layout, "index.json").read_text())
    whole["manifests"][1]["annotations"] = {"a": "\ud800"}
    Path(layout, "index.json").write_text(json.dumps(whole))
    staying = index.companions(layout, index.read(layout)[0], ABOUT.lock)
    assert found[0]["digest"] not in [each.descriptor["digest"] for each in staying]
