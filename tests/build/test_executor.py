"""The port of executors, by a second adapter: what a derivation and its trees hold is all that one needs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import CopyExecutor
from msgspec.structs import replace

from builder.base.errors import BuildError
from builder.base.platform import DEFAULT
from builder.build import failures
from builder.build.realise import Order, Realiser
from builder.plan.derivation import Derivation
from builder.progress.reporter import NullReporter
from builder.recipe.styles import Step
from builder.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def made(store: Store, tmp_path: Path) -> Callable[..., Derivation]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/greeting").write_text("hello\n")
    tree = store.add_tree(str(tmp_path / "source"))

    def make(*steps: str) -> Derivation:
        return Derivation(
            name="small", version="1", build_platform=DEFAULT, host_platform=DEFAULT, options={},
            steps=tuple(Step(f"step-{number}", run) for number, run in enumerate(steps)), sources={"main": tree}, inputs=(),
            split={"dev": ("usr/include/**",)},
        )

    return make


def test_a_derivation_and_its_trees_are_all_that_an_executor_needs(store: Store, made: Callable[..., Derivation]) -> None:
    executor = CopyExecutor()
    realiser = Realiser(store=store, executor=executor, reporter=NullReporter())
    derivation = made(
        "cp /sources/main/greeting .", 'mkdir -p "$OUT/usr/include" && cp greeting "$OUT/usr" && echo "#define X" > "$OUT/usr/include/x.h"'
    )
    found = realiser.realise(Order(derivation=derivation))
    assert Path(store.tree_path(found.trees["out"]), "usr/greeting").read_text() == "hello\n"
    assert Path(store.tree_path(found.trees["dev"]), "usr/include/x.h").is_file()
    assert found.sandbox == "copy"  # the lock says that it was not built in full isolation
    assert realiser.realise(Order(derivation=derivation)).trees == found.trees
    assert executor.ran == ["small 1"]


def test_what_an_executor_cannot_build_is_remembered_as_failed(store: Store, made: Callable[..., Derivation]) -> None:
    derivation = made("exit 7")
    with pytest.raises(BuildError, match="exit code 7"):
        Realiser(store=store, executor=CopyExecutor(), reporter=NullReporter()).realise(Order(derivation=derivation))
    assert failures.last(store.log_path(derivation.key)) != ""
    assert store.record(derivation.key) is None


def test_an_output_that_is_no_directory_is_refused(store: Store, made: Callable[..., Derivation]) -> None:
    derivation = made('rmdir "$OUT" && ln -s /etc "$OUT"')
    with pytest.raises(BuildError, match="small 1: its output is no directory"):
        Realiser(store=store, executor=CopyExecutor(), reporter=NullReporter()).realise(Order(derivation=derivation))


def test_limits_travel_with_the_derivation_and_not_in_its_key(made: Callable[..., Derivation]) -> None:
    derivation = made("true")
    wider = replace(derivation, limits=replace(derivation.limits, memory=1))
    assert wider.key == derivation.key
