"""Composing layers: what packages and the image give, and every way to be refused."""

import os
import struct
import subprocess
from pathlib import Path

import pytest
from layers import WHERE, image_recipe, package

from builder.base.errors import RecipeError, RefusedError
from builder.image.oci import accounts, capability, layer
from builder.image.oci.entry import DIR, FILE, LINK, Entry, order, parents
from builder.image.oci.layer import Package
from builder.recipe.image import Directory, Group, Mode, User
from builder.recipe.image_shapes import CAPABILITIES
from builder.tree import nar

NGINX = User(name="nginx", uid=101, gid=102, group="www", home="/var/lib/nginx")
WWW = Group(name="www", gid=102)


def composed(*packages: Package, **parts: object) -> dict[str, Entry]:
    return {each.path: each for each in layer.compose(packages, image_recipe(**parts))}


NGINX_FILES = package("nginx 1.26.3", usr="dir", usr__sbin="dir", usr__sbin__nginx="program", usr__conf="file")


def test_files_are_canonical_before_the_image_speaks() -> None:
    found = layer.compose([NGINX_FILES, package("busybox 1.37.0", bin="dir", bin__sh="-> busybox", bin__busybox="program")])
    assert [(each.path, each.kind, oct(each.mode), each.uid, each.gid, each.origin) for each in found] == [
        ("bin", DIR, "0o755", 0, 0, "busybox 1.37.0"),
        ("bin/busybox", FILE, "0o755", 0, 0, "busybox 1.37.0"),
        ("bin/sh", LINK, "0o777", 0, 0, "busybox 1.37.0"),
        ("usr", DIR, "0o755", 0, 0, "nginx 1.26.3"),
        ("usr/conf", FILE, "0o644", 0, 0, "nginx 1.26.3"),
        ("usr/sbin", DIR, "0o755", 0, 0, "nginx 1.26.3"),
        ("usr/sbin/nginx", FILE, "0o755", 0, 0, "nginx 1.26.3"),
    ]
    assert found[-1].source == "/store/nginx 1.26.3/usr/sbin/nginx"
    assert found[2].target == "busybox"


def test_order_of_packages_does_not_show() -> None:
    one, two = package("a 1", lib="dir", lib__a="file"), package("b 1", lib="dir", lib__b="file")
    strip = [(each.path, each.kind, each.mode, each.source) for each in layer.compose([one, two])]
    assert strip == [(each.path, each.kind, each.mode, each.source) for each in layer.compose([two, one])]


def test_a_folder_comes_right_before_its_content() -> None:
    paths = [Entry(path=path, kind=FILE, mode=0) for path in ("a.b", "a/b", "a-c", "a", "a/b/c", "a0", "ä")]
    assert [each.path for each in sorted(paths, key=order)] == ["a", "a/b", "a/b/c", "a-c", "a.b", "a0", "ä"]


def test_parents_of_a_path() -> None:
    assert parents("usr/local/bin") == ["usr/local", "usr"]
    assert parents("usr") == []


def test_scan_reads_trees_from_disk(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "x").write_bytes(b"12345")
    found = layer.compose(layer.scan([("x 1", str(tmp_path))]))
    assert [(each.path, each.size, each.source) for each in found] == [
        ("bin", 0, ""),
        ("bin/x", 5, f"{tmp_path}/bin/x"),
    ]


def test_all_collisions_are_told_at_once() -> None:
    one = package("one 1", lib="dir", lib__same="file", lib__link="-> x", opt="file", share="dir")
    two = package("two 2", lib="dir", lib__same="file", lib__link="-> x", opt="dir", opt__x="file", share="-> lib")
    with pytest.raises(RefusedError) as error:
        layer.compose([one, two])
    assert str(error.value) == (
        "the layer cannot be composed:\n"
        "  one 1 and two 2 both have lib/same\n"
        "  one 1 and two 2 both have lib/link\n"
        "  one 1 and two 2 both have opt (a file and a directory)\n"
        "  one 1 and two 2 both have share (a directory and a symbolic link)\n"
        "  next: leave each path out of all packages but one (`split` or `exclude` in a recipe), or rename it"
    )


def test_the_image_does_not_replace_a_package_s_file() -> None:
    with pytest.raises(RefusedError) as error:
        composed(NGINX_FILES, files={"usr/conf": "x", "usr/sbin/nginx/deep": "y"}, links={"usr": "opt"})
    assert error.value.message == (
        "the layer cannot be composed:\n"
        "  nginx 1.26.3 and the image itself both have usr (a directory and a symbolic link)\n"
        "  nginx 1.26.3 and the image itself both have usr/conf\n"
        "  nginx 1.26.3 and the image itself both have usr/sbin/nginx (a file and a directory)"
    )


def test_names_that_a_layer_cannot_hold() -> None:
    bad = Package(
        id="bad 1",
        path="/store/bad",
        entries=[
            nar.Entry(path=".wh.etc", kind="file"),
            nar.Entry(path="caf\udce9", kind="file"),
            nar.Entry(path="link", kind="link", target="\udcff"),
        ],
    )
    with pytest.raises(RefusedError) as error:
        layer.compose([bad])
    assert error.value.message == (
        "the layer cannot be composed:\n"
        "  bad 1 has .wh.etc, a name that deletes files in a layer\n"
        "  bad 1 has caf\\xe9, whose name or target is not UTF-8\n"
        "  bad 1 has link, whose name or target is not UTF-8"
    )


