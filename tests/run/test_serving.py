"""`builder run`: where it listens, what stands in the sandbox, who runs, and the processes of a sandbox."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from deep import nested
from msgspec.structs import replace

from builder.base.errors import RefusedError, UsageError
from builder.cli import main
from builder.run.rootfs import Rootfs
from builder.run.serving import Instance, Listener, Listening, Place, claim, running, service, tree
from builder.run.serving.place import check, stand_ins
from builder.run.serving.service import require_free, wait_until_ready
from builder.run.serving.tree import Process
from builder.sandbox import describe

LISTENING = Listening(address="127.0.0.1", http=(Listener(8080, 80), Listener(8081, 81)), https=(Listener(8443, 443),), status=1936)


# ---- listening


def test_listen_directives_and_the_ports_of_the_policy() -> None:
    assert dict(LISTENING.files()) == {
        "http.conf": "listen 127.0.0.1:8080;\nlisten 127.0.0.1:8081;\n", "https.conf": "listen 127.0.0.1:8443 ssl;\n",
        "status.conf": "listen 127.0.0.1:1936;\n",
    }  # fmt: skip
    assert LISTENING.rules() == "8080=80,8081=81,8443=443"
    assert LISTENING.urls() == [
        "http://127.0.0.1:8080/  (rules of port 80)", "http://127.0.0.1:8081/  (rules of port 81)",
        "https://127.0.0.1:8443/  (rules of port 443)", "http://127.0.0.1:1936/status",
    ]  # fmt: skip


def test_ipv6_addresses_get_brackets() -> None:
    found = Listening(address="::1", http=(Listener(8080, 80),), https=(Listener(8443, 443),), status=1936)
    assert found.files()["status.conf"] == "listen [::1]:1936;\n"


def test_wrong_addresses_and_ports_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        Listening(address="localhost", http=(Listener(1, 80),), https=(Listener(2, 443),), status=3)
    assert str(error.value) == "--listen: 'localhost' is no IP address\n  next: such as 127.0.0.1, or 0.0.0.0 for all of IPv4"
    with pytest.raises(UsageError, match="port 8080 is named twice"):
        Listening(address="::", http=(Listener(8080, 80),), https=(Listener(8080, 443),), status=3)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_named(taken: int) -> None:
    listening = Listening(address="127.0.0.1", http=(Listener(taken, 80),), https=(Listener(taken ^ 1, 443),), status=taken ^ 2)
    with pytest.raises(RefusedError) as error:
        require_free(listening)
    assert str(error.value).splitlines()[0] == f"127.0.0.1:{taken}: nothing can listen there: Address already in use"
    assert wait_until_ready(listening, lambda: False, 0.2) == [taken ^ 1, taken ^ 2]
    assert wait_until_ready(listening, lambda: True, 60) == [taken, taken ^ 1, taken ^ 2]


def test_a_port_below_the_lowest_is_said_to_be_one(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a plain user, too, whom the kernel refuses it."""
    monkeypatch.setattr(service, "_lowest_port", lambda: taken + 1)
    listening = Listening(address="127.0.0.1", http=(Listener(taken, 80),), https=(Listener(taken + 1, 443),), status=taken + 2)
    with pytest.raises(RefusedError, match=f"only root outside of the sandbox can listen on port {taken}"):
        require_free(listening)


