"""A build that writes more than anyone can hold, or whose output never ends."""

import os
import time
from pathlib import Path

import pytest
from integration.world import World

from builder.log import HEAD, TAIL

LINE = 1500 << 20  # bytes


def peak(here: World, *argv: str) -> tuple[int, int]:
    """A command's exit code, and MiB of memory that it had at most; what it says is thrown away."""
    with open(here.home / "said", "wb") as said:
        process = here.start(*argv, before=["sh", "-c", f'exec "$0" "$@" > {said.name} 2>&1'])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.communicate()
    return process.returncode, usage.ru_maxrss >> 10


@pytest.mark.parametrize("end", [0, 3])
def test_a_line_without_end_takes_no_memory(here: World, end: int) -> None:
    here.recipe("quiet", ":")
    here.recipe("long", f"head -c {LINE} /dev/zero | tr '\\0' x\necho\necho '==> the end'\nexit {end}")
    here.image("quiet", "long")
    _, usual = peak(here, "list")
    code, most = peak(here, "build", "long")
    assert code == (4 if end else 0)
    assert most < usual + 30
    log = max((here.store_path / "logs").iterdir(), key=lambda each: each.stat().st_size)
    assert HEAD + TAIL <= log.stat().st_size < HEAD + TAIL + 100
    text = log.read_bytes()
    assert text.startswith(b"==> make\nxxx")
    assert text.endswith(b"xxx\n==> the end\n")
    left_out = LINE + len("==> make\n\n==> the end\n") - HEAD - TAIL
    assert b"\n[builder: the log is too long; %d bytes are left out here]\n" % left_out in text
    if end:
        assert "long 1: step 'the end' ended with exit code 3" in Path(here.home / "said").read_text()
    code, most = peak(here, "log", "long")
    assert (code, most < usual + 30) == (0, True)


def test_a_daemon_that_keeps_the_output_open_ends_with_its_build(here: World) -> None:
    here.recipe("daemon", "(trap '' HUP TERM INT; sleep 300 & sleep 300) &\nkill -STOP $! || :\necho done")
    here.image("daemon")
    start = time.monotonic()
    here.ok("build")
    assert time.monotonic() - start < 60
