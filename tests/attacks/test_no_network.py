"""A build that tries to reach out."""

from integration.world import World


def test_a_build_cannot_reach_a_server_of_the_host(here: World) -> None:
    here.recipe("reach", 'cat /proc/net/tcp /proc/net/unix > "$OUT/sockets"')
    here.image("reach")
    here.ok("build")
    lines = (here.output("reach") / "sockets").read_text().splitlines()
    assert [line for line in lines if not line.strip().startswith(("sl", "Num"))] == []
