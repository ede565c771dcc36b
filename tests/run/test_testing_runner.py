"""Finding test files, filtering them, the sandbox that each sees, and running many: with a sandbox that is a fake."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deep import nested
from fakes import Scripted

from builder.base.errors import SandboxError, UsageError
from builder.progress.reporter import NullReporter
from builder.recipe.recipe import Limits
from builder.run.rootfs import Rootfs
from builder.run.testing import Interrupted, Room, Runner, Suite, TestFile, files, filtered, find
from builder.run.testing.room import furnish
from builder.sandbox import Outcome, Sandbox, SandboxSpec

BLOCKS = "use Test::Nginx::Socket;\nrun_tests();\n__DATA__\n\n=== TEST 1: one\n--- config\n\n=== TEST 2: two\n--- config\n"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The folder of a component with test files in t/."""
    made = tmp_path / "component"
    for name, text in {
        "t/a.t": BLOCKS, "t/deep/b.t": BLOCKS.replace("one", "three"), "t/Util.pm": "1;", "t/servroot/x.t": "", "t/.hidden/x.t": "",
        "t/unit/nginx.conf": "", "t/unit/x_test.lua": "", "t/unit/runner.lua": "", "lib/mod.lua": "return 1", "Makefile": "",
    }.items():  # fmt: skip
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "link").symlink_to("lib")
    return made


