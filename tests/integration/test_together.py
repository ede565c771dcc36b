"""Many builders at once on one store."""

import shutil
from concurrent.futures import ThreadPoolExecutor

from integration.world import World

BUILDERS = 10


def graph(world: World) -> None:
    for i in range(8):
        needs = [f"n{j}" for j in range(max(0, i - 2), i)]
        reads = "".join(f" /share/{each}" for each in needs)
        run = f'mkdir "$OUT/share"\nsleep 0.05\n{{ echo n{i}; cat /dev/null{reads}; }} > "$OUT/share/n{i}"'
        world.recipe(f"n{i}", run, requires=needs)
    world.image("n7", "n6")


def test_ten_builders_on_copies_of_one_project_build_everything_once(here: World) -> None:
    graph(here)
    worlds = [here, *(here.copy(f"copy-{i}") for i in range(1, BUILDERS))]
    with ThreadPoolExecutor(BUILDERS) as pool:
        answers = list(pool.map(lambda world: world.ok("build", "--jobs", "2"), worlds))
    logs = {path.name: path.stat().st_mtime_ns for path in (here.store_path / "logs").iterdir()}
    assert len(logs) == 8
    assert len({answer.out.splitlines()[0] for answer in answers}) == 1, "one layer"
    locks = {world.lock.read_text() for world in worlds}
    assert len(locks) == 1
    layers = {(world.root / "out" / "all" / "layer.tar.gz").read_bytes() for world in worlds}
    assert len(layers) == 1
    assert here.damage() == []
    assert here.half_made() == []
    built = sum(len([name for name in answer.built() if name.startswith("n")]) for answer in answers)
    assert built == 8, "each derivation was built by one of them"


def test_ten_builders_in_one_project(here: World) -> None:
    graph(here)
    with ThreadPoolExecutor(BUILDERS) as pool:
        answers = list(pool.map(lambda _: here.ok("build", "--jobs", "2"), range(BUILDERS)))
    assert len({answer.out for answer in answers}) == 1
    assert here.ok("build", "--locked").built() == []
    assert here.damage() == []
    assert [each.name for each in (here.root / "out").iterdir()] == ["all"]


def test_gc_beside_builders_removes_nothing_that_they_need(here: World) -> None:
    graph(here)
    worlds = [here, *(here.copy(f"copy-{i}") for i in range(1, 4))]
    with ThreadPoolExecutor(6) as pool:
        builds = [pool.submit(world.ok, "build") for world in worlds]
        collections = [pool.submit(here.run, "gc") for _ in range(2)]
        for build in builds:
            build.result()
        codes = {each.result().code for each in collections}
    assert codes <= {0, 5}, "it waits for builders, and after a while says that they are there"
    assert here.damage() == []
    shutil.rmtree(here.root / "out")
    assert here.ok("build", "--locked").built() == []
