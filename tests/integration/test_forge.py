"""Recipes whose sources lie on forges only, with archives of the same layout, on the real tool set that `builder build` made.

One real nginx is compiled, with an add-on that stands for lua-var-nginx-module.
"""

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from msgspec import Struct

from builder.base import digest
from builder.store import Store
from builder.tree import nar
from integration import forge, world
from integration.forge import SITE
from integration.world import BUILDER, ENVIRON, PLATFORM, REPOSITORY, Answer, World

pytestmark = pytest.mark.long

NEEDED = ("toolset", "launcher", "openssl", "luajit", "pcre2", "zlib", "musl", "lua-resty-core", "lua-resty-lrucache", "lua-cjson")
FIVE = ("mlcache", "worker-events", "cookie", "balancer", "lua-var-nginx-module")


class Forge(Struct, frozen=True):
    """A project with the pins of archives that lie in `distdir`. scratch: where trees are laid out."""

    world: World
    distdir: Path
    scratch: Path

    def give(self, package: str, files: dict[str, str] | None = None) -> None:
        path, tree = forge.make(self.distdir, self.scratch, package, files)
        forge.repin(self.world, package, path, tree)

    def base(self, loader: Path) -> None:
        """A root file system as Alpine's is since 3.23: a loader and some files, and the links that a layer must not replace."""
        tree = self.scratch / "minirootfs"
        users = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:root\n"}
        forge.lay_out(tree, {"etc/alpine-release": "3.23.6\n", **users})
        for name in ("run", "tmp", "usr/bin", "usr/lib", "usr/sbin", "var"):
            (tree / name).mkdir(parents=True)
        for name in ("bin", "lib", "sbin"):
            (tree / name).symlink_to(f"usr/{name}")
        (tree / "var/run").symlink_to("../run")
        (tree / "lib" / loader.name).write_bytes(loader.read_bytes())
        (tree / "lib" / loader.name).chmod(0o755)
        path = forge.archive(self.distdir, tree, "alpine-minirootfs-3.23.6-x86_64.tar.gz", "")
        forge.repin(self.world, "alpine-minirootfs", path, nar.hash_tree(str(tree)))

    def build(self, *argv: str) -> Answer:
        return self.world.run("build", "--offline", "--distdir", str(self.distdir), *argv)


def package(lock: Path, name: str, profile: str) -> dict[str, object]:
    """A package's block in a lock."""
    (found,) = (each for each in tomli.loads(lock.read_text())["package"] if each["name"] == name and profile in each["profiles"])
    return dict(found)


def out(lock: Path, name: str, profile: str = "embedded") -> str:
    outputs = package(lock, name, profile).get("output", {})
    assert isinstance(outputs, dict)
    return str(outputs.get(PLATFORM, {}).get("out", ""))


def built_store() -> Path:
    """The store in which `builder build` made the default image."""
    said = subprocess.run([BUILDER, "store", "path", "--root", REPOSITORY], env=ENVIRON, capture_output=True, text=True, check=True)
    store = Path(said.stdout.strip())
    for name in NEEDED:
        tree = out(REPOSITORY / "lock.toml", name)
        if not tree or not (store / "trees" / digest.to_hex(tree)).is_dir():
            pytest.skip(f"`builder build` has not built {name} on this machine")
    return store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    store = built_store()
    folder = tmp_path_factory.mktemp("forge")
    found = Forge(forge.project(folder / "project", folder / "home"), folder / "archives", folder / "scratch")
    world.link(store, found.world.store_path, archives=True)
    for name in forge.LAYOUTS:
        found.give(name)
    found.base(found.world.tree_path(out(found.world.lock, "musl")) / "lib" / "ld-musl-x86_64.so.1")
    found.world.ok("resolve", "--offline")
    yield found
    world.free(folder)


def test_the_five_components(made: Forge) -> None:
    """One test, for the one nginx that is compiled: what each installs, the image of them, and what its contract finds."""
    answer = made.build("--profile", "components", "--json", *FIVE, "lua-resty-lock")
    assert answer.code == 0, answer.err
    (row,) = answer.json
    trees = {name.split(" ")[0]: made.world.tree_path(outputs["out"]) for name, outputs in row["packages"].items()}
    each_installs_what_is_documented(trees)
    the_library_of_the_balancer_is_one_for_musl(trees["balancer"])
    nginx_has_the_add_on(made)
    the_image_stands_on_the_base_byte_for_byte(made)
    a_symbol_that_nothing_exports_is_found(made)


def files(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())


