"""What the contract of an image says to do is done to the recipes and files of a project, and the build ends well.

The image holds one package, `part`, whose files are a directory of the project; the base has musl's loader.
"""

import ast
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import small
from elf_maker import make
from msgspec import Struct, field
from small import Small

import builder.image.contract
from builder.image.contract.rules import RULES
from builder.recipe.image_shapes import CONTRACT_RULES

STORE = ("--store", "a store")
MUSL = "/lib/ld-musl-x86_64.so.1"
IMAGE, PART = "recipes/images/openresty.toml", "recipes/part.toml"
Step = Callable[["Small"], object]


def program(**parts: object) -> bytes:
    return make(interpreter=MUSL, **parts)  # type: ignore[arg-type]


def file(path: str, data: bytes) -> Step:
    """A file of the package is this."""
    def put(project: Small) -> None:
        target = project.root / "files/part" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return put


def package(name: str, path: str, data: bytes, *, base: bool = False) -> Step:
    """Add a package of one file to the image, or to the base."""
    def add(project: Small) -> None:
        file(f"../{name}/{path}", data)(project)
        project.write(f"recipes/{name}.toml", small.FILES["recipes/base.toml"].replace("base", name))
        place, first = ("recipes/profiles/small.toml", "base") if base else (IMAGE, "part")
        project.replace(place, f'["{first}"', f'["{first}", "{name}"')
    return add


def exclude(glob: str) -> Step:
    return lambda project: project.replace(PART, 'style = "prebuilt"\n', f'style = "prebuilt"\nexclude = ["{glob}"]\n')


def image(text: str) -> Step:
    return lambda project: project.write(IMAGE, (project.root / IMAGE).read_text() + text)


def link_in_base(project: Small) -> None:
    project.write("files/base/usr/bin/sh", "")
    (project.root / "files/base/bin").symlink_to("usr/bin")


def without(text: str) -> Step:
    return lambda project: project.replace(IMAGE, text, "")


def replaced(old: str, new: str) -> Step:
    return lambda project: project.replace(IMAGE, old, new)


def in_store(change: Callable[[bytes], bytes]) -> Step:
    """A file of the package is changed in the store, by a disk."""
    def damage(project: Small) -> None:
        assert project.run("build", *STORE).code == 0
        (path,) = (project.root / STORE[1]).glob("trees/*/usr/bin/x")
        path.chmod(0o755)
        path.write_bytes(change(path.read_bytes()))
        image('[files]\n"etc/new" = "x"\n')(project)  # it is composed anew
    return damage


class Row(Struct, frozen=True, kw_only=True):
    """rule, said: what is told of the image that is made of these files, and of what `make` does; done: what is done then."""

    rule: str
    said: str
    done: Step
    files: Mapping[str, bytes] = field(default_factory=dict)
    make: Step = lambda project: None


