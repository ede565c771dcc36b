"""The contract's rules, each with an image that breaks it and one that just does not."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from elf_maker import make
from layers import LOADER, MUSL, entries, image

from builder.base.errors import RefusedError
from builder.image import contract
from builder.image.contract import Finding, Image
from builder.image.contract.rules import RULES, build_path, glibc, interpreter, needed, run_path, shadow, writable
from builder.image.oci import capability
from builder.image.oci.entry import DIR, FILE, LINK, Entry
from builder.recipe.image import Waiver
from builder.recipe.image_shapes import CONTRACT_RULES


def of(files: dict[str, bytes], links: dict[str, str] | None = None) -> Image:
    return image(entries(LOADER | files, links))


def program(**parts: object) -> bytes:
    return make(interpreter=MUSL, **parts)  # type: ignore[arg-type]


def test_a_sound_image_has_no_findings() -> None:
    files = {
        "usr/sbin/nginx": program(needed=["libz.so.1", "libc.so", "libm.so.6.musl"], runpath="/opt/lib", exports=["luaL_newstate"]),
        "opt/lib/libz.so.1.3": make(needed=["libc.so"], exports=["zlibVersion"]),
        "usr/lib/m.lua": b'local ffi = require "ffi" ffi.cdef[[void free(void*);]] ffi.C.free(nil)',
        "etc/note": b"see http://build/x and usr/build/y\n",
    }
    assert contract.check(of(files, {"opt/lib/libz.so.1": "libz.so.1.3", "bin": "usr/bin"})) == []


# --- interpreter


def test_interpreter_is_not_there() -> None:
    assert list(interpreter.check(of({"usr/bin/x": make(interpreter="/lib/ld-other.so.1")}))) == [
        Finding(
            rule="interpreter",
            path="usr/bin/x",
            message="its loader /lib/ld-other.so.1 is not in the image",
            hint="add the package that has it (musl) to the base",
        )
    ]


def test_interpreter_behind_links_and_static_programs() -> None:
    found = of({"usr/lib/ld.so": make(), "usr/bin/x": make(interpreter="/lib2/ld.so"), "bin/static": make()}, {"lib2": "/usr/lib"})
    assert list(interpreter.check(found)) == []


def test_a_program_of_another_machine() -> None:
    (finding,) = interpreter.check(of({"usr/bin/x": make(interpreter=MUSL, machine="aarch64")}))
    assert finding.message == "it is made for aarch64, the image is for x86_64"


def test_a_damaged_program() -> None:
    (finding,) = interpreter.check(of({"usr/bin/x": program(needed=["libx.so"])[:120]}))
    assert (finding.rule, finding.path) == ("damaged", "usr/bin/x")
    assert finding.message.startswith("the file looks like a program but cannot be read: ")


# --- needed


def missing(found: Image) -> list[tuple[str, str]]:
    return [(each.path, each.message.split()[1].rstrip(",")) for each in needed.check(found)]


def test_a_library_is_nowhere_or_elsewhere() -> None:
    found = of({"usr/bin/x": program(needed=["liba.so", "libb.so"]), "opt/lib/libb.so": make()})
    assert list(needed.check(found)) == [
        Finding(
            rule="needed",
            path="usr/bin/x",
            message="needs liba.so, which musl's loader does not find in the image",
            hint="add the package that has it to the image",
        ),
        Finding(
            rule="needed",
            path="usr/bin/x",
            message="needs libb.so, which musl's loader does not find in the image",
            hint="it is at opt/lib/libb.so: link with that directory as run path",
        ),
    ]


@pytest.mark.parametrize("folder", ["lib", "usr/local/lib", "usr/lib"])
def test_default_folders(folder: str) -> None:
    assert missing(of({"usr/bin/x": program(needed=["liba.so"]), f"{folder}/liba.so": make()})) == []


def test_the_path_file_replaces_the_default_folders() -> None:
    files = {"usr/bin/x": program(needed=["liba.so", "libb.so"]), "lib/liba.so": make(), "opt/b/libb.so": make()}
    assert missing(of(files | {"etc/ld-musl-x86_64.path": b"/opt/a:/opt/b\n"})) == [("usr/bin/x", "liba.so")]


def test_run_paths_with_origin() -> None:
    files = {"opt/x/bin/x": program(needed=["liba.so"], runpath="${ORIGIN}/../lib"), "opt/x/lib/liba.so": make()}
    assert missing(of(files)) == []
    assert missing(of(files, {"usr/bin/x": "../../opt/x/bin/x"})) == []


def test_the_origin_of_a_library_is_where_it_was_found() -> None:
    """musl does not follow links here, unlike glibc."""
    files = {
        "usr/bin/x": program(needed=["liba.so"]),
        "opt/a/liba.so.1": make(needed=["libb.so"], runpath="$ORIGIN"),
        "opt/a/libb.so": make(),
    }
    assert missing(of(files, {"usr/lib/liba.so": "/opt/a/liba.so.1"})) == [("opt/a/liba.so.1", "libb.so")]


def test_run_paths_are_inherited_from_whoever_needs_a_library() -> None:
    """musl, unlike glibc, searches the program's run path for what its libraries need."""
    files = {
        "usr/bin/x": program(needed=["liba.so"], runpath="/opt/lib"),
        "opt/lib/liba.so": make(needed=["libb.so"]),
        "opt/lib/libb.so": make(needed=["libc.so"]),
    }
    assert missing(of(files)) == []