@pytest.fixture
def rootfs(tmp_path: Path) -> Rootfs:
    root = tmp_path / "root"
    for name in ("bin", "usr/bin", "etc", "tmp", "proc"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:\nnginx:x:101:101::/run/openresty:\n")
    return Rootfs(root=str(root), env={"PATH": "/usr/bin"}, command=(), user="nginx")


def names(suite: Suite) -> list[str]:
    return [each.name for each in suite.files]


def room(suite: Suite, rootfs: Rootfs, **changes: object) -> Room:
    known = {
        "rootfs": rootfs, "suite": suite, "shown": f"{suite.top}/{suite.folder}", "nginx": "/nginx", "perl": "/usr/bin/perl",
        "limits": Limits(seconds=7), "inherited": {"TEST_NGINX_LOG_LEVEL": "warn"},
    }  # fmt: skip
    return Room(**{**known, **changes})  # type: ignore[arg-type]


# ---- finding


def test_all_test_files_of_a_folder_are_found(top: Path) -> None:
    suite = find(str(top / "t"), whole=False)
    assert (suite.top, suite.folder) == (str(top), "t")
    assert names(suite) == ["t/a.t", "t/deep/b.t", "t/unit/x_test.lua"]
    assert [(each.count, each.is_unit) for each in suite.files] == [(2, False), (2, False), (0, True)]


def test_unit_files_count_only_where_nginx_is_told_how(top: Path) -> None:
    (top / "t/unit/nginx.conf").unlink()
    assert names(find(str(top / "t"), whole=False)) == ["t/a.t", "t/deep/b.t"]


def test_paths_choose_among_them(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "t")
    assert names(find("../t", ["deep"], whole=False)) == ["t/deep/b.t"]
    assert names(find("../t", ["a.t", "unit"], whole=False)) == ["t/a.t", "t/unit/x_test.lua"]
    assert len(find("../t", ["."], whole=False).files) == 3


@pytest.mark.parametrize(("folder", "paths", "message"), [
    ("none", [], "none: there is no such directory of test files\n  next: name a directory with files *.t: --suite DIR"),
    ("lib", [], "lib: there is no test file\n  next: test files are *.t, and unit/*_test.lua"),
    ("t", ["t/none.t"], "t/none.t: there is no such file or directory\n  next: files of the suite are in TOP/t"),
    ("t", ["t/Util.pm"], "t/Util.pm: there is no test file\n  next: test files are *.t, and unit/*_test.lua"),
])  # fmt: skip
def test_what_is_not_there_is_said(folder: str, paths: list[str], message: str, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)
    with pytest.raises(UsageError) as error:
        find(folder, paths, whole=True)
    assert str(error.value).replace(str(top), "TOP") == message


def test_a_path_elsewhere_is_refused(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)
    with pytest.raises(UsageError, match=r"it is not in .*/component/t\n  next: name another directory of test files with --suite"):
        find("t", ["lib"], whole=False)


# ---- filtering


def test_a_filter_leaves_the_blocks_that_fit(top: Path, tmp_path: Path) -> None:
    suite = filtered(find(str(top / "t"), whole=False), "TEST 1: one$")
    (file,) = suite.files
    assert (file.name, file.count, file.left_out) == ("t/a.t", 1, 1)
    shown = files.copy(suite, str(tmp_path))
    assert (Path(shown) / "a.t").read_text() == BLOCKS[: BLOCKS.index("=== TEST 2")]
    assert (Path(shown) / "Util.pm").read_text() == "1;"
    assert (top / "t/a.t").read_text() == BLOCKS


def test_a_filter_that_fits_the_name_takes_the_whole_file(top: Path, tmp_path: Path) -> None:
    suite = filtered(find(str(top / "t"), whole=False), "deep/|x_test")
    assert [(each.name, each.left_out, each.text) for each in suite.files] == [("t/deep/b.t", 0, None), ("t/unit/x_test.lua", 0, None)]
    assert files.copy(suite, str(tmp_path)) == str(top / "t")


def test_what_an_earlier_run_left_is_not_copied(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server root with a socket in it, as `prove` leaves one."""
    for name in ("servroot", "deep"):
        monkeypatch.chdir(top / "t" / name)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("nginx.sock")
    suite = filtered(find(str(top / "t"), whole=False), "TEST 1: one$")
    shown = Path(files.copy(suite, str(tmp_path)))
    assert sorted(path.name for path in shown.iterdir()) == [".hidden", "Util.pm", "a.t", "deep", "unit"]
    assert [path.name for path in (shown / "deep").iterdir()] == ["b.t"]


def test_a_suite_nested_deep_is_copied(top: Path, tmp_path: Path) -> None:
    suite = filtered(find(str(top / "t"), whole=False), "TEST 1: one$")
    with nested(top / "t/data", tmp_path / "t") as lowest:
        (lowest / "data").write_text("x")
        copied = files.copy(suite, str(tmp_path))
        assert os.path.isfile(os.path.join(copied, os.path.relpath(lowest, top / "t"), "data"))


@pytest.mark.parametrize(("pattern", "message"), [
    ("(", "--filter (: it is no regular expression: missing ), unterminated subpattern at position 0\n"
     r"  next: a backslash makes a character stand for itself: \("),
    ("no such block", "--filter no such block: no file's name and no block's title fits\n"
     "  next: titles are the lines of the files that begin with ==="),
])  # fmt: skip
def test_a_useless_filter_is_refused(pattern: str, message: str, top: Path) -> None:
    with pytest.raises(UsageError) as error:
        filtered(find(str(top / "t"), whole=False), pattern)
    assert str(error.value) == message


# ---- what a file sees


def test_the_sandbox_of_a_file(top: Path, rootfs: Rootfs) -> None:
    suite = find(str(top / "t"), whole=False)
    spec = room(suite, rootfs).spec(suite.files[0], "/work")
    targets = {each.target: (each.source, each.writable) for each in spec.mounts}
    assert targets["/build"] == ("/work", True)
    assert targets["/suite/t"] == (str(top / "t"), False)
    assert targets["/bin"] == (f"{rootfs.root}/bin", False)
    assert [path for path, (_, writable) in targets.items() if writable] == ["/build"]
    assert not [path for path in targets if path.startswith("/suite") and path != "/suite/t"]
    assert (spec.uid, spec.gid, spec.network, spec.workdir, spec.limits.seconds) == (101, 101, False, "/suite", 7)
    assert spec.argv[0] == "/usr/bin/perl"
    assert spec.argv[-2:] == ("-MBuilder::Marks", "t/a.t")
    assert spec.env["TEST_NGINX_BINARY"] == "/nginx"
    assert spec.env["TEST_NGINX_SERVROOT"] == "/build/servroot"
    assert spec.env["TEST_NGINX_LOG_LEVEL"] == "warn"
    assert "BUILDER_FILTERED" not in spec.env


def test_a_foreign_suite_is_shown_whole(top: Path, rootfs: Rootfs) -> None:
    suite = filtered(find(str(top / "t"), whole=True), "TEST 1: one")
    spec = room(suite, rootfs, shown="/copy/t").spec(suite.files[0], "/work")
    assert {each.target: each.source for each in spec.mounts if each.target.startswith("/suite")} == {
        "/suite/t": "/copy/t", "/suite/lib": f"{top}/lib", "/suite/Makefile": f"{top}/Makefile",
    }  # fmt: skip
    assert spec.links["/suite/link"] == "lib"
    assert spec.env["BUILDER_FILTERED"] == "1"


def test_a_unit_file_is_run_by_nginx(top: Path, rootfs: Rootfs, tmp_path: Path) -> None:
    suite = find(str(top / "t"), [str(top / "t/unit")], whole=False)
    spec = room(suite, rootfs).spec(suite.files[0], "/work")
    assert spec.argv == ("/nginx", "-p", "/build/servroot/", "-e", "stderr", "-c", "/suite/t/unit/nginx.conf")
    assert spec.env["UNIT_FILE"] == "/suite/t/unit/x_test.lua"
    furnish(str(tmp_path / "work"), suite.files[0], "1;")
    assert (tmp_path / "work/servroot/logs").is_dir()


# ---- running


def work(spec: SandboxSpec) -> Path:
    return next(Path(each.source) for each in spec.mounts if each.target == "/build")


@pytest.fixture
def runner(top: Path, rootfs: Rootfs, tmp_path: Path) -> Callable[..., Runner]:
    def make(sandbox: Sandbox, jobs: int = 2) -> Runner:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        suite = find(str(top / "t"), whole=False)
        return Runner(
            room=room(suite, rootfs), sandbox=sandbox, scratch=str(scratch), reporter=NullReporter(), jobs=jobs, cancel=threading.Event()
        )

    return make


def test_files_run_side_by_side_and_come_back_in_order(runner: Callable[..., Runner], tmp_path: Path) -> None:
    def script(spec: SandboxSpec, log: int) -> Outcome:
        time.sleep(0.05)
        os.write(log, b"1..1\nok 1 - x\n")
        assert (work(spec) / "lib/Builder/Marks.pm").read_text().startswith("# Loaded before a test file")
        return Outcome(code=0, seconds=0.05)

    sandbox = Scripted(script)
    found = runner(sandbox).run([TestFile(name=f"t/{n}.t", count=n) for n in range(6)])
    assert [each.name for each in found] == [f"t/{n}.t" for n in range(6)]
    assert all(each.passed for each in found)
    assert sandbox.most == 2
    assert not [each for each in os.listdir(tmp_path / "scratch") if not each.endswith(".tap")]


def test_logs_that_were_kept_come_with_their_blocks(runner: Callable[..., Runner]) -> None:
    def script(spec: SandboxSpec, log: int) -> Outcome:
        os.write(log, b"1..1\n# builder: block 1 at 0 T\nnot ok 1 - T - x\n# builder: end at 1\n")
        (work(spec) / "logs/1.log").write_text("boom\n")
        (work(spec) / "logs/evil.log").symlink_to("/etc/passwd")
        (work(spec) / "logs/2.log").symlink_to("/etc/passwd")
        return Outcome(code=1, seconds=1)

    (found,) = runner(Scripted(script)).run([TestFile(name="t/a.t")])
    assert [each.log for each in found.blocks] == ["boom\n"]


def test_a_file_that_hangs_shows_the_log_of_its_server(runner: Callable[..., Runner]) -> None:
    def script(spec: SandboxSpec, log: int) -> Outcome:
        os.write(log, b"1..1\n# builder: block 1 at 0 T\n")
        (work(spec) / "servroot/logs").mkdir(parents=True)
        (work(spec) / "servroot/logs/error.log").write_text("sleeping\n")
        return Outcome(code=137, killed="time", seconds=7)

    (found,) = runner(Scripted(script)).run([TestFile(name="t/a.t")])
    assert found.trouble == "it took longer than 7 s and was ended with all its processes, after 0 checks, in 'T'"
    assert [(each.passed, each.log) for each in found.blocks] == [(False, "sleeping\n")]


def test_a_machine_that_refuses_ends_the_run(runner: Callable[..., Runner]) -> None:
    def script(_spec: SandboxSpec, _log: int) -> Outcome:
        raise SandboxError("no namespaces")

    made = runner(Scripted(script))
    with pytest.raises(SandboxError, match="no namespaces"):
        made.run([TestFile(name=f"t/{n}.t") for n in range(9)])
    assert made.cancel.is_set()


def test_an_interrupt_tells_what_had_ended(runner: Callable[..., Runner]) -> None:
    def script(spec: SandboxSpec, log: int) -> Outcome:
        if "t/2.t" in spec.argv:
            raise KeyboardInterrupt
        os.write(log, b"1..1\nok 1 - x\n")
        if "t/3.t" in spec.argv:
            assert made.cancel.wait(10)
            return Outcome(code=137, killed="cancelled", seconds=1)
        return Outcome(code=0, seconds=1)

    made = runner(Scripted(script), jobs=1)
    with pytest.raises(Interrupted) as error:
        made.run([TestFile(name=f"t/{n}.t") for n in range(5)])
    assert [each.name for each in error.value.results] == ["t/0.t", "t/1.t"]
    assert error.value.not_run == 3