USES = b'local ffi = require "ffi" ffi.cdef[[void crunch(void*);]] ffi.C.crunch(nil)'
LUA = {"usr/bin/x": program(exports=["luaL_newstate"]), "usr/lib/m.lua": USES}
CAPABLE = '[capabilities]\n"usr/bin/x" = ["CAP_NET_BIND_SERVICE"]\n'
ROWS = [
    Row(rule="interpreter", said="add the package that has it (musl) to the base",
        files={"usr/bin/x": make(interpreter="/opt/ld-musl.so")}, done=package("musl", "opt/ld-musl.so", make(), base=True)),
    Row(rule="interpreter", said="build its package for the image's platform",
        files={"usr/bin/x": make(machine="aarch64")},
        done=file("usr/bin/x", program())),
    Row(rule="damaged", said="correct it in its package, or leave it out",
        files={"usr/bin/x": program(needed=["libx.so"])[:120]},
        done=exclude("usr/bin/x")),
    Row(rule="damaged", said="where the store is damaged: `builder store verify",
        files={"usr/bin/x": program(needed=["libc.so"])},
        make=in_store(lambda data: data[:120]), done=lambda project: None),
    Row(rule="needed", said="add the package that has it to the image",
        files={"usr/bin/x": program(needed=["liba.so"])},
        done=package("a", "usr/lib/liba.so", make())),
    Row(rule="needed", said="it is at opt/lib/liba.so: link with that directory as run path",
        files={"usr/bin/x": program(needed=["liba.so"]), "opt/lib/liba.so": make()},
        done=file("usr/bin/x", program(needed=["liba.so"], runpath="/opt/lib"))),
    Row(rule="run-path", said="link without it",
        files={"usr/bin/x": program(runpath="/opt/lib")}, done=file("usr/bin/x", program())),
    Row(rule="run-path", said="or add what belongs there", files={"usr/bin/x": program(runpath="/opt/lib")},
        done=package("a", "opt/lib/liba.so", make())),
    Row(rule="run-path", said="use an absolute path", files={"usr/bin/x": program(runpath="lib"), "usr/lib/a": b""},
        done=file("usr/bin/x", program(runpath="/usr/lib"))),
    Row(rule="run-path", said="use $ORIGIN or an absolute path", files={"usr/bin/x": program(runpath="/usr/$LIB")},
        done=file("usr/bin/x", program(runpath="$ORIGIN"))),
    Row(rule="run-path", said="link it with an absolute run path",
        files={"usr/bin/x": program(runpath="$ORIGIN/../lib"), "usr/lib/a": b""},
        make=image(CAPABLE), done=file("usr/bin/x", program(runpath="/usr/lib"))),
    Row(rule="glibc", said="leave it out of the image",
        files={"usr/lib/libm.so.6": b""}, done=exclude("usr/lib/libm.so.6")),
    Row(rule="glibc", said="build its package with the musl compiler", files={"usr/bin/x": make(needed=["libc.so.6"])},
        done=file("usr/bin/x", program(needed=["libc.so"]))),
    Row(rule="writable", said="take the right away, or set 1777",
        make=image('[[directory]]\npath = "var/x"\nmode = "0777"\n'),
        done=replaced('"0777"', '"1777"')),
    Row(rule="writable", said="take the right away, or set 1777",
        make=image('[[directory]]\npath = "var/x"\nmode = "0777"\n'),
        done=replaced('"0777"', '"0775"')),
    Row(rule="writable", said="take the right away in the image's `mode`", files={"etc/x": b""},
        make=image('[[mode]]\npath = "etc/x"\nmode = "0666"\n'), done=replaced('"0666"', '"0664"')),
    Row(rule="build-path", said="strip it, or map the prefix", files={"usr/bin/x": program(text=b"/build/src/x.c")},
        done=file("usr/bin/x", program(text=b"./src/x.c"))),
    Row(rule="shadow", said="install below the place that the base has", files={"bin/tool": program()},
        make=link_in_base,
        done=lambda project: (project.root / "files/part/bin").rename(project.root / "files/part/usr/bin")),
    Row(rule="lua-ffi", said="add the nginx module or library that has it", files=LUA,
        done=file("usr/bin/x", program(exports=["luaL_newstate", "crunch"]))),
    Row(rule="lua-ffi", said="or leave out the Lua that uses it", files=LUA, done=exclude("usr/lib/*.lua")),
    Row(rule="waiver", said="remove it",
        make=image('[[waiver]]\nrule = "glibc"\npaths = ["usr/x"]\nwhy = "there is a reason for it"\n'),
        done=without('[[waiver]]\nrule = "glibc"\npaths = ["usr/x"]\nwhy = "there is a reason for it"\n')),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    made.write(PART, small.FILES["recipes/base.toml"].replace("base", "part"))
    made.write(IMAGE, 'name = "openresty"\npackages = ["part"]\nprofiles = ["small"]\n')
    file("usr/share/note", b"x")(made)
    file(f"../base{MUSL}", make(exports=["free"]))(made)
    monkeypatch.chdir(made.root)
    return made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}: {row.said}")
def test_a_breach(project: Small, row: Row) -> None:
    for path, data in row.files.items():
        file(path, data)(project)
    row.make(project)
    answer = project.run("build", *STORE)
    assert answer.code == 1, answer.err
    found = [line for line in answer.err.splitlines() if line.startswith(f"  [{row.rule}] ")]
    assert len(found) == 1, answer.err
    assert row.said in found[0].partition(" (")[2]
    for command in re.findall(r"`builder ([^`]+)`", found[0]):
        project.run(*shlex.split(command))
    row.done(project)
    answer = project.run("build", *STORE)
    assert answer.code == 0, answer.err


def test_every_rule_has_a_row() -> None:
    assert {each.rule for each in ROWS} == {*CONTRACT_RULES, "waiver"}
    assert len(RULES) == len(CONTRACT_RULES) - 1


def test_every_hint_of_the_contract_has_a_row() -> None:
    """A hint is a text that stands in the source as `hint=`, as `hint = ` or `_NAME = `, or second in what `_problems` yields."""
    folder = Path(builder.image.contract.__file__).parent
    found = set()
    for path in (*folder.glob("rules/*.py"), folder / "image.py", folder / "__init__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                values = [each.value for each in node.keywords if each.arg == "hint"]
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("hint", "_HINT", "_DAMAGED"):
                values = [node.value]
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                values = [node.value.elts[1]]
            found |= {text for value in values for text in texts(value)}
    assert len(found) > 15
    assert [text for text in sorted(found) if not any(text in row.said or row.said in text for row in ROWS)] == []


def texts(value: ast.expr) -> list[str]:
    """Longest plain part of each text that an expression can be."""
    if isinstance(value, ast.IfExp):
        return [*texts(value.body), *texts(value.orelse)]
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    plain = [each.value for each in parts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return [max(plain, key=len)] if plain else []