def test_a_library_of_another_machine_is_passed_over() -> None:
    files = {"usr/bin/x": program(needed=["liba.so"]), "lib/liba.so": make(machine="aarch64")}
    assert missing(of(files)) == [("usr/bin/x", "liba.so")]
    assert missing(of(files | {"usr/lib/liba.so": make()})) == []


def test_libraries_that_need_each_other_end() -> None:
    files = {
        "usr/bin/x": program(needed=["liba.so"]),
        "lib/liba.so": make(needed=["libb.so"]),
        "lib/libb.so": make(needed=["liba.so", "libgone.so"]),
    }
    assert missing(of(files)) == [("lib/libb.so", "libgone.so")]


def test_a_needed_library_with_a_path() -> None:
    files = {"usr/bin/x": program(needed=["/opt/liba.so", "/opt/libb.so"]), "opt/liba.so": make()}
    assert missing(of(files)) == [("usr/bin/x", "/opt/libb.so")]


def test_modules_that_a_program_loads_later() -> None:
    """They may count on what the program has loaded, and on its run paths."""
    files = {
        "usr/bin/x": program(needed=["liblua.so"], runpath="/opt/lib"),
        "opt/lib/liblua.so": make(),
        "opt/lib/libextra.so": make(),
        "usr/lib/lua/m.so": make(needed=["liblua.so", "libextra.so", "libgone.so"]),
    }
    assert missing(of(files)) == [("usr/lib/lua/m.so", "libgone.so")]


def test_several_programs_that_lack_the_same() -> None:
    files = {f"bin/{name}": program(needed=["liba.so"]) for name in "xy"} | {"lib/liba.so": make(needed=["libb.so"])}
    assert missing(of(files)) == [("lib/liba.so", "libb.so")]


# --- run-path


def test_run_paths_that_are_no_place() -> None:
    files = {"usr/bin/x": program(runpath="/gone:lib::/usr/bin/x:/usr"), "usr/bin/y": program(runpath="/usr:$LIB")}
    assert [str(each) for each in run_path.check(of(files))] == [
        "[run-path] usr/bin/x: its run path /gone is not a directory of the image (link without it, or add what belongs there)",
        "[run-path] usr/bin/x: its run path 'lib' is relative to the working directory in which it is started (use an absolute path)",
        "[run-path] usr/bin/x: its run path '' is relative to the working directory in which it is started (use an absolute path)",
        "[run-path] usr/bin/x: its run path /usr/bin/x is not a directory of the image (link without it, or add what belongs there)",
        "[run-path] usr/bin/y: its run path /usr:$LIB has a variable that musl does not know (use $ORIGIN or an absolute path)",
    ]