@pytest.mark.parametrize(("address", "loopback"), [("192.0.2.2", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("2001:db8::1", "::1")])
def test_the_loopback_of_an_address(address: str, loopback: str) -> None:
    assert replace(LISTENING, address=address).loopback == replace(LISTENING, address=loopback)


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    """As nohup(1) has it: the terminal goes, the gateway stays."""
    told: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with service.signals(lambda number, _: told.append(number)):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert signal.signal(signal.SIGHUP, signal.SIG_DFL) is signal.SIG_IGN
        with service.signals(lambda number, _: told.append(number)):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert told == [signal.SIGTERM, signal.SIGHUP]


# ---- the place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    checkout, root = tmp_path / "checkout", tmp_path / "root"
    for folder, files in {
        checkout: {
            "lua/gateway/init.lua": "1", "lua/gateway/http/x.lua": "2", "lua/embedded/resty/lock.lua": "3",
            "lua/conf/nginx.conf": "main", "lua/conf/listen/http.conf": "listen 80;", "lua/conf/main.d/workers.conf": "auto",
            "lua/conf/stream.d/stream.conf": "stream",
        },
        root: {
            "usr/local/openresty/site/lualib/gateway/init.lua": "1", "usr/local/openresty/site/lualib/gateway/http/x.lua": "2",
            "usr/local/openresty/site/lualib/resty/lock.lua": "3", "usr/local/openresty/site/lualib/resty/cookie.lua": "4",
            "etc/gateway/nginx.conf": "main",
            "etc/gateway/listen/http.conf": "", "etc/gateway/main.d/workers.conf": "", "bin/sh": "",
            "etc/passwd": "nginx:x:101:101:nginx:/run/openresty:/bin/sh\n",
        },
    }.items():  # fmt: skip
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    rootfs = Rootfs(root=str(root), env={"PATH": "/bin", "NEW_POLICY_PATH": "/x"}, command=("/nginx", "-g", "daemon off;"), user="nginx")
    return Place(
        checkout=str(checkout), folder=str(tmp_path / "run"), rootfs=rootfs, policy=str(tmp_path / "policies/p.json"),
        listening=LISTENING, inherited={}, stand_ins=stand_ins(str(checkout), rootfs),
    )  # fmt: skip


def test_the_checkout_stands_in_for_what_the_image_was_made_with(place: Place) -> None:
    assert place.stand_ins == ("lua/gateway", "lua/embedded/resty")
    assert sorted(place.lua_files()) == [
        "/usr/local/openresty/site/lualib/gateway/http/x.lua", "/usr/local/openresty/site/lualib/gateway/init.lua",
        "/usr/local/openresty/site/lualib/resty/lock.lua",
    ]  # fmt: skip


def test_libraries_of_another_profile_stay(place: Place) -> None:
    library = Path(place.rootfs.root) / "usr/local/openresty/site/lualib/resty/lock.lua"
    library.write_text("of another profile")
    assert stand_ins(place.checkout, place.rootfs) == ("lua/gateway",)
    library.unlink()
    assert stand_ins(place.checkout, place.rootfs) == ("lua/gateway",)


@pytest.mark.parametrize("at_work", [claim, running])
def test_a_link_in_place_of_the_lock_makes_no_file(at_work: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError, match="run/lock: it is a link"), ExitStack() as stack:
        stack.enter_context(at_work(str(tmp_path / "run")))
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("path", ["lua/conf/key", "lua/embedded/resty/keys", "lua/conf/listen/http.conf"])
def test_links_out_of_the_checkout_are_refused(place: Place, path: str, tmp_path: Path) -> None:
    """Their files would be given to the gateway, which has the network, or be written to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "id").write_text("secret")
    link = Path(place.checkout) / path
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(outside if path.endswith("keys") else outside / "id")
    with pytest.raises(UsageError, match=f"is a link out of the project, to {outside}"):
        place.write()
    assert (outside / "id").read_text() == "secret"
    link.unlink()
    place.write()


def test_a_link_of_the_checkout_is_not_written_through(place: Place) -> None:
    own = Path(place.checkout) / "lua/conf/nginx.conf"
    text = own.read_text()
    link = Path(place.checkout) / "lua/conf/listen/http.conf"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(own)
    place.write()
    assert own.read_text() == text
    assert Path(place.conf, "listen/http.conf").read_text() == LISTENING.files()["http.conf"]


def test_libraries_of_the_checkout_lie_over_the_images(place: Place) -> None:
    (Path(place.checkout) / "lua/embedded/resty/lock.lua").write_text("edited")
    (Path(place.checkout) / "lua/embedded/resty/new.lua").write_text("new")
    place.write()
    assert {path.name: path.read_text() for path in Path(place.folder, "resty").iterdir()} == {
        "lock.lua": "edited", "new.lua": "new", "cookie.lua": "4",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["lua/embedded/resty/deep", "lua/conf/main.d/deep"])
def test_directories_nested_deep_are_copied(place: Place, path: str) -> None:
    with nested(Path(place.checkout, path), Path(place.folder)) as lowest:
        (lowest / "x.lua").write_text("x")
        place.write()
        copied = Path(place.folder, path.replace("lua/embedded/", "").replace("lua/", ""))
        assert os.path.isfile(copied / os.path.relpath(lowest, Path(place.checkout, path)) / "x.lua")


def test_a_file_of_the_checkout_replaces_a_link_of_the_image(place: Place, tmp_path: Path) -> None:
    """It is not written to where the link leads on the host."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    library = Path(place.rootfs.root) / "usr/local/openresty/site/lualib/resty/lock.lua"
    library.unlink()
    library.symlink_to(outside)
    place.write()
    assert outside.read_text() == "mine"
    assert Path(place.folder, "resty/lock.lua").read_text() == "3"


def test_the_sandbox_of_the_gateway(place: Place) -> None:
    spec = place.spec("-t")
    lines = describe(spec)
    here = os.path.dirname(place.folder)
    for line in (
        f"read-only /policy is {here}/policies", f"read-only /etc/gateway is {place.folder}/conf",
        f"writable  /run/openresty is {place.folder}/home",
        f"read-only /usr/local/openresty/site/lualib/gateway is {here}/checkout/lua/gateway",
        f"read-only /usr/local/openresty/site/lualib/resty is {place.folder}/resty",
        "network   the machine's", "variable  NEW_POLICY_PATH=/policy/p.json", "runs      /nginx -g 'daemon off;' -t",
        "user      101:101 on host builder, umask 0022",
    ):  # fmt: skip
        assert line in lines
    assert [line for line in lines if line.startswith("writable")] == [
        f"writable  /run/openresty is {place.folder}/home", "writable  /tmp and /dev/shm, empty, in memory",
    ]  # fmt: skip
    assert not place.spec(network=False).network


def test_the_configuration_is_the_checkouts_but_for_where_it_listens(place: Place) -> None:
    place.write()
    conf = Path(place.conf)
    inode = conf.stat().st_ino
    assert (conf / "nginx.conf").read_text() == "main"
    assert (conf / "listen/http.conf").read_text() == "listen 127.0.0.1:8080;\nlisten 127.0.0.1:8081;\n"
    assert (conf / "main.d/workers.conf").read_text() == "auto"
    assert not (conf / "stream.d").exists(), "the image has no stream module"
    (Path(place.checkout) / "lua/conf/nginx.conf").unlink()
    (Path(place.checkout) / "lua/conf/new.conf").write_text("new")
    place.write()
    assert sorted(os.listdir(conf)) == ["listen", "main.d", "new.conf"]
    assert conf.stat().st_ino == inode, "a running sandbox shows this very folder"


def test_a_folder_of_the_configuration_that_a_feature_makes_is_the_images(place: Place) -> None:
    """stream.d is no folder of the checkout: the recipe makes it where nginx has the stream Lua module."""
    shutil.rmtree(Path(place.checkout) / "lua/conf/stream.d")
    made = Path(place.rootfs.root) / "etc/gateway/stream.d"
    made.mkdir()
    (made / "stream.conf").symlink_to("../stream.conf")
    place.write()
    assert os.readlink(Path(place.conf) / "stream.d/stream.conf") == "../stream.conf"


def test_a_link_of_the_image_does_not_lead_to_the_host(place: Place, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.lua").write_text("of the host")
    (Path(place.rootfs.root) / "usr/local/openresty/site/lualib/resty/link.lua").symlink_to(tmp_path / "secret/key.lua")
    (Path(place.rootfs.root) / "etc/gateway/linked").symlink_to(tmp_path / "secret")
    place.write()
    assert "of the host" not in [path.read_text() for path in Path(place.folder).rglob("*") if path.is_file() and not path.is_symlink()]


def test_a_trial_leaves_the_files_of_the_running_one_alone(place: Place) -> None:
    place.write()
    (Path(place.checkout) / "lua/conf/nginx.conf").write_text("edited")
    trial = replace(place, listening=replace(LISTENING, address="192.0.2.2")).trial()
    trial.write()
    assert (Path(place.conf) / "nginx.conf").read_text() == "main"
    lines = describe(trial.spec(network=False))
    assert f"writable  /run/openresty is {place.folder}/trial/home" in lines
    assert f"read-only /etc/gateway is {place.folder}/trial/conf" in lines
    assert (Path(trial.conf) / "nginx.conf").read_text() == "edited"
    assert (Path(trial.conf) / "listen/status.conf").read_text() == "listen 127.0.0.1:1936;\n", "the only address of a sandbox"


def test_the_number_of_workers(place: Place) -> None:
    replace(place, workers=3).write()
    assert (Path(place.conf) / "main.d/workers.conf").read_text() == "worker_processes 3;\n"


def test_an_image_without_a_gateway_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"image openresty: the image has no /etc/gateway/nginx\.conf: it is no gateway"):
        check(Rootfs(root=str(tmp_path), env={}, command=("/nginx",), user=""), "openresty")


def test_an_image_that_starts_something_else_is_refused(place: Place) -> None:
    image = replace(place.rootfs, command=("/nginx", "-c", "/etc/gateway/nginx.conf"))
    check(image, "gateway")
    with pytest.raises(UsageError) as error:
        check(replace(image, command=("/bin/sh",)), "gateway-test")
    assert str(error.value) == (
        "image gateway-test: the image's command does not start nginx with /etc/gateway/nginx.conf\n  next: leave out --image"
    )


# ---- the command line


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy" / "p.json"
    path.parent.mkdir()
    path.write_text("{}")
    return path


@pytest.mark.parametrize(("words", "message"), [
    (["--policy", "policy"], "policy: it is a directory\n  next: name the policy file: docs/gateway.md describes it\n"),
    (["--policy", "none"], "none: there is no such policy file\n  next: name the policy file: docs/gateway.md describes it\n"),
    (["--policy", "out.json"], "out.json: it is a link out of its directory, and the gateway sees that alone\n"
     "  next: name the file that it leads to: HERE/policy/p.json\n"),
    (["--policy", "absolute.json"], "absolute.json: it is a link out of its directory, and the gateway sees that alone\n"
     "  next: name the file that it leads to: HERE/policy/p.json\n"),
    (["--policy", "policy/p.json", "--listen", "here"], "--listen: 'here' is no IP address\n"
     "  next: such as 127.0.0.1, or 0.0.0.0 for all of IPv4\n"),
    (["--policy", "policy/p.json", "--port", "1936"], "port 1936 is named twice\n  next: give each listener a port of its own\n"),
    (["--reload", "--policy", "policy/p.json", "--port", "1:80"], "--policy --port: a reload takes edits under lua/, "
     "and changes nothing else\n"
     "  next: leave it out; for another policy replace the file, for the rest end the gateway and start it anew\n"),
    (["--reload", "--status-port", "1", "--listen", "::", "--profile", "upstream"], "--status-port --listen --profile: a reload takes "
     "edits under lua/, and changes nothing else\n"
     "  next: leave it out; for another policy replace the file, for the rest end the gateway and start it anew\n"),
])  # fmt: skip
def test_a_useless_command_line_is_refused_before_anything_is_built(
    words: list[str], message: str, policy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = policy.parent.parent
    (here / "out.json").symlink_to(f"../{here.name}/policy/p.json")
    (here / "absolute.json").symlink_to(policy)
    monkeypatch.chdir(here)
    assert main.run(["run", *words]) == 2
    assert capsys.readouterr().err.replace(str(here), "HERE") == f"builder: {message}"


# ---- processes


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_process_is_known_by_its_start(sleeper: "subprocess.Popen[bytes]") -> None:
    found = tree.process(sleeper.pid)
    assert found is not None
    assert found.alive()
    assert not Process(found.pid, found.started - 1).alive()
    assert not Process(found.pid, found.started - 1).send(signal.SIGKILL)
    assert found.send(signal.SIGTERM)
    assert sleeper.wait() == -signal.SIGTERM
    assert (found.alive(), found.send(signal.SIGTERM), tree.process(found.pid)) == (False, False, None)


def test_the_command_of_a_sandbox_is_found_below_it() -> None:
    # As builder, launcher and init are above it.
    chain = "import subprocess as s, sys; s.run([sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
    argv = ["python3", "-c", chain, chain, chain, "import time; time.sleep(60)"]
    with subprocess.Popen(argv) as process:
        deadline = time.monotonic() + 20
        while (found := tree.command_below(process.pid)) is None or not _sleeps(found.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert tree.children(process.pid) != set()
        found.send(signal.SIGKILL)
        process.wait()


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2:3] == [b"import time; time.sleep(60)"]


# ---- who runs


@pytest.fixture
def instance(place: Place) -> Instance:
    own = tree.process(os.getpid())
    assert own is not None
    return Instance(builder=own, nginx=own, tools="/tools", place=place)


def test_an_instance_survives_a_round_trip(instance: Instance) -> None:
    assert Instance.from_dict(json.loads(json.dumps(instance.to_dict()))) == instance


def test_one_runs_at_a_time_and_is_found(instance: Instance) -> None:
    folder = instance.place.folder
    with pytest.raises(RefusedError, match="no gateway of this project runs\n  next: start it: builder run --policy FILE"):
        running(folder)
    with claim(folder):
        with pytest.raises(RefusedError, match="the gateway of this project is just starting, or ending"):
            running(folder)
        instance.write()
        assert running(folder) == instance
        with pytest.raises(RefusedError) as error, claim(folder):
            pass
        assert str(error.value) == (
            f"{folder}: the gateway of this project runs already, process {os.getpid()}, at http://127.0.0.1:8080/\n"
            "  next: end it with Ctrl-C, or have it take what you edited: builder run --reload"
        )
        assert running(folder) == instance, "the refused one changed nothing"
    with pytest.raises(RefusedError, match="no gateway of this project runs"):
        running(folder)


def test_what_a_killed_one_left_is_not_taken_for_a_running_one(instance: Instance) -> None:
    folder = instance.place.folder
    os.makedirs(folder)
    instance.write()
    with pytest.raises(RefusedError, match="no gateway of this project runs"):
        running(folder)
    with claim(folder), pytest.raises(RefusedError, match="just starting"):
        running(folder)


def test_a_number_that_is_used_again_is_not_taken_for_nginx(instance: Instance) -> None:
    folder = instance.place.folder
    with claim(folder):
        Instance(builder=instance.builder, nginx=Process(os.getpid(), 1), tools="", place=instance.place).write()
        with pytest.raises(RefusedError, match=f"its nginx, process {os.getpid()}, has ended"):
            running(folder)
