"""A build that fills memory where no process has it mapped."""

import pytest
from integration import world
from integration.world import World

LIMITS = "[limits]\nmemory = 100\n"
FILL = {
    # A region that the parent shares and its children fill, one after the other: no process has more than a part of it.
    "shared memory that children filled": (
        "my $size = 300 << 20; my $at = syscall(9, 0, $size, 3, 0x21, -1, 0); $at != -1 or die qq(mmap: $!); pipe(R, W);"
        " for my $part (0 .. 29) { my $pid = fork; if (!$pid) { my $from = $at + $part * (10 << 20);"
        " open(my $zero, q(<), q(/dev/zero)); syscall(0, fileno($zero), $from + 0, 10 << 20); exit 0 } waitpid $pid, 0 } sleep 60"
    ),
    "files in memory that are deleted": (
        "for (1 .. 30) { open(my $f, q(+>), qq(/dev/shm/$_)) or die; unlink qq(/dev/shm/$_); print $f q(x) x (10 << 20);"
        " push @all, $f } $_->flush for @all; sleep 60"
    ),
    "a memory file": (
        "my $name = qq(x\\0); my $fd = syscall(319, $name, 0); $fd >= 0 or exit 9; open(my $f, qq(+<&=$fd)); for (1 .. 300)"
        " { syswrite $f, q(x) x (1 << 20) } sleep 60"
    ),
    "large segments of System V": (
        "for (1 .. 30) { my $id = syscall(29, 0, 10 << 20, 01600); $id >= 0 or exit 9; my $at = syscall(30, $id, 0, 0);"
        " open(my $zero, q(<), q(/dev/zero)); syscall(0, fileno($zero), $at + 0, 10 << 20); syscall(67, $at + 0) } sleep 60"
    ),
    "pipes": (
        "$SIG{ALRM} = sub { sleep 60 }; for (1 .. 40) { last if !fork } for (1 .. 500) { pipe(my $r, my $w) or last;"
        " push @all, $r, $w; $w->blocking(0); syswrite $w, q(x) x 65536 } sleep 60"
    ),
}


@pytest.mark.parametrize("way", FILL)
def test_memory_without_a_process_is_seen(here: World, way: str) -> None:
    world.copy_recipes(here.root / "recipes", ["perl"])
    here.recipe("fill", f"perl -MIO::Handle -e '{FILL[way]}'", requires=["perl"], more=LIMITS)
    here.image("fill")
    answer = here.run("build")
    assert answer.code == 4, answer.err
    ended = "used more than 100 MiB of memory" in answer.err
    refused = "ended with exit code 9" in answer.err  # the call itself is not there
    assert ended or (refused and ("System V" in way or "memory file" in way)), answer.err