def each_installs_what_is_documented(trees: dict[str, Path]) -> None:
    assert {name: files(tree) for name, tree in trees.items()} == {
        "mlcache": [f"{SITE}/mlcache.lua", f"{SITE}/mlcache/ipc.lua"],
        "worker-events": [f"{SITE}/worker/events.lua"],
        "cookie": [f"{SITE}/cookie.lua"],
        "balancer": [
            "usr/local/openresty/site/lualib/librestychash.so", f"{SITE}/balancer/utils.lua", f"{SITE}/chash.lua",
            f"{SITE}/roundrobin.lua",
        ],
        "lua-var-nginx-module": [f"{SITE}/ngxvar.lua", f"{SITE}/ngxvar/http.lua", f"{SITE}/ngxvar/stream.lua"],
        "lua-resty-lock": ["usr/local/openresty/lualib/resty/lock.lua"],
    }  # fmt: skip


def the_library_of_the_balancer_is_one_for_musl(tree: Path) -> None:
    data = (tree / "usr/local/openresty/site/lualib/librestychash.so").read_bytes()
    assert data.startswith(b"\x7fELF")
    assert b"chash_point_cmp" in data
    assert b"libc.so.6" not in data


def nginx_has_the_add_on(made: Forge) -> None:
    assert package(made.world.lock, "nginx", "components")["features"] == ["lua-var"]
    tree = made.world.tree_path(out(made.world.lock, "nginx", "components"))
    data = (tree / "usr/local/openresty/nginx/sbin/nginx").read_bytes()
    assert b"ngx_http_lua_var_ffi_test" in data
    assert b"--add-module=../lua-var-nginx-module-0.5.2" in data


def the_image_stands_on_the_base_byte_for_byte(made: Forge) -> None:
    answer = made.build("--profile", "components", "gateway", "--json")
    assert answer.code == 0, answer.err
    (row,) = answer.json
    with tarfile.open(row["file"]) as layer:
        names = set(layer.getnames())
    assert {f"{SITE}/mlcache.lua", f"{SITE}/cookie.lua", f"{SITE}/chash.lua", "usr/local/openresty/nginx/sbin/nginx"} <= names
    assert {"etc/gateway/nginx.conf", "usr/local/openresty/site/lualib/gateway/init.lua"} <= names
    assert "etc/gateway/stream.d/gateway/stream.conf" not in names, "nginx from parts has no stream Lua module"
    assert "lib/ld-musl-x86_64.so.1" not in names, "the base brings it"
    base, _ = layers(Path(row["path"]))
    assert base == digest.of_file(str(made.distdir / "alpine-minirootfs-3.23.6-x86_64.tar.gz")), "the base is used byte for byte"