@pytest.mark.parametrize(
    ("mode", "xattrs", "told"),
    [(0o755, (), False), (0o4755, (), True), (0o2755, (), True), (0o755, ((capability.XATTR, b"x"),), True)],
)
def test_origin_in_programs_that_gain_rights(mode: int, xattrs: tuple[tuple[str, bytes], ...], told: bool) -> None:
    data = program(runpath="$ORIGIN")
    nginx = Entry(path="nginx", kind=FILE, mode=mode, size=len(data), data=data, xattrs=xattrs)
    found = list(run_path.check(image(entries(LOADER), (nginx,))))
    assert [each.message for each in found] == ["it has capabilities, so musl ignores its run paths with $ORIGIN"] * told


# --- glibc


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make(interpreter="/lib64/ld-linux-x86-64.so.2"), "is started by glibc's loader /lib64/ld-linux-x86-64.so.2"),
        (make(needed=["libz.so.1", "libm.so.6", "libc.so.6"]), "needs glibc's libm.so.6 and libc.so.6"),
        (make(versions=["GLIBC_2.34", "GCC_3.0"]), "needs symbols of glibc (GLIBC_2.34)"),
        (make(glibc_tag=True), "has glibc in it (linked statically)"),
    ],
)
def test_ties_to_glibc(data: bytes, message: str) -> None:
    hint = "build its package with the musl compiler"
    assert list(glibc.check(of({"usr/bin/x": data}))) == [Finding(rule="glibc", path="usr/bin/x", message=message, hint=hint)]


@pytest.mark.parametrize("name", ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libnss_dns.so.2", "libpthread.so.0"])
def test_files_of_glibc(name: str) -> None:
    assert [each.message for each in glibc.check(of({f"usr/lib/{name}": b""}))] == ["is a file of glibc"]


@pytest.mark.parametrize(
    "name", ["libc.so", "libc.musl-x86_64.so.1", "libcrypt.so.1", "libm.so", "libutil-linux.so.1", "ld-musl-x86_64.so.1"]
)
def test_files_that_are_not_glibc_s(name: str) -> None:
    found = of({f"usr/lib/{name}": make(), "bin/x": program(needed=[name], versions=["GLIBCXX_3.4"])})
    assert list(glibc.check(found)) == []


# --- writable


@pytest.mark.parametrize(
    ("kind", "mode", "told"),
    [
        (FILE, 0o644, False), (FILE, 0o664, False), (FILE, 0o646, True), (FILE, 0o1666, True),
        (DIR, 0o775, False), (DIR, 0o777, True), (DIR, 0o1777, False), (LINK, 0o777, False),
    ],
)  # fmt: skip
def test_writable_by_everybody(kind: str, mode: int, told: bool) -> None:
    entry = Entry(path="tmp", kind=kind, mode=mode, data=b"" if kind == FILE else None, target="x" if kind == LINK else "")
    hint = "take the right away, or set 1777" if kind == DIR else "take the right away in the image's `mode`"
    expected = [Finding(rule="writable", path="tmp", message=f"everybody can write to it (mode {mode:04o})", hint=hint)]
    assert list(writable.check(image((entry,)))) == expected * told


# --- build-path


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\1/build/src/zlib/inflate.c\0", "/build/src/zlib/inflate.c"),
        (b"/output/usr/lib", "/output/usr/lib"),
        (b"configure arguments: --with-cc-opt='-I/build/include -O2'\n", "ments: --with-cc-opt='-I/build/include -O2'"),
        (b"-L/build/x", "-L/build/x"),
        (b'{"x":"/sources/main"}', '{"x":"/sources/main"}'),
        (b"file:///build/x", "file:///build/x"),
    ],
)
def test_places_of_the_build(data: bytes, text: str) -> None:
    (found,) = build_path.check(of({"usr/x": data}))
    assert (found.path, found.message.partition(": ")[2]) == ("usr/x", f"'{text}'")


@pytest.mark.parametrize(
    "data", [b"/usr/build/x", b"http://build/x", b"_/build/x", b"/building/x", b"/build", b"a-/build/x", b"foo-I/build/"]
)
def test_what_is_no_place_of_the_build(data: bytes) -> None:
    assert list(build_path.check(of({"usr/x": data}))) == []


def test_places_are_counted_once_a_file() -> None:
    (found,) = build_path.check(of({"usr/x": b"\n".join([b"/build/a.c"] * 3) + b" x/build/"}))
    assert found.message == "names /build/ of the build: '/build/a.c', 3 places"


