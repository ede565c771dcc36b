"""Differences of two trees, for people."""

import struct
from pathlib import Path

import pytest

from builder.tree import difference


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    return one, two


def lines(trees: tuple[Path, Path]) -> list[str]:
    return difference.of_trees(str(trees[0]), str(trees[1]))


def both(trees: tuple[Path, Path], path: str, first: bytes, second: bytes) -> None:
    for tree, data in zip(trees, (first, second), strict=True):
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def elf(data: bytes) -> bytes:
    """A 64-bit little-endian ELF file with one section ".data" that holds `data` (ELF-64 object file format, 1998)."""
    names = b"\0.data\0.names\0"
    start = 64
    table = start + len(data) + len(names)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 3, 0, start, len(data), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 7, 3, 0, 0, start + len(data), len(names), 0, 0, 1, 0)
    return header + data + names + sections


def test_equal_trees_have_none(trees: tuple[Path, Path]) -> None:
    both(trees, "a/b", b"same", b"same")
    assert lines(trees) == []


def test_a_file_that_differs(trees: tuple[Path, Path]) -> None:
    both(trees, "doc/date", b"built on Monday by me", b"built on Friday by you")
    assert lines(trees) == [
        "content: doc/date differs from byte 9 on (21 bytes before, 22 now)",
        "doc/date: 21 and 22 bytes, first difference at byte 9",
        "  first   " + b"uilt on Monday by me".hex(" ") + "  |uilt on Monday by me|",
        "  second  " + b"uilt on Friday by you".hex(" ") + "  |uilt on Friday by you|",
    ]


def test_only_bytes_around_the_difference_are_shown(trees: tuple[Path, Path]) -> None:
    both(trees, "a", b"x" * 100 + b"\0\n" + b"x" * 100, b"x" * 100 + b"\x1b\xff" + b"x" * 100)
    assert lines(trees)[1:] == [
        "a: 202 and 202 bytes, first difference at byte 100",
        "  first   " + (b"x" * 8 + b"\0\n" + b"x" * 14).hex(" ") + "  |xxxxxxxx..xxxxxxxxxxxxxx|",
        "  second  " + (b"x" * 8 + b"\x1b\xff" + b"x" * 14).hex(" ") + "  |xxxxxxxx..xxxxxxxxxxxxxx|",
    ]


def test_the_end_of_a_file_is_a_difference(trees: tuple[Path, Path]) -> None:
    both(trees, "a", b"ab", b"abc")
    assert lines(trees)[1:] == ["a: 2 and 3 bytes, first difference at byte 2", "  first   61 62  |ab|", "  second  61 62 63  |abc|"]


def test_what_only_one_has(trees: tuple[Path, Path]) -> None:
    (trees[0] / "old").write_text("x")
    (trees[1] / "new").symlink_to("x")
    assert lines(trees) == ["added: new", "missing: old"]


def test_a_link_is_not_followed(trees: tuple[Path, Path]) -> None:
    (trees[0] / "a").write_text("x")
    (trees[1] / "a").symlink_to("b")
    both(trees, "b", b"1", b"1")
    assert lines(trees) == ["kind: a was a file, is a link"]


def test_the_section_of_a_program(trees: tuple[Path, Path]) -> None:
    one, two = elf(b"2024-01-01"), elf(b"2025-01-01")
    both(trees, "lib.so", one, two)
    assert lines(trees)[1] == f"lib.so: {len(one)} and {len(two)} bytes, first difference at byte 67, in section .data"


def test_the_headers_of_a_program(trees: tuple[Path, Path]) -> None:
    one = elf(b"x")
    both(trees, "lib.so", one, one[:17] + b"\x07" + one[18:])
    assert lines(trees)[1].endswith("first difference at byte 17, in the ELF headers")


@pytest.mark.parametrize("data", [b"\x7fELF", b"\x7fELF\x02\x01\x01" + b"\xff" * 60])
def test_a_damaged_program(trees: tuple[Path, Path], data: bytes) -> None:
    both(trees, "lib.so", data + b"1", data + b"2")
    assert lines(trees)[1].endswith(f"first difference at byte {len(data)}, in a damaged ELF file")


def test_at_most_so_many(trees: tuple[Path, Path]) -> None:
    for number in range(30):
        both(trees, f"{number:02}", b"1", b"2")
    found = difference.of_trees(str(trees[0]), str(trees[1]), limit=3)
    assert found[:4] == [f"content: {n} differs from byte 0 on (1 bytes)" for n in ("00", "01", "02")] + ["... and 27 more"]
    assert len(found) == 4 + 3 * 3
