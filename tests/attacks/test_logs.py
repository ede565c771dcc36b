"""A build that writes more than anyone can hold, or whose output never ends."""

import sys
import time
from pathlib import Path

import pytest
from integration.world import World

from builder.build.log import HEAD, TAIL

LINE = 1500 << 20  # bytes


# A process starts with the peak of the one that it was forked from, so a small one starts the builder.
MEASURE = """
import resource, subprocess, sys
said = open(sys.argv[1], "wb")
code = subprocess.run(sys.argv[2:], stdout=said, stderr=said).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def peak(here: World, *argv: str) -> tuple[int, int]:
    """A command's exit code, and the MiB of memory that it had at most; what it says goes to the file `said`."""
    answer = here.ok(*argv, before=[sys.executable, "-c", MEASURE, str(here.home / "said")])
    code, most = map(int, answer.out.split())
    return code, most


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