def test_other_places_can_be_named() -> None:
    found = contract.survey([entries({"x": b"=/home/me/store/trees/1"})], machine="x86_64", build_paths=["/home/me/store/"])
    assert [each.message for each in build_path.check(found)] == ["names /home/me/store/ of the build: '=/home/me/store/trees/1'"]


# --- shadow


def test_a_layer_that_hides_the_base() -> None:
    base = entries(
        {"usr/bin/busybox": b"", "opt/x/file": b"", "etc/conf": b""}, {"bin": "usr/bin", "lib": "usr/lib", "etc/mtab": "/proc/mounts"}
    )
    upper = entries({"bin/tool": b"", "opt/x": b"", "etc/mtab": b"", "etc/conf": b""}, {"lib": "usr/lib"})
    found = image(base, upper)
    assert [str(each) for each in shadow.check(found)] == [
        "[shadow] bin: is a symbolic link to usr/bin in it, and a directory in it (install below the place that the base has)",
        "[shadow] opt/x: is a directory in it, and a file in it (install below the place that the base has)",
    ]
    assert "opt/x/file" not in found.rootfs.entries


# --- rootfs


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/usr/lib/x", "usr/lib/x"), ("usr//lib/./x", "usr/lib/x"), ("lib/x", "usr/lib/x"), ("/l2/x", "usr/lib/x"),
        ("usr/lib/../lib/x", "usr/lib/x"), ("../../usr/lib/x", "usr/lib/x"), ("up/lib/x", "usr/lib/x"), ("loop/x", None),
        ("usr/lib/x/y", None), ("gone", None), ("dangling", None), ("/", ""), ("usr/lib", "usr/lib"), ("out", "usr"),
    ],
)  # fmt: skip
def test_paths_are_resolved_inside(path: str, found: str | None) -> None:
    links = {"lib": "usr/lib", "l2": "/lib", "usr/lib/up": "..", "up": "usr/lib/up", "loop": "loop2", "loop2": "loop"}
    rootfs = image(entries({"usr/lib/x": b""}, links | {"dangling": "nowhere", "out": "../../../usr"})).rootfs
    assert rootfs.resolve(path) == found


# --- all together


BROKEN = {"usr/bin/x": program(needed=["libgone.so"]), "usr/share/note": b"made in /build/x"}


def test_the_error_lists_everything() -> None:
    with pytest.raises(RefusedError) as error:
        contract.require(of(BROKEN), name="openresty")
    assert str(error.value) == (
        "openresty: the image breaks its contract (2 findings):\n"
        "  [needed] usr/bin/x: needs libgone.so, which musl's loader does not find in the image"
        " (add the package that has it to the image)\n"
        "  [build-path] usr/share/note: names /build/ of the build: 'made in /build/x'"
        " (strip it, or map the prefix (-ffile-prefix-map, a configure option))\n"
        "  next: change the packages or the image's recipe, then build again; the old image is left as it is"
    )


def test_a_recipe_can_waive_every_rule_and_nothing_else() -> None:
    rules = {import_module(each.__module__).RULE for each in RULES}
    assert {*rules, "damaged"} == set(CONTRACT_RULES)


def test_waivers() -> None:
    used = Waiver(rule="build-path", glob="usr/share/**", why="documentation")
    idle = Waiver(rule="glibc", glob="opt/**", why="once was")
    found = contract.check(of(BROKEN), waivers=[used, idle])
    assert [(each.rule, each.path) for each in found] == [("needed", "usr/bin/x"), ("waiver", "opt/**")]
    assert str(found[1]) == "[waiver] opt/**: nothing breaks 'glibc' here (remove it)"
    contract.require(of({"usr/share/note": BROKEN["usr/share/note"]}), name="x", waivers=[used])


def test_files_are_read_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"/build/x")
    entry = Entry(path="x", kind=FILE, mode=0o644, size=8, source=str(tmp_path / "x"))
    assert [each.path for each in contract.check(image((entry,)))] == ["x"]


def test_pyelftools_is_loaded_only_for_programs() -> None:
    code = "import sys, builder.image.contract as c; c.survey([], machine='x'); assert not any('elftools' in n for n in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
