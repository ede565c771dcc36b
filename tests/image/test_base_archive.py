"""A base that is an archive is a layer byte for byte: its bytes belong to the image's key, and not its tree alone."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import small
from small import Small

ARCHIVE = """
[[version.source]]
filename = "base.tar.gz"
locations = ["https://base.example/base.tar.gz"]
sha256 = "{sha256}"
strip = 0
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    return made


def take_archive(project: Small, mode: int) -> bytes:
    """Let the base be an archive of the directory that it was made of; `mode` is of a file, and not in the tree."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("etc/issue")
        member.size, member.mode = len("small\n"), mode
        archive.addfile(member, io.BytesIO(b"small\n"))
    data = gzip.compress(out.getvalue(), mtime=0)
    (project.root / "dist").mkdir(exist_ok=True)
    (project.root / "dist/base.tar.gz").write_bytes(data)
    head = small.FILES["recipes/base.toml"].partition("[[version.source]]")[0]
    project.write("recipes/base.toml", head + ARCHIVE.format(sha256=hashlib.sha256(data).hexdigest()))
    return data


def base_of(project: Small) -> bytes:
    """The base layer of the image in out/, as it lies there."""
    layout = project.root / "out/openresty/oci"

    def blob(descriptor: Any) -> bytes:
        return Path(layout, "blobs", descriptor["digest"].replace(":", "/")).read_bytes()

    manifest = json.loads(blob(json.loads((layout / "index.json").read_text())["manifests"][0]))
    return blob(manifest["layers"][0])


def build(project: Small) -> None:
    (project.root / "dist").mkdir(exist_ok=True)
    answer = project.run("build", "--offline", "--distdir", "dist")
    assert answer.code == 0, answer.err


def test_an_archive_instead_of_a_directory_with_the_same_files_is_another_base(project: Small) -> None:
    build(project)
    before = base_of(project)
    data = take_archive(project, 0o644)
    build(project)
    assert base_of(project) == data
    project.write("recipes/base.toml", small.FILES["recipes/base.toml"])
    build(project)
    assert base_of(project) == before


def test_another_archive_of_the_same_files_is_another_base(project: Small) -> None:
    for mode in (0o644, 0o600):
        data = take_archive(project, mode)
        build(project)
        assert base_of(project) == data
