"""`builder test` on the real image: Test::Nginx against its nginx, in sandboxes."""

import json
import os
import re
import shutil
import signal
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from builder.cli import kinds
from integration.checkout import MARKS, make, run, start, started, until_gone

pytestmark = MARKS

TEST = ("test", "--suite")
SERVER = b"nginx -e /build/servroot"
PASSES = """\
use lib '.';
use t::Helper;
use Test::Nginx::Socket;
use Cwd qw(cwd);

my $pwd = cwd();
our $HttpConfig = qq{ lua_package_path "$pwd/lib/?.lua;;"; };

repeat_each(2);
plan tests => repeat_each() * (blocks() * 3 + $t::Helper::More);
run_tests();

__DATA__

=== TEST 1: a library of the component is found
--- http_config eval: $::HttpConfig
--- config
    location /t { content_by_lua_block { ngx.say(require("answer")) } }
--- request
GET /t
--- response_body
42
--- no_error_log
[error]



=== TEST 2: the server belongs to a plain user
--- config
    location /t { content_by_lua_block { local f = io.popen("id -u"); ngx.print(f:read("*a")) } }
--- request
GET /t
--- response_body_unlike
^0$
--- no_error_log
[error]
"""
FAILS = """\
use Test::Nginx::Socket 'no_plan';
run_tests();

__DATA__

=== TEST 1: says what it should
--- config
    location /t { return 200 "as it should"; }
--- request
GET /t
--- response_body chomp
as it should



=== TEST 2: says something else - and logs it
--- config
    location /t { content_by_lua_block { ngx.log(ngx.ERR, "a word for the log") ngx.print("else") } }
--- request
GET /t
--- response_body chomp
something



=== TEST 3: overwrites the log of the block before
--- config
    location /t { return 200 "x"; }
--- request
GET /t
"""
DIES = """\
use Test::Nginx::Socket tests => 4;
add_response_body_check(sub { die "in the middle of it" });
run_tests();

__DATA__

=== TEST 1: comes to no end
--- config
    location /t { return 200 "x"; }
--- request
GET /t
"""
HANGS = """\
use Test::Nginx::Socket tests => 1;
run_tests();

__DATA__

=== TEST 1: waits for ever
--- timeout: %s
--- config
    location /t { content_by_lua_block { ngx.log(ngx.WARN, "asleep") ngx.sleep(100) } }
--- request
GET /t
"""
DOES_NOT_START = """\
use Test::Nginx::Socket 'no_plan';
run_tests();

__DATA__

=== TEST 1: a directive that no nginx has
--- config
    no_such_directive on;
--- request
GET /t



=== TEST 2: comes too late
--- config
    location /t { return 200; }
--- request
GET /t
"""
RESOLVES = """\
use Test::More tests => 1;
open my $in, '<', '/etc/resolv.conf' or die $!;
is(<$in>, "nameserver 127.0.0.1\n", 'there is a resolver, as nginx wants one');
"""
SKIPS = "use Test::More skip_all => 'not on a Monday';\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("project"), "gateway-test")


@pytest.fixture
def component(tmp_path: Path) -> Iterator[Path]:
    """An unpacked component with a suite of its own."""
    made = tmp_path / "component"
    files = {
        "t/passes.t": PASSES, "t/fails.t": FAILS, "t/dies.t": DIES, "t/hangs.t": HANGS % 100, "t/skips.t": SKIPS,
        "t/Helper.pm": "package t::Helper;\nour $More = 0;\n1;\n", "lib/answer.lua": "return 42\n",
    }  # fmt: skip
    for name, text in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    yield made


