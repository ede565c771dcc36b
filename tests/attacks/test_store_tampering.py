"""A store that something else wrote to: verification says what, goes on, and removes what the next build makes again."""

import os
import shutil
import subprocess
from pathlib import Path

from integration.world import World

from builder.store.remove import remove_tree


def writable(path: Path) -> Path:
    """An entry of a read-only tree that can be changed by its owner."""
    path.parent.chmod(0o755)
    path.chmod(0o644)
    return path


def test_tampering_is_told_and_cured(here: World) -> None:
    assert here.origin is not None
    remove_tree(str(here.store_path))  # a world's store is hard links; this one has to be whole
    here.store_path.mkdir()
    subprocess.run(["cp", "-a", *(str(here.origin / name) for name in ("trees", "records")), str(here.store_path)], check=True)
    here.chain()
    here.ok("build", "--offline")
    assert here.ok("store", "verify").out == "everything is as it was written\n"
    setuid, linked, noted = (here.output(name) / "share" / name for name in ("base", "middle", "top"))
    writable(setuid).chmod(0o4755)
    os.link(linked, here.home / "mine")
    told = ["has mode 4755", "middle has 1 more name outside of the store"]
    if os.geteuid() == 0:
        os.chown(noted, 1234, 1234)
        told.append("belongs to 1234:1234")
    os.mkfifo(here.store_path / "roots" / "pipe.json")
    (here.store_path / "records" / "README").touch()
    (here.store_path / "files").mkdir(exist_ok=True)
    (here.store_path / "files" / ("0" * 64)).mkdir()
    answer = here.run("store", "verify", "--remove")
    assert answer.code == 1
    for text in (*told, "records/README: the store did not make this", "it is no regular file", "no small regular file"):
        assert text in answer.out, text
    assert "Traceback" not in answer.err
    (here.store_path / "roots" / "pipe.json").unlink()
    (here.store_path / "records" / "README").unlink()
    here.ok("build", "--offline")
    assert here.ok("store", "verify").out == "everything is as it was written\n"
    shutil.rmtree(here.root)
