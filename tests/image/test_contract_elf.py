"""Reading ELF files: made ones, and what a compiler makes where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest
from elf_maker import make
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image.contract import elf
from builder.image.contract.elf import DamagedError, Elf


def test_everything_that_is_read() -> None:
    data = make(
        interpreter="/lib/ld-musl-x86_64.so.1",
        needed=["libssl.so.3", "libc.so"],
        runpath="/usr/local/lib:$ORIGIN/../lib",
        soname="libx.so.1",
        exports=["SSL_new", "SSL_free"],
        undefined=["malloc"],
        hidden=["inner"],
        versions=["GLIBC_2.34", "GLIBC_2.2.5"],
        glibc_tag=True,
    )
    assert elf.read(data) == Elf(
        machine="x86_64",
        interpreter="/lib/ld-musl-x86_64.so.1",
        soname="libx.so.1",
        needed=("libssl.so.3", "libc.so"),
        run_paths=("/usr/local/lib", "$ORIGIN/../lib"),
        versions=("GLIBC_2.2.5", "GLIBC_2.34"),
        exports=frozenset({"SSL_new", "SSL_free"}),
        glibc_tag=True,
    )


def test_a_library_that_needs_nothing() -> None:
    assert elf.read(make(machine="aarch64")) == Elf(machine="aarch64")
    assert elf.read(make(machine="riscv")) == Elf(machine="EM_RISCV")


def test_the_newer_run_path_wins() -> None:
    assert elf.read(make(rpath="/old")) == Elf(machine="x86_64", run_paths=("/old",))
    assert elf.read(make(rpath="/old", runpath="/new")) == Elf(machine="x86_64", run_paths=("/new",))


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(60), make(kind=1)])
def test_what_is_no_program(data: bytes) -> None:
    assert elf.read(data) is None


def test_a_program_that_is_cut_off() -> None:
    data = make(needed=["libx.so"], exports=["f"])
    for length in (16, 40, 70, 200, len(data) - 30):
        with pytest.raises(DamagedError):
            elf.read(data[:length])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(16, 700), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_an_answer_or_a_damage(changes: list[tuple[int, int]]) -> None:
    """A hostile file leads to no other exception, and to no endless work."""
    data = bytearray(make(interpreter="/lib/ld", needed=["a", "b"], exports=["f", "g"], versions=["V1"], glibc_tag=True))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        found = elf.read(bytes(data))
    except DamagedError:
        return
    assert found is None or isinstance(found, Elf)


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no compiler")
def test_what_a_compiler_makes(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text('#include <stdio.h>\nint shown(void) { return puts("x"); }\nstatic int own; int *where(void) { return &own; }\n')
    library = tmp_path / "libx.so"
    flags = ["-shared", "-fPIC", "-Wl,-soname,libx.so.7", "-Wl,-rpath,/opt/lib", "-Wl,--enable-new-dtags"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    found = elf.read(library.read_bytes())
    assert found is not None
    assert (found.soname, found.run_paths, found.needed) == ("libx.so.7", ("/opt/lib",), ("libc.so.6",))
    assert {"shown", "where"} <= found.exports
    assert not {"own", "puts"} & found.exports
    assert found.versions == ("GLIBC_2.2.5",) or all(each.startswith("GLIBC_") for each in found.versions)