def test_a_suite_that_passes(project: Path, component: Path) -> None:
    done = run(project, *TEST, str(component / "t"), str(component / "t/passes.t"), str(component / "t/skips.t"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "skipped", "  t/skips.t: not on a Monday", "", "files   1 passed, 1 skipped", "blocks  2 passed",
    ], done.stdout  # fmt: skip
    assert "testing t/passes.t: passed, " in done.stderr


def test_everything_that_can_go_wrong_is_told(project: Path, component: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    command = start(project, *TEST, str(component / "t"), "--limit", "8", "--jobs", "5", "--junit", str(report))
    processes = started(command, b"t/hangs.t")
    time.sleep(1)
    processes += started(command, SERVER)
    told, _ = command.communicate()
    assert command.returncode == 1
    until_gone(processes)
    assert "t/fails.t: TEST 2: says something else - and logs it\n  not ok: response_body - response is expected" in told
    assert "  | strings begin to differ" in told.replace("  |     ", "  | ")
    assert "  error log, whole in out/tests/t/fails.t/2.log\n" in told
    assert "a word for the log" in told
    assert "a word for the log" in (project / "out/tests/t/fails.t/2.log").read_text()
    assert not (project / "out/tests/t/fails.t/3.log").exists()
    assert "t/dies.t: it died with exit code 255, after 1 of 4 checks, in 'TEST 1: comes to no end'\n" in told
    assert "  | in the middle of it at t/dies.t line 2." in told
    assert "t/hangs.t: it took longer than 8 s and was ended with all its processes, after 0 checks, in 'TEST 1: waits for ever'\n" in told
    assert re.search(r"  \| .* \[warn\] .*: asleep, client: 127\.0\.0\.1", told)
    assert told.splitlines()[-4:-2] == ["files   1 passed, 3 failed, 1 skipped", "blocks  4 passed, 3 failed"]
    suites = {each.get("name"): each for each in ET.parse(report).getroot()}
    assert {name: (each.get("failures"), each.get("errors")) for name, each in suites.items()} == {
        "t/passes.t": ("0", "0"), "t/fails.t": ("1", "0"), "t/dies.t": ("0", "2"), "t/hangs.t": ("0", "2"), "t/skips.t": ("0", "0"),
    }  # fmt: skip
    assert "a word for the log" in suites["t/fails.t"].findtext("testcase/system-err", "")


def test_a_report_that_cannot_be_written_costs_no_result(project: Path, component: Path) -> None:
    done = run(project, *TEST, str(component / "t"), str(component / "t/passes.t"), "--junit", "/dev/full")
    assert done.returncode == 5
    assert done.stdout.startswith("files   1 passed\nblocks  2 passed\n")
    assert done.stderr.endswith(
        "builder: /dev/full: the report cannot be written: No space left on device\n  next: free space or permissions there\n"
    )
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize(("pattern", "files", "blocks"), [
    ("says what|a library", (2, 0), {"passed": 2, "failed": 0, "skipped": 0, "left out": 3}),
    ("TEST 2: says", (0, 1), {"passed": 0, "failed": 1, "skipped": 0, "left out": 2}),
    ("fails.t$", (0, 1), {"passed": 2, "failed": 1, "skipped": 0, "left out": 0}),
])  # fmt: skip
def test_a_filter_runs_what_fits(pattern: str, files: tuple[int, int], blocks: dict[str, int], project: Path, component: Path) -> None:
    # A plan that is not a multiple of the number of blocks holds for whole files only.
    (component / "t/Helper.pm").write_text("package t::Helper;\nour $More = 5;\n1;\n")
    done = run(project, *TEST, str(component / "t"), "--filter", pattern, "--json")
    document = json.loads(done.stdout)
    Draft202012Validator(kinds.schema("test")).validate(document)
    found = document["data"]
    passed, failed = files
    assert found["counts"]["files"] == {"passed": passed, "failed": failed, "skipped": 0, "not run": 0}, done.stdout
    assert found["counts"]["blocks"] == blocks, done.stdout
    assert done.returncode == (1 if failed else 0)


def test_a_plan_that_is_not_kept_fails_the_file(project: Path, component: Path) -> None:
    (component / "t/Helper.pm").write_text("package t::Helper;\nour $More = 5;\n1;\n")
    done = run(project, *TEST, str(component / "t"), str(component / "t/passes.t"), "--json")
    assert done.returncode == 1
    (file,) = json.loads(done.stdout)["data"]["files"]
    assert file["trouble"].startswith("it died with exit code 255, after ")
    assert "# Looks like you planned " in (project / "out/tests/t/passes.t/output.tap").read_text()


def test_files_have_no_network_and_ports_of_their_own(project: Path, component: Path) -> None:
    shutil.rmtree(component / "t")
    (component / "t").mkdir()
    for name in "ab":
        (component / f"t/{name}.t").write_text(
            "use Test::More tests => 3; use IO::Socket::INET;\n"
            "my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $ENV{TEST_NGINX_PORT});\n"
            "ok $server, 'the port is free';\nsleep 2;\n"
            "ok !IO::Socket::INET->new(PeerAddr => '192.0.2.1:80', Timeout => 5), 'nobody is out there';\n"
            "ok !open(my $file, '>', 't/x'), 'the suite cannot be written';\n"
        )
    done = run(project, *TEST, str(component / "t"), "--jobs", "2", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["data"]["counts"]["checks"]["passed"] == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_ends_all_processes(number: signal.Signals, project: Path, component: Path) -> None:
    (component / "t/hangs.t").write_text(HANGS % f"60.{int(number)}")
    command = start(project, *TEST, str(component / "t"), "--filter", "hangs.t$")
    processes = started(command, SERVER)
    command.send_signal(number)
    out, err = command.communicate(timeout=10)
    until_gone(processes)
    if number == signal.SIGINT:
        assert (command.returncode, out) == (130, "")
        assert err.endswith("builder: interrupted; finished builds stay, tests begin again\n")
        assert "testing t/hangs.t: interrupted, " in err


def test_a_file_whose_nginx_does_not_start_is_given_up_soon(project: Path, component: Path) -> None:
    (component / "t/starts-not.t").write_text(DOES_NOT_START)
    before = time.monotonic()
    done = run(project, *TEST, str(component / "t"), "--filter", "starts-not.t$", "--json")
    assert time.monotonic() - before < 40
    (file,) = json.loads(done.stdout)["data"]["files"]
    assert done.returncode == 1
    assert "nginx does not run after 10 s of tries" in file["trouble"]
    log = project / "out/tests" / file["blocks"][0]["log"]
    assert 'unknown directive "no_such_directive"' in log.read_text()


def test_a_resolver_is_named(project: Path, component: Path) -> None:
    (component / "t/resolves.t").write_text(RESOLVES)
    assert run(project, *TEST, str(component / "t"), "--filter", "resolves.t$").returncode == 0


def test_an_interrupt_shows_what_had_ended(project: Path, component: Path) -> None:
    words = [str(component / "t"), str(component / "t/passes.t"), str(component / "t/fails.t"), str(component / "t/hangs.t"), "--jobs", "2"]
    command = start(project, *TEST, *words)
    assert command.stderr is not None
    ended: set[str] = set()
    while ended != {"passes", "fails"}:
        line = command.stderr.readline()
        assert line, "it ended by itself"
        ended |= {name for name in ("passes", "fails") if re.match(rf"testing t/{name}\.t: (passed|1 of)", line)}
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=10)
    assert command.returncode == 130
    assert err.endswith("builder: interrupted; finished builds stay, tests begin again\n")
    assert "failed\n  t/fails.t: TEST 2: says something else - and logs it\n" in out
    assert "files   1 passed, 1 failed, 1 not run\n" in out
    assert "a word for the log" in (project / "out/tests/t/fails.t/2.log").read_text()


@pytest.mark.parametrize(("words", "message"), [
    (["--filter", "nothing like it"], "builder: --filter nothing like it: no file's name and no block's title fits\n"),
    (["--image", "openresty"], "builder: image openresty: the image has no perl on its PATH\n"
     "  next: take an image with the programs that Test::Nginx needs, such as gateway-test\n"),
    (["--junit", "none/report.xml"], "builder: --junit none/report.xml: there is no such directory\n"),
    (["--image", "nothing"], "builder: there is no image 'nothing'\n"),
])  # fmt: skip
def test_bad_arguments(words: list[str], message: str, project: Path, component: Path) -> None:
    done = run(project, *TEST, str(component / "t"), *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_what_is_unpacked_is_used_again_and_old_states_go(project: Path, component: Path) -> None:
    run(project, *TEST, str(component / "t"), str(component / "t/skips.t"))
    before = os.listdir(project / "out/rootfs")
    run(project, *TEST, str(component / "t"), str(component / "t/skips.t"))
    assert os.listdir(project / "out/rootfs") == before
    assert len([each for each in before if each.startswith("gateway-test-")]) == 1
