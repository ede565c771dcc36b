"""Where the gateway runs: the image's root file system with the checkout's Lua in place of the image's own. Data first.

    /                                      the image, read-only
    /usr/local/openresty/site/lualib/
      gateway/                             the checkout's lua/gateway, read-only, as it is at any time
      resty/                               out/run/resty: the image's, with the checkout's lua/embedded/resty over it
    /etc/gateway                           out/run/conf: the checkout's lua/conf, with
    listen/ and main.d/workers.conf as the
                                           command line says
    /policy                                the directory of the policy file, read-only: a file that is replaced is seen
    the user's home                        out/run/home: nginx's process id and temporary files
    /tmp, /dev/shm                         writable, in memory

The files in out/run/ are copied at the start and at a reload. The network is the machine's:
other machines can ask the gateway, and it reaches all that this machine reaches.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from builder.base import textfile, within
from builder.base.environment import BASE_FILES
from builder.base.errors import UsageError
from builder.recipe.recipe import Limits
from builder.run.rootfs import Rootfs
from builder.run.serving.listening import Listening
from builder.sandbox import Mount, SandboxSpec, plan_mounts, tree_listing
from builder.store.remove import remove_tree

CONF = "/etc/gateway"
POLICY = "/policy"
OPEN_FILES = 65536
FOLDERS = ("home", "conf", "resty")  # those written below out/run/, and below the trial in it
TRIAL = "trial"
_GATEWAY, _EMBEDDED = "lua/gateway", "lua/embedded/resty"
# Directory of the checkout -> directory of the image.
LUA = {_GATEWAY: "/usr/local/openresty/site/lualib/gateway", _EMBEDDED: "/usr/local/openresty/site/lualib/resty"}
_SOURCE = "lua/conf"
_LISTEN = "listen"
_MAIN = "main.d"


class Place(Struct, frozen=True, kw_only=True):
    """checkout: the project's directory. folder: out/run. policy: the policy file. workers: how many, 0 for what the
    configuration says. stand_ins: directories of the checkout that are shown in place of the image's, see `LUA`."""

    checkout: str
    folder: str
    rootfs: Rootfs
    policy: str
    listening: Listening
    workers: int = 0
    inherited: Mapping[str, str]
    stand_ins: tuple[str, ...]

    @property
    def home(self) -> str:
        """The directory of the host that is the home of the image's user."""
        return os.path.join(self.folder, "home")

    @property
    def conf(self) -> str:
        return os.path.join(self.folder, "conf")

    @property
    def _resty(self) -> str:
        return os.path.join(self.folder, "resty")

    def trial(self) -> "Place":
        """A place like this one to try in, without the machine's network: with files of its own, on a loopback."""
        return replace(self, folder=os.path.join(self.folder, TRIAL), listening=self.listening.loopback)

    def spec(self, *words: str, network: bool = True) -> SandboxSpec:
        """The sandbox of the image's command with more words after it."""
        account = self.rootfs.account()
        files = {"/etc/hosts": BASE_FILES["/etc/hosts"]}
        mounts = [
            Mount(self.home, account.home, writable=True),
            Mount(self.conf, CONF),
            Mount(os.path.dirname(self.policy), POLICY),
            *(
                Mount(self._resty if each == _EMBEDDED else os.path.join(self.checkout, each), LUA[each])
                for each in self.stand_ins
            ),
        ]
        plan = plan_mounts(
            [tree_listing(self.rootfs.root, "the image")], taken=(*files, *(each.target for each in mounts))
        )
        return SandboxSpec(
            mounts=(*plan.mounts, *mounts),
            links=plan.links,
            folders=plan.folders,
            files=files,
            argv=(*self.rootfs.command, *words),
            env=self._env(account.home),
            workdir="/",
            uid=account.uid,
            gid=account.gid,
            limits=Limits(memory=1 << 20, processes=4096),
            network=network,
            open_files=OPEN_FILES,
            as_caller=True,
        )

    def _env(self, home: str) -> dict[str, str]:
        return {
            **self.rootfs.env, "HOME": home, "LANG": "C", "TZ": "UTC", **self.inherited,
            "NEW_POLICY_PATH": f"{POLICY}/{os.path.basename(self.policy)}", "GATEWAY_PORTS": self.listening.rules(),
        }

    def write(self) -> None:
        """Bring out/run up to date with the checkout and the command line.

        The directories in it stay, since a running sandbox shows them.

        Raises:
            UsageError: a link in the checkout leads out of it, and the gateway would be given what lies there.
        """
        _require_inside(self.checkout)
        os.makedirs(self.home, exist_ok=True)
        _emptied(self.conf)
        self._write_conf()
        if _EMBEDDED in self.stand_ins:
            _emptied(self._resty)
            within.copy(self.rootfs.host_path(LUA[_EMBEDDED]), self._resty)
            within.copy(os.path.join(self.checkout, _EMBEDDED), self._resty, follow=True)

    def _write_conf(self) -> None:
        """The checkout's files and directories; of the directories only those that the image
        has, since only such an nginx understands what is in them, and all of those: the
        content of a feature's directory (stream.d) is the recipe's and not the checkout's."""
        own, theirs = os.path.join(self.checkout, _SOURCE), self.rootfs.host_path(CONF)
        with os.scandir(own) as found:
            for entry in found:
                if entry.is_file():
                    shutil.copyfile(entry.path, os.path.join(self.conf, entry.name))
        with os.scandir(theirs) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    edited = os.path.join(own, entry.name)
                    source = edited if os.path.isdir(edited) else entry.path
                    within.copy(source, os.path.join(self.conf, entry.name))
        self._write(_LISTEN, self.listening.files())
        if self.workers:
            self._write(_MAIN, {"workers.conf": f"worker_processes {self.workers};\n"})

    def _write(self, folder: str, texts: Mapping[str, str]) -> None:
        os.makedirs(os.path.join(self.conf, folder), exist_ok=True)
        for name, text in texts.items():
            with textfile.new(os.path.join(self.conf, folder, name)) as file:
                file.write(text)

    def lua_files(self) -> Iterator[str]:
        """The paths, in the sandbox, of all Lua files of the checkout that are shown there."""
        for each in self.stand_ins:
            top = os.path.join(self.checkout, each)
            for folder, _, files in within.walk(top):
                for name in sorted(files):
                    if name.endswith(".lua"):
                        yield os.path.join(LUA[each], os.path.relpath(os.path.join(folder, name), top))