def test_what_the_image_makes() -> None:
    found = composed(
        NGINX_FILES,
        users=(NGINX,),
        groups=(WWW,),
        directories=(
            Directory(path="var/cache/nginx", mode=0o700, owner="nginx:www"),
            Directory(path="usr", mode=0o711),
        ),
        links={"var/log/nginx/error.log": "/dev/stderr"},
        files={"etc/motd": "hé\n"},
    )
    made = found["var/cache/nginx"]
    assert (made.kind, made.mode, made.uid, made.gid) == (DIR, 0o700, 101, 102)
    assert found["usr"].mode == 0o711
    assert (found["var/log"].mode, found["var"].uid, found["var/cache"].uid) == (0o755, 0, 0)
    assert found["var/log/nginx/error.log"].target == "/dev/stderr"
    assert (found["etc/motd"].data, found["etc/motd"].size, found["etc/motd"].mode) == (b"h\xc3\xa9\n", 4, 0o644)
    assert found["etc/passwd"].data == b"root:x:0:0:root:/root:/bin/sh\nnginx:x:101:102:nginx:/var/lib/nginx:/sbin/nologin\n"
    assert found["etc/group"].data == b"root:x:0:\nwww:x:102:\n"


def test_an_image_without_users_brings_no_accounts() -> None:
    assert accounts.files(image_recipe()) == {}


def test_accounts_stand_in_order_of_number() -> None:
    users = (User(name="b", uid=20, gid=20, group="b"), User(name="a", uid=10, gid=20, group="b"))
    groups = (Group(name="b", gid=20), Group(name="x", gid=5, members=("b", "a")))
    assert accounts.files(image_recipe(users=users, groups=groups)) == {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\na:x:10:20:a:/:/sbin/nologin\nb:x:20:20:b:/:/sbin/nologin\n",
        "etc/group": "root:x:0:\nx:x:5:a,b\nb:x:20:\n",
    }


def test_the_later_mode_wins_and_a_glob_makes_nothing_executable() -> None:
    found = composed(
        NGINX_FILES,
        users=(NGINX,),
        groups=(WWW,),
        links={"usr/link": "sbin"},
        modes=(
            Mode(path="usr/**", mode=0o750, owner="nginx:www"),
            Mode(path="usr/sbin/*", mode=0o700),
            Mode(path="etc/group", mode=0o555),
        ),
    )
    assert {path: (oct(each.mode), each.uid, each.gid) for path, each in found.items()} == {
        "etc": ("0o755", 0, 0),
        "etc/group": ("0o555", 0, 0),
        "etc/passwd": ("0o644", 0, 0),
        "usr": ("0o755", 0, 0),
        "usr/conf": ("0o640", 101, 102),
        "usr/link": ("0o777", 101, 102),
        "usr/sbin": ("0o750", 101, 102),
        "usr/sbin/nginx": ("0o700", 101, 102),
    }


def test_paths_that_are_not_there_are_told_at_once_with_near_ones() -> None:
    with pytest.raises(RecipeError) as error:
        composed(
            NGINX_FILES,
            links={"usr/ngx": "sbin/nginx"},
            modes=(Mode(path="opt/**", mode=0o700), Mode(path="usr/conv", mode=0o600)),
            capabilities=dict.fromkeys(("bin/nginx", "usr/sbin", "usr/ngx"), ("CAP_KILL",)),
        )
    assert str(error.value).splitlines() == [
        f"{WHERE}: mode[0].path: 'opt/**' matches nothing in the layer (nothing in it has a name like that)",
        f"{WHERE}: mode[1].path: 'usr/conv' is not in the layer (did you mean usr/conf?)",
        f"{WHERE}: capabilities.bin/nginx: 'bin/nginx' is not in the layer (did you mean usr/sbin/nginx?)",
        f"{WHERE}: capabilities.usr/sbin: is a directory, and only a file can have capabilities (name a file in it)",
        f"{WHERE}: capabilities.usr/ngx: is a symbolic link, and only a file can have capabilities"
        " (it points to sbin/nginx: name the file itself)",
    ]


def test_capabilities_become_an_attribute() -> None:
    found = composed(NGINX_FILES, capabilities={"usr/sbin/nginx": ("CAP_NET_BIND_SERVICE",)})
    assert found["usr/sbin/nginx"].xattrs == (("security.capability", bytes.fromhex("0100000200040000000000000000000000000000")),)


def test_capability_bytes() -> None:
    assert capability.encode(["CAP_CHOWN"]).hex() == "0100000201000000000000000000000000000000"
    assert capability.encode(["CAP_CHECKPOINT_RESTORE"]).hex() == "0100000200000000000000000001000000000000"
    assert capability.encode(["CAP_CHOWN", "CAP_BPF", "CAP_CHOWN"]).hex() == "0100000201000000000000008000000000000000"
    permitted_low, _, permitted_high, _ = struct.unpack("<4I", capability.encode(CAPABILITIES)[4:])
    assert permitted_low | permitted_high << 32 == (1 << 41) - 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set file capabilities")
@pytest.mark.parametrize("names", [("CAP_NET_BIND_SERVICE",), ("CAP_NET_RAW", "CAP_CHECKPOINT_RESTORE")])
def test_capability_bytes_are_those_of_setcap(tmp_path: Path, names: tuple[str, ...]) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"")
    try:
        subprocess.run(["setcap", f"{','.join(names).lower()}+ep", str(program)], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this machine or file system has no file capabilities")
    assert os.getxattr(program, capability.XATTR) == capability.encode(names)
