"""A small project on disk, resolved and as if it had been built: recipes, lock and a real store that agree.

    image web:  nginx 1.26.3 (patched) -> openssl 3.5.7, zlib 1.3.1     profile embedded (outputs required)
    image more: cookie 0.1, on one forge only                          profile extra (outputs optional)

Builds are made up: each output is a small tree. Everything that is a digest is a real one, so whatever is changed by a
test is wrong against something.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from builder.audit import RULES, Finding, load, run
from builder.audit.context import Context
from builder.audit.rules import image_bytes, stale_output
from builder.fetch.wanted import unpack_key
from builder.image import compose
from builder.lock import text as lock_text
from builder.lock.lock import Lock, LockedOutput
from builder.recipe import project
from builder.recipe.project import Project
from builder.recipe.source import Source
from builder.resolve import relock
from builder.store import Record, Store
from builder.tree import nar

PLATFORM = "x86_64-linux-musl"
OTHER = "aarch64-linux-musl"

ARCHIVES = {
    "zlib-1.3.1.tar.gz": {"zlib.c": "deflate"},
    "zlib-1.3.tar.gz": {"zlib.c": "old deflate"},
    "openssl-3.5.7.tar.gz": {"ssl.c": "tls"},
    "nginx-1.26.3.tar.gz": {"src/nginx.c": "server"},
    "nginx_1.26.3-3.debian.tar.xz": {"debian/patches/fix.patch": "---", "debian/patches/series": "fix.patch"},
    "tools.deb": {"bin/sh": "dash"},
    "musl-1.2.5.tar.gz": {"libc.c": "libc"},
    "cookie-0.1.tar.gz": {"cookie.lua": "return {}"},
}
OUTPUTS = {
    "zlib": {"out": {"lib/libz.so": "zlib"}, "dev": {"include/zlib.h": "h"}},
    "openssl": {"out": {"lib/libssl.so": "ssl"}, "dev": {"include/ssl.h": "h"}},
    "nginx": {"out": {"sbin/nginx": "server: too many header lines"}, "debug": {"nginx.debug": "debug"}},
    "toolset": {"out": {"bin/sh": "dash"}},
    "musl": {"out": {"lib/ld-musl.so": "libc"}},
    "cookie": {"out": {"cookie.lua": "return {}"}},
}


def write_tree(folder: str | Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tree_of(files: Mapping[str, str]) -> str:
    """The digest of a tree of text files."""
    with tempfile.TemporaryDirectory() as folder:
        write_tree(folder, files)
        return nar.hash_tree(folder)


def pins(archive: str, *keys: str) -> dict[str, Any]:
    """Pins of one of the archives: all, or some."""
    data = ("archive " + archive).encode()
    files = ARCHIVES[archive]
    known = {
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "tree": tree_of(files),
        "unpacked": sum(map(len, files.values())), "entries": len(files) + len({os.path.dirname(each) for each in files}) - 1,
    }
    return {key: known[key] for key in keys or known}


def source(archive: str, *locations: str, keys: tuple[str, ...] = (), **more: object) -> str:
    """A [[version.source]] table."""
    rows: dict[str, object] = {"locations": list(locations), **pins(archive, *keys), **more}
    return "\n[[version.source]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in rows.items())


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def recipe(name: str, *versions: str, extra: str = "", build: str = "") -> str:
    """The text of a recipe; `versions` are version numbers, each followed by its tables."""
    made = build or 'style = "copy"\nfiles = { "a" = "lib/" }'
    pairs = zip(versions[::2], versions[1::2], strict=True)
    tables = "".join(f'[[version]]\nversion = "{version}"\n{tables}' for version, tables in pairs)
    return f'name = "{name}"\n{extra}[build]\n{made}\n{tables}'


def recipe_files() -> dict[str, str]:
    """Path -> text."""
    patches = """
