"""Build styles: the exact dash source that options turn into, and that it means what the options say."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.base import shape
from builder.base.shape import Problems, Table
from builder.recipe.styles import STYLES
from builder.recipe.styles.shell import STRIP, words
from builder.recipe.styles.style import Step

NO_STRIP = {"strip": False}


def steps(style: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems: Problems = []
    shape.read(Table(STYLES[style].options), dict(options), "x", problems)
    assert problems == []
    return [(each.name, each.run) for each in STYLES[style].steps(options)]


def run(script: str, folder: Path) -> str:
    """What a script prints, run by the system's shell in `folder` with $OUT beside it."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "OUT": str(out)}
    return subprocess.run(["sh", "-euc", script], cwd=folder, env=env, check=True, capture_output=True, text=True).stdout


def test_make_builds_and_installs() -> None:
    assert steps("make", NO_STRIP) == [("build", "make"), ("install", 'make install DESTDIR="$OUT"')]


def test_make_strips_unless_told_not_to() -> None:
    assert steps("make", {})[-1] == (STRIP.name, STRIP.run)


def test_make_puts_arguments_environment_and_extra_steps_in_their_places() -> None:
    options = {
        **NO_STRIP, "env": {"CC": "zig cc"}, "before": "touch a", "after": "rm a", "make": ["amalg", "X=a b"], "install": ["install_sw"],
    }
    assert steps("make", options) == [
        ("before", "export CC='zig cc'\ntouch a"),
        ("build", "export CC='zig cc'\nmake amalg 'X=a b'"),
        ("install", "export CC='zig cc'\nmake install_sw DESTDIR=\"$OUT\""),
        ("after", "export CC='zig cc'\nrm a"),
    ]


def test_configure_make_configures_first() -> None:
    assert steps("configure-make", {**NO_STRIP, "configure": ["--prefix=/usr", "--with=a b"]}) == [
        ("configure", "./configure --prefix=/usr '--with=a b'"),
        ("build", "make"),
        ("install", 'make install DESTDIR="$OUT"'),
    ]
    assert steps("configure-make", {"configure-command": ["./Configure", "linux"]})[0] == ("configure", "./Configure linux")


def test_nginx_copies_its_modules_beside_the_source_in_their_order() -> None:
    options = {**NO_STRIP, "configure": ["--with-debug"], "modules": ["ndk-0.3=ngx-devel-kit", "lua=lua-nginx-module"]}
    assert steps("nginx", options)[:2] == [
        (
            "modules",
            "cp -R --no-preserve=mode /usr/src/ngx-devel-kit ../ndk-0.3\ncp -R --no-preserve=mode /usr/src/lua-nginx-module ../lua",
        ),
        ("configure", "./configure --with-debug --add-module=../ndk-0.3 --add-module=../lua"),
    ]
    assert [name for name, _ in steps("nginx", NO_STRIP)] == ["configure", "build", "install"]


def test_script_runs_its_steps_as_they_are() -> None:
    options = {"step": [{"name": "one", "run": "true\n"}, {"name": "two", "run": "false"}]}
    assert steps("script", options) == [("one", "true\n"), ("two", "false")]
    assert steps("script", {**options, "strip": True})[2:] == [(STRIP.name, STRIP.run)]


def test_copy_without_files_has_no_step() -> None:
    assert steps("copy", {}) == []


def test_copy_puts_files_globs_and_folders_where_they_belong(tmp_path: Path) -> None:
    for path in ("lib/resty/a b.lua", "lib/resty/c.lua", "lib/x.so", "src/deep/d.c", "LICENSE"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    [(_, script)] = steps("copy", {
        "files": {"lib/resty/": "site/resty", "LICENSE": "share/doc/licence", "lib/*.so": "usr/lib/", "src": "usr/src/pkg"},
        "links": {"usr/lib/y.so": "x.so"},
    })
    run(script, tmp_path)
    out = tmp_path / "out"
    found = sorted(str(each.relative_to(out)) for each in out.rglob("*") if each.is_symlink() or each.is_file())
    assert found == [
        "share/doc/licence", "site/resty/a b.lua", "site/resty/c.lua", "usr/lib/x.so", "usr/lib/y.so", "usr/src/pkg/deep/d.c",
    ]
    assert os.readlink(out / "usr/lib/y.so") == "x.so"


def test_copy_of_what_is_not_there_fails(tmp_path: Path) -> None:
    [(_, script)] = steps("copy", {"files": {"no/*.lua": "lib/"}})
    with pytest.raises(subprocess.CalledProcessError):
        run(script, tmp_path)


@pytest.mark.parametrize("style", ["prebuilt", "union"])
def test_builtin_styles_have_no_steps(style: str) -> None:
    assert STYLES[style].builtin
    assert steps(style, {"files": {"etc/passwd": "root:x:0:0\n"}}) == []


@given(st.lists(st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=8), max_size=5))
def test_words_come_out_of_a_shell_as_they_went_in(values: list[str]) -> None:
    script = f'set -- {words(values)}\nfor each in "$@"; do printf "%s\\0" "$each"; done'
    out = subprocess.run(["sh", "-c", script], check=True, capture_output=True).stdout
    assert out.decode() == "".join(value + "\0" for value in values)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_style_says_what_its_options_are_for(style: str) -> None:
    assert all(each.doc for each in STYLES[style].options.values())
    assert "style" not in STYLES[style].options, "this key of [build] names the style"


def test_a_step_is_a_name_and_its_source() -> None:
    assert Step("a", "b") == Step(name="a", run="b")