def _require_inside(checkout: str) -> None:
    for link in (link for each in (_SOURCE, *LUA) for link in within.links(os.path.join(checkout, each))):
        if away := within.leads_out(checkout, link):
            hint = "put the file itself in its place: files outside are not the gateway's"
            raise UsageError(f"it is a link out of the project, to {away}", where=link, hint=hint)


def _emptied(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    for each in os.listdir(folder):
        remove_tree(os.path.join(folder, each))


def stand_ins(checkout: str, rootfs: Rootfs) -> tuple[str, ...]:
    """The directories of the checkout that the image was made with: it has every Lua file of them, with the same bytes.

    A profile with other libraries has other files, and keeps them.
    """
    return tuple(each for each, target in LUA.items() if _is_in(os.path.join(checkout, each), rootfs.host_path(target)))


def _is_in(own: str, theirs: str) -> bool:
    found = [
        os.path.join(folder, name) for folder, _, files in within.walk(own) for name in files if name.endswith(".lua")
    ]
    return bool(found) and all(_is_same(each, os.path.join(theirs, os.path.relpath(each, own))) for each in found)


def _is_same(one: str, other: str) -> bool:
    return os.path.isfile(other) and filecmp.cmp(one, other, shallow=False)


def check(rootfs: Rootfs, image: str) -> None:
    """Raises UsageError when the image is no gateway's, or starts something else (as gateway-test does)."""
    main = f"{CONF}/nginx.conf"
    if not rootfs.has(main):
        raise UsageError(f"the image has no {main}: it is no gateway", where=f"image {image}", hint="leave out --image")
    if main not in rootfs.command:
        raise UsageError(
            f"the image's command does not start nginx with {main}", where=f"image {image}", hint="leave out --image"
        )
