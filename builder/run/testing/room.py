"""The sandbox of a test file: the image's root file system, the suite, and a directory for
the server. Data, nothing runs.

    /            the image, read-only
    /suite       the suite's top, read-only; files are run from here, as `t/config.t`
    /build       writable: servroot/ (the server's root), logs/ (error logs of failed
    blocks), lib/ (the marks, see marks.pm) /tmp         writable, in memory

The user is the image's own, a plain one. There is no network but a loopback of its own, so all ports
are free: every file has the ports that Test::Nginx has by default, beside those of other files.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from builder.base.environment import BASE_FILES, BUILD
from builder.recipe.recipe import Limits
from builder.run.rootfs import Rootfs
from builder.run.testing.files import UNIT_CONF, Suite, TestFile
from builder.sandbox import Mount, SandboxSpec, plan_mounts, tree_listing

SUITE = "/suite"
PORT = 1984
OPEN_FILES = 65536
SERVROOT = "servroot"
LOGS = "logs"
_MARKS = "Builder::Marks"
# `resolver local=on` of OpenResty's nginx wants the file to exist; no name server answers in the sandbox.
_RESOLVER = "nameserver 127.0.0.1\n"


class Room(Struct, frozen=True, kw_only=True):
    """Where the files of a suite run. shown: the directory that stands for the suite's own,
    which a filter may have made.

    inherited: variables of the caller that suites read (TEST_NGINX_...). limits: of each file.
    """

    rootfs: Rootfs
    suite: Suite
    shown: str
    nginx: str
    perl: str
    limits: Limits
    inherited: Mapping[str, str]

    def spec(self, file: TestFile, work: str) -> SandboxSpec:
        """The sandbox of one file; `work` is the directory of the host that becomes /build."""
        account = self.rootfs.account()
        files = {"/etc/hosts": BASE_FILES["/etc/hosts"]}
        if not self.rootfs.has("etc/passwd"):
            files = dict(BASE_FILES)
        if not self.rootfs.has("etc/resolv.conf"):
            files["/etc/resolv.conf"] = _RESOLVER
        plan = plan_mounts([tree_listing(self.rootfs.root, "the image")], taken=(*files, SUITE))
        links, mounts = self._suite()
        return SandboxSpec(
            mounts=(*plan.mounts, *mounts, Mount(work, BUILD, writable=True)),
            links={**plan.links, **links},
            folders=plan.folders,
            files=files,
            argv=self._argv(file),
            env=self._env(file),
            workdir=SUITE,
            uid=account.uid,
            gid=account.gid,
            limits=self.limits,
            open_files=OPEN_FILES,
            as_caller=True,
        )

    def _suite(self) -> tuple[dict[str, str], list[Mount]]:
        """The suite's top, entry by entry, because its directory of test files may be another one."""
        own = Mount(self.shown, f"{SUITE}/{self.suite.folder}")
        if not self.suite.whole:
            return {}, [own]
        links: dict[str, str] = {}
        mounts = [own]
        with os.scandir(self.suite.top) as found:
            for entry in found:
                if entry.name == self.suite.folder:
                    continue
                if entry.is_symlink():
                    links[f"{SUITE}/{entry.name}"] = os.readlink(entry.path)
                elif entry.is_dir() or entry.is_file():
                    mounts.append(Mount(entry.path, f"{SUITE}/{entry.name}"))
        return links, mounts

    def _argv(self, file: TestFile) -> tuple[str, ...]:
        if file.is_unit:
            conf = f"{SUITE}/{self.suite.folder}/{UNIT_CONF}"
            return (self.nginx, "-p", f"{BUILD}/{SERVROOT}/", "-e", "stderr", "-c", conf)
        folders = (
            f"{BUILD}/lib",
            f"{SUITE}/{self.suite.folder}",
            f"{SUITE}/{self.suite.folder}/lib",
            f"{SUITE}/lib",
            SUITE,
        )
        return (self.perl, *(f"-I{each}" for each in folders), f"-M{_MARKS}", file.name)

    def _env(self, file: TestFile) -> dict[str, str]:
        found = {
            **self.rootfs.env,
            "HOME": BUILD,
            "LANG": "C",
            "TZ": "UTC",
            "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
            "TEST_NGINX_NO_SHUFFLE": "1",
            "TEST_NGINX_PORT": str(PORT),
            **self.inherited,
            "TEST_NGINX_BINARY": self.nginx,
            "TEST_NGINX_SERVROOT": f"{BUILD}/{SERVROOT}",
            "BUILDER_LOGS": f"{BUILD}/{LOGS}",
        }
        if file.is_unit:
            found["UNIT_FILE"] = f"{SUITE}/{file.name}"
        if file.text is not None:
            found["BUILDER_FILTERED"] = "1"
        return found


def furnish(work: str, file: TestFile, marks: str) -> None:
    """Make the files that a test file finds in its /build. marks: text of the Perl module."""
    folders: Sequence[str] = (LOGS, "lib/Builder", f"{SERVROOT}/logs") if file.is_unit else (LOGS, "lib/Builder")
    for each in folders:
        os.makedirs(os.path.join(work, each))
    with open(os.path.join(work, "lib", "Builder", "Marks.pm"), "w", encoding="utf-8") as target:
        target.write(marks)
