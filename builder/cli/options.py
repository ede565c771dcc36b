"""A command line as one value: the arguments of all verbs, each with its default."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from builder.base import platform
from builder.cache.noop import Fingerprint


class Options(Struct, frozen=True, kw_only=True):
    """argv: the words themselves. taken: fingerprints that were taken before anything was read.

    Help explains each other one (`arguments`); a verb reads those that it takes.
    """

    argv: tuple[str, ...] = ()
    taken: Mapping[str, Fingerprint] = MappingProxyType({})
    command: str
    # of every verb
    root: str = "."
    store: str | None = None
    quiet: bool = False
    verbose: bool = False
    json: bool = False
    # its subject
    image: str | None = None
    profile: str | None = None
    platform: str = platform.DEFAULT
    name: str = ""
    names: Sequence[str] = ()
    all: bool = False
    # sources
    distdir: Sequence[str] = ()
    offline: bool = False
    to: str | None = None
    # resolve
    update: Sequence[str] = ()
    update_all: bool = False
    # build
    check: bool = False
    dry_run: bool = False
    sandbox: str = "auto"
    cores: int | None = None
    jobs: int | None = None
    keep_going: bool = False
    keep_failed: bool = False
    locked: bool = False
    allow_weak_sandbox: bool = False
    compression: str = "gzip"
    out: str | None = None
    # shell
    failed: bool = False
    words: Sequence[str] = ()
    # test
    paths: Sequence[str] = ()
    suite: str | None = None
    filter: str | None = None
    junit: str | None = None
    limit: int = 120
    # run
    policy: str | None = None
    reload: bool = False
    port: Sequence[tuple[int, int]] | None = None
    tls_port: Sequence[tuple[int, int]] | None = None
    status_port: int | None = None
    listen: str | None = None
    workers: int | None = None
    # audit
    since: str | None = None
    rules: bool = False
    # graph, why
    format: str = "text"
    runtime: bool = False
    dependant: str = ""
    dependency: str = ""
    # store, gc
    action: str = ""
    remove: bool = False
    archives: bool = False
    # schema, completion, help
    kind: str = ""
    document: str | None = None
    shell: str = ""
    verb: str | None = None
