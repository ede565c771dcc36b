"""Reloading: what is looked at before the running gateway is told. With a sandbox that is a fake."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import Serving

from builder.base.errors import SandboxError
from builder.run.rootfs import Rootfs
from builder.run.serving import Instance, Listener, Listening, Place, reload, tree


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    checkout, root = tmp_path / "checkout", tmp_path / "root"
    for path in (checkout / "lua/conf/nginx.conf", root / "etc/gateway/nginx.conf"):
        path.parent.mkdir(parents=True)
        path.write_text("main")
    place = Place(
        checkout=str(checkout), folder=str(tmp_path / "run"), policy=str(tmp_path / "p.json"), inherited={}, stand_ins=(),
        rootfs=Rootfs(root=str(root), env={}, command=("/nginx",), user="nginx"),
        listening=Listening(address="192.0.2.2", http=(Listener(8080, 80),), https=(Listener(8443, 443),), status=1936),
    )  # fmt: skip
    place.write()
    own = tree.process(os.getpid())
    assert own is not None
    return Instance(builder=own, nginx=own, tools="", place=place)


def interrupted(_true: Callable[[], bool], _ended: object) -> bool:
    raise KeyboardInterrupt


def test_an_interrupt_ends_what_is_tried(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["builder.run.serving.reload"], "_until", interrupted)  # the package has the function by that name
    sandbox = Serving()
    with pytest.raises(KeyboardInterrupt):
        reload(instance, sandbox)
    assert sandbox.ended == "cancelled"
    assert sorted(os.listdir(instance.place.folder)) == ["conf", "home", "reloading"]


def test_a_sandbox_that_cannot_be_made_is_said_to_be_one(instance: Instance) -> None:
    with pytest.raises(SandboxError, match="no namespaces here"):
        reload(instance, Serving(SandboxError("no namespaces here")))
    assert sorted(os.listdir(instance.place.folder)) == ["conf", "home", "reloading"]