[[version.patches]]
source = "debian"
[[version.patches.patch]]
path = "debian/patches/fix.patch"
string = "too many header lines"
"""
    zlib = [
        (version, source(
            f"zlib-{version}.tar.gz", f"https://zlib.net/zlib-{version}.tar.gz", f"mirror://debian/pool/zlib_{version}.orig.tar.gz"
        ))
        for version in ("1.3.1", "1.3")
    ]
    nginx = (
        source("nginx-1.26.3.tar.gz", "https://nginx.org/nginx-1.26.3.tar.gz", "https://mirror.example/nginx-1.26.3.tar.gz")
        + source("nginx_1.26.3-3.debian.tar.xz", "mirror://debian/pool/nginx_1.26.3-3.debian.tar.xz", name="debian", strip=0)
        + patches
    )
    openssl = source("openssl-3.5.7.tar.gz", "mirror://debian/pool/openssl_3.5.7.orig.tar.gz", keys=("sha256", "size"))
    tools = source("tools.deb", "pypi://tools/1/tools.deb", platform=PLATFORM, strip=0)
    musl = source("musl-1.2.5.tar.gz", "mirror://debian/pool/musl_1.2.5.orig.tar.gz")
    cookie = source(
        "cookie-0.1.tar.gz", "https://forge.example/a/archive/0.1.tar.gz", "https://forge.example/b/archive/0.1.tar.gz"
    )
    return {
        "recipes/zlib.toml": recipe("zlib", *(word for pair in zlib for word in pair)),
        "recipes/openssl.toml": recipe("openssl", "3.5.7", openssl, extra='requires = ["zlib"]\n'),
        "recipes/nginx.toml": recipe("nginx", "1.26.3", nginx, extra='requires = ["openssl", "zlib"]\n'),
        "recipes/tools/toolset.toml": recipe("toolset", "1", tools, extra='tools = ""\n', build='style = "prebuilt"'),
        "recipes/musl.toml": recipe("musl", "1.2.5", musl),
        "recipes/cookie.toml": recipe("cookie", "0.1", cookie),
        "recipes/images/web.toml": 'name = "web"\npackages = ["nginx"]\nprofiles = ["embedded"]\n',
        "recipes/images/more.toml": 'name = "more"\npackages = ["cookie"]\nprofiles = ["extra"]\n',
        "recipes/profiles/embedded.toml": 'name = "embedded"\nbase = ["musl"]\n',
        "recipes/profiles/extra.toml": 'name = "extra"\nbase = ["musl"]\noutputs = "optional"\n',
    }


class Sample(Struct):
    """The project in folder `root`. Tests change files or `lock`, then call `audit`."""

    root: Path
    store: Store

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, (path, old)
        self.write(path, text.replace(old, new, 1))

    @property
    def lock_text(self) -> str:
        return (self.root / "lock.toml").read_text()

    @property
    def lock(self) -> Lock:
        return lock_text.parse(self.lock_text)

    @lock.setter
    def lock(self, lock: Lock) -> None:
        self.write("lock.toml", lock_text.format(lock))

    def project(self) -> Project:
        return project.load(str(self.root))

    def resolve(self) -> None:
        """Write the lock anew from the recipes; what was measured is filled in as a fetch would."""
        before = self.lock if (self.root / "lock.toml").exists() else None
        lock = relock.relock(self.project(), before).lock
        packages = tuple(replace(each, sources=tuple(map(_measured, each.sources))) for each in lock.packages)
        self.lock = replace(lock, packages=packages)

    def change_source(self, name: str, **values: Any) -> None:
        """Change the first source of a locked package, and nothing else."""
        lock = self.lock
        self.lock = replace(lock, packages=tuple(
            replace(each, sources=(replace(each.sources[0], **values), *each.sources[1:])) if each.name == name else each
            for each in lock.packages
        ))

    def build(self) -> None:
        """Fill the store with archives and made-up outputs, and the lock with their digests, for the profile embedded."""
        for archive, files in ARCHIVES.items():
            Path(self.store.file_path(pins(archive)["sha256"])).write_bytes(("archive " + archive).encode())
            tree = self._add(files)
            for strip in (0, 1):
                key = unpack_key(Source(strip=strip), pins(archive)["sha256"])
                self.store.put_record(key, Record(trees={"out": tree}))
        for package in ("toolset", "musl", "zlib", "openssl", "nginx"):
            self._build(package)
        self._compose()

    def _build(self, name: str) -> None:
        context = self.context()
        plan = stale_output.plan_of(context, "embedded")
        locked = next(each for each in context.packages if each.name == name)
        key = plan.derive(locked.id).key
        trees = {output: self._add(files) for output, files in OUTPUTS[name].items()}
        self.store.put_record(key, Record(trees=trees))
        made = replace(locked, outputs={PLATFORM: LockedOutput(key=key, trees=trees)})
        lock = self.lock
        self.lock = replace(lock, packages=tuple(made if each.id == made.id else each for each in lock.packages))

    def _compose(self) -> None:
        context = self.context()
        image = context.images[0]
        request = stale_output.request_of(context, image)
        assert request is not None
        made = replace(image, outputs={PLATFORM: image_bytes.composed(context, request)})
        lock = self.lock
        self.lock = replace(lock, images=tuple(made if each.name == "web" else each for each in lock.images))

    def _add(self, files: Mapping[str, str]) -> str:
        with self.store.stage() as stage:
            write_tree(f"{stage}/tree", files)
            return self.store.add_tree(f"{stage}/tree")

    def context(self, **more: Any) -> Context:
        return load(str(self.root), store=self.store, platform=PLATFORM, **more)


def _measured(source: Source) -> Source:
    name = source.filename.replace("_", "-").replace(".orig", "")
    known = {each.replace("_", "-"): each for each in ARCHIVES}
    if name not in known:
        return source
    measured = {key: value for key, value in pins(known[name]).items() if getattr(source, key) is None}
    return replace(source, **measured)


def make(root: Path, store: Store) -> Sample:
    """A sample project below `root`, resolved and built."""
    sample = Sample(root, store)
    for path, text in recipe_files().items():
        sample.write(path, text)
    sample.resolve()
    sample.build()
    return sample


@contextmanager
def open_copy(template: Path, target: Path) -> Iterator[Sample]:
    """A copy of a sample project and its store, which `make` made in `template`."""
    shutil.copytree(template / "project", target / "project")
    shutil.copytree(template / "store", target / "store", copy_function=os.link)  # nothing there is written in place
    with Store(str(target / "store")) as store:
        yield Sample(target / "project", store)


def findings(project: Sample, **more: Any) -> list[Finding]:
    """What all rules find; `more` is for `builder.audit.load`."""
    return list(run(project.context(**more), RULES).findings)


def rows(project: Sample, **more: Any) -> list[tuple[str, str, str]]:
    """Rule, place and reason of each finding."""
    return [(each.rule, each.place, each.reason) for each in findings(project, **more)]


def only(project: Sample, **more: Any) -> tuple[str, str, str]:
    """The one finding: rule, place, reason."""
    found = rows(project, **more)
    assert len(found) == 1, found
    return found[0]


assert compose.FORMAT == 1, "layers are composed in a new way: see what the sample must know of it"
