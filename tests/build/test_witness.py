"""Witnesses of patches, in made-up ELF files of all four kinds, in static libraries, and in what is damaged."""

import glob
import os
import struct
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.build import witness
from builder.build.witness import missing, symbols_among
from builder.recipe.source import Patch


def elf(names: list[str], *, order: str = "<", wide: bool = True, kind: int = 2, shared: bool = False) -> bytes:
    """A file with one symbol table. shared: the first name is stored once, as the tail of a longer string."""
    strings = b"\0" + (b"longer_" if shared else b"")
    offsets = []
    for name in names:
        offsets.append(len(strings))
        strings += name.encode() + b"\0"
    header = 64 if wide else 52
    symbol = order + ("I20x" if wide else "I12x")
    table = b"".join(struct.pack(symbol, offset) for offset in [0, *offsets])
    body = strings + table
    section = order + ("4xI16xQQI20x" if wide else "4xI8xIII12x")
    sections = [(0, 0, 0, 0), (3, header, len(strings), 0), (kind, header + len(strings), len(table), 1)]
    start = header + len(body)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if wide:
        rest = struct.pack(order + "24xQ10xHH2x", start, 64, len(sections))
    else:
        rest = struct.pack(order + "16xI10xHH2x", start, 40, len(sections))
    return ident + rest + body + b"".join(struct.pack(section, *each) for each in sections)


def patch(symbol: str | None = None, string: str | None = None, none: str | None = None, path: str = "p") -> Patch:
    return Patch(source="debian", path=path, symbol=symbol, string=string, none=none)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [2, 11])
def test_symbols_of_all_kinds_of_elf(wide: bool, order: str, kind: int) -> None:
    data = elf(["first", "SSL_ctx"], wide=wide, order=order, kind=kind)
    assert list(symbols_among(["SSL_ctx", "SSL", "ctx", "first", "irst"], data)) == ["SSL_ctx", "first"]


def test_a_name_that_is_the_tail_of_another_counts_only_if_a_symbol_begins_there() -> None:
    assert list(symbols_among(["ctx", "longer_ctx"], elf(["ctx"], shared=True))) == ["ctx"]


def test_a_name_in_another_section_is_no_symbol() -> None:
    assert list(symbols_among(["name"], elf(["name"], kind=8))) == []  # SHT_NOBITS, as in a split-off debug file


def test_members_of_static_libraries() -> None:
    assert list(symbols_among(["fix_cve", "fix"], b"!<arch>\n" + b"x" * 60 + elf(["fix_cve"]))) == ["fix_cve"]


def test_a_text_file_has_no_symbols() -> None:
    assert list(symbols_among(["name"], b"\0name\0")) == []


def test_symbols_of_a_real_file() -> None:
    modules = sorted(glob.glob(os.path.join(sysconfig.get_config_var("DESTSHARED"), "*.so")))
    if not modules:
        pytest.skip("this Python has all its modules built in")
    name = os.path.basename(modules[0]).partition(".")[0]
    data = Path(modules[0]).read_bytes()
    assert list(symbols_among([f"PyInit_{name}", "No_such_symbol"], data)) == [f"PyInit_{name}"]


@given(st.binary(max_size=200), st.integers(0, 250), st.booleans())
def test_damaged_files_have_no_symbols_and_raise_nothing(junk: bytes, cut: int, whole: bool) -> None:
    data = b"\x7fELF" + junk if whole else elf(["name"])[:cut] + junk
    assert set(symbols_among(["name"], data)) <= {"name"}


def test_missing_looks_into_all_trees_and_keeps_the_order(tmp_path: Path) -> None:
    out, debug = tmp_path / "out", tmp_path / "debug"
    (out / "usr" / "sbin").mkdir(parents=True)
    debug.mkdir()
    (out / "usr/sbin/nginx").write_bytes(b"\x7fELF...client sent too many header lines...")
    (out / "empty").write_bytes(b"")
    (out / "dangling").symlink_to("nowhere")
    (debug / "nginx.debug").write_bytes(elf(["ngx_fixed"]))
    (tmp_path / "elsewhere").write_bytes(b"only outside")
    (out / "link").symlink_to("../elsewhere")
    wanted = [
        patch(string="only outside", path="a"),
        patch(string="too many header lines", path="b"),
        patch(symbol="ngx_fixed", path="c"),
        patch(symbol="ngx_absent", path="d"),
        patch(none="it only moves a call", path="e"),
    ]
    assert [each.path for each in missing(wanted, [str(out), str(debug)])] == ["a", "d"]
    assert [each.path for each in missing(wanted, [str(out)])] == ["a", "c", "d"]


def test_a_tree_may_be_one_file(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"the fix")
    assert missing([patch(string="the fix")], [str(tmp_path / "tool")]) == []


def test_nothing_is_read_when_no_patch_has_a_witness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(witness, "_bytes_of", lambda _: pytest.fail("a file was read"))
    assert missing([patch(none="why")], [str(tmp_path)]) == []


def test_a_missing_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        missing([patch(string="x")], [str(tmp_path / "gone")])