def layers(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads((layout / "blobs" / "sha256" / index["manifests"][0]["digest"][7:]).read_text())
    return [each["digest"][7:] for each in manifest["layers"]]


def test_the_layer_is_the_same_on_either_base(made: Forge) -> None:
    """An image on the composed base (busybox and musl) and on the tarball: one layer."""
    text = 'name = "small"\npackages = ["lua-resty-lrucache"]\nprofiles = ["embedded", "components"]\n'
    path = made.world.write("recipes/images/small.toml", text)
    found = []
    for profile in ("embedded", "components"):
        answer = made.build("--profile", profile, "small", "--json", "--out", str(made.scratch / profile))
        assert answer.code == 0, answer.err
        (row,) = answer.json
        found.append((row["layer"], Path(row["file"]).read_bytes(), len(layers(Path(row["path"])))))
    path.unlink()
    assert found[0] == found[1]
    assert found[0][2] == 2


def a_symbol_that_nothing_exports_is_found(made: Forge) -> None:
    """What happened to the gateway's own image: the Lua half was shipped, and the C half was not."""
    made.give("cookie", {"resty/cookie.lua": forge.VAR_LUA.replace("ngx_http_lua_var_ffi_test", "ngx_http_lua_gone_ffi_test")})
    answer = made.build("--profile", "components", "gateway")
    made.give("cookie")
    assert answer.code == 1
    assert "builder: gateway, profile components: the image breaks its contract (1 finding):\n" in answer.err
    assert (
        f"  [lua-ffi] {SITE}/cookie.lua:6: uses ngx_http_lua_gone_ffi_test through FFI, and nginx, its libraries and the C library "
        "do not export it"
    ) in answer.err


def test_the_official_bundle(made: Forge) -> None:
    answer = made.build("--profile", "upstream", "gateway", "--json")
    assert answer.code == 0, answer.err
    (row,) = answer.json
    assert "openresty 1.27.1.2" in row["realised"]
    assert not [name for name in row["realised"] if name.startswith(("nginx ", "luajit ", "lua-resty-lock ", "lua-cjson "))]
    with tarfile.open(row["file"]) as layer:
        names = set(layer.getnames())
        nginx = layer.getmember("usr/local/openresty/nginx/sbin/nginx")
    assert {"usr/local/openresty/lualib/resty/core.lua", f"{SITE}/mlcache.lua", "usr/local/openresty/bin/openresty"} <= names
    assert {"etc/gateway/nginx.conf", "etc/gateway/stream.d/gateway/stream.conf"} <= names, "layer 4, with the bundle's stream Lua module"
    assert "SCHILY.xattr.security.capability" in nginx.pax_headers


def test_the_image_without_the_gateway_on_the_base(made: Forge) -> None:
    """/var/run is a link on the base, and stays one; the folder that is known by that name is there, too."""
    answer = made.build("--profile", "upstream", "openresty", "--json")
    assert answer.code == 0, answer.err
    (row,) = answer.json
    with tarfile.open(row["file"]) as layer:
        assert layer.getmember("run/openresty").uid == 101
        assert layer.getmember("var/run").linkname == "../run"


# Archives that are not what the recipes of this repository pin


@pytest.fixture
def unpinned(tmp_path: Path) -> Iterator[Forge]:
    """The repository's own recipes with a distdir and an empty store."""
    yield Forge(forge.project(tmp_path / "project", tmp_path / "home"), tmp_path / "archives", tmp_path / "scratch")
    world.free(tmp_path)


def told(found: Forge, title: str) -> str:
    """What a fetch without network says of the distdir's file for one source."""
    answer = found.world.run("fetch", "--offline", "--image", "gateway", "--profile", "components", "--distdir", str(found.distdir))
    assert answer.code == 3
    said = answer.err.partition("builder: ")[2].splitlines()
    start = next(i for i, line in enumerate(said) if line.startswith(f"{title}: "))
    return next(line for line in said[start:] if line.startswith(f"  {found.distdir}: ")).partition(": ")[2]


def test_a_file_of_the_right_name_and_another_content_is_not_taken(unpinned: Forge) -> None:
    _, tree = forge.make(unpinned.distdir, unpinned.scratch, "mlcache")
    assert told(unpinned, "mlcache 2.5.0") == (
        f"the content is different: its tree is {tree}, pinned is sha256-s46ndDfQT1CzZEAvWA63HU1ImY/GaClwZSddCnJhs/4="
    )
    with Store(str(unpinned.world.store_path)) as store:
        assert os.listdir(store.files_dir) == []


def test_an_html_page_is_told_as_such(unpinned: Forge) -> None:
    unpinned.distdir.mkdir()
    (unpinned.distdir / forge.LAYOUTS["balancer"][0]).write_text("<!DOCTYPE html>\n<html><title>Not Found</title></html>\n")
    assert "HTML" in told(unpinned, "balancer 0.04")


def test_a_truncated_file_is_told_as_such(unpinned: Forge) -> None:
    path, _ = forge.make(unpinned.distdir, unpinned.scratch, "cookie")
    path.write_bytes(path.read_bytes()[:-50])
    assert told(unpinned, "cookie 0.1.0-948b77f") == f"it is truncated: {path.stat().st_size} of 5564 bytes"


def test_another_content_is_told_with_what_differs(made: Forge) -> None:
    """The archive of a moved tag: the same name, one changed file."""
    name, top, usual = forge.LAYOUTS["worker-events"]
    moved = Forge(made.world.another("moved", tools=False), made.distdir.with_name("moved-archives"), made.scratch / "moved")
    forge.make(moved.distdir, moved.scratch, "worker-events", {**usual, "lib/resty/worker/events.lua": "-- moved\n"})
    line = told(moved, "worker-events 2.0.0")
    assert name.startswith(top)
    assert "content" in line or "differ" in line, line


def test_a_renamed_top_folder_changes_nothing(made: Forge) -> None:
    """A forge that renames the project: other bytes, the same tree; the tree is the identity."""
    name, top, _ = forge.LAYOUTS["worker-events"]
    renamed = Forge(made.world.another("renamed", tools=False), made.distdir.with_name("renamed-archives"), made.scratch)
    forge.archive(renamed.distdir, made.scratch / top, name, "another-name-2.0.0")
    answer = renamed.world.run("fetch", "--offline", "--image", "gateway", "--profile", "components", "--distdir", str(renamed.distdir))
    assert "worker-events" not in answer.err.partition("builder: ")[2]
    with Store(str(renamed.world.store_path)) as store:
        assert len(os.listdir(store.files_dir)) == 1


def test_the_same_tree_in_another_compression_is_taken(made: Forge) -> None:
    """A forge's archive that was compressed anew."""
    name, _, _ = forge.LAYOUTS["worker-events"]
    again = Forge(made.world.another("again", tools=False), made.distdir.with_name("again-archives"), made.scratch)
    again.distdir.mkdir()
    data = gzip.compress(gzip.decompress((made.distdir / name).read_bytes()), compresslevel=1, mtime=7)
    (again.distdir / name).write_bytes(data)
    answer = again.world.run("fetch", "--offline", "--image", "gateway", "--profile", "components", "--distdir", str(again.distdir))
    assert "worker-events" not in answer.err.partition("builder: ")[2]
