"""The rules of the audit that look back, against a git revision; and what git cannot answer."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sample
from msgspec.structs import replace
from sample import Sample, rows

from builder.audit import RULES, run
from builder.base.errors import MachineError, UsageError
from builder.store import Store

ZLIB_URL = "https://zlib.net/zlib-1.3.1.tar.gz"


def git(project: Sample, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)


@pytest.fixture
def history(project: Sample) -> Sample:
    """The sample project, committed."""
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "one")
    return project


def test_nothing_changed_since(history: Sample) -> None:
    report = run(history.context(since="HEAD"), RULES)
    assert report.text().startswith("no findings; ")
    assert report.text().endswith(" since HEAD\n")


def test_a_changed_url_with_the_same_hash(history: Sample) -> None:
    text = (history.root / "recipes/zlib.toml").read_text()
    text = text.replace(ZLIB_URL, "https://zlib.net/zlib-1.3.2.tar.gz").replace(
        "mirror://debian/pool/zlib_1.3.1.orig.tar.gz", "mirror://debian/pool/zlib_1.3.2.orig.tar.gz"
    )
    history.write("recipes/zlib.toml", text)
    lock = history.lock
    history.change_source("zlib", locations=(
        "https://zlib.net/zlib-1.3.2.tar.gz", "mirror://debian/pool/zlib_1.3.2.orig.tar.gz"
    ))
    assert history.lock != lock
    digest = sample.pins("zlib-1.3.1.tar.gz")["sha256"]
    assert [each for each in rows(history, since="HEAD") if each[0] == "url-changed-same-hash"] == [(
        "url-changed-same-hash", "zlib 1.3.1, source main",
        f"its URL was {ZLIB_URL} (zlib 1.3.1) at HEAD and is https://zlib.net/zlib-1.3.2.tar.gz, "
        f"but the hash is still sha256 {digest}",
    )]


def test_a_changed_url_of_a_version_that_is_only_offered(history: Sample) -> None:
    text = (history.root / "recipes/zlib.toml").read_text()
    history.write("recipes/zlib.toml", text.replace("zlib-1.3.tar.gz", "zlib-1.4.tar.gz").replace("zlib_1.3.o", "zlib_1.4.o"))
    found = [(rule, place) for rule, place, _ in rows(history, since="HEAD") if rule != "stale-recipe"]
    assert found == [("url-changed-same-hash", "recipes/zlib.toml: zlib 1.3, source main")]


def test_a_place_that_is_added_is_no_change_of_url(history: Sample) -> None:
    history.replace("recipes/zlib.toml", f'"{ZLIB_URL}"', f'"https://new.example/z.tar.gz", "{ZLIB_URL}"')
    history.replace("recipes/zlib.toml", 'size = ', 'filename = "zlib-1.3.1.tar.gz"\nsize = ')
    history.resolve()
    assert rows(history, since="HEAD") == []


def move_zlib(history: Sample, version: str, **values: Any) -> None:
    """Lock zlib at another version, by hand, with what the recipe says of it but for `values`."""
    found = history.project().recipes["zlib"].version(version)
    assert found is not None
    lock = history.lock
    packages = tuple(
        replace(each, version=version, sources=(replace(found.sources[0], **values),)) if each.name == "zlib"
        else replace(each, requires=tuple(f"zlib {version}" if one.startswith("zlib ") else one for one in each.requires))
        for each in lock.packages
    )
    history.lock = replace(lock, packages=packages)


def test_a_version_that_went_down(history: Sample) -> None:
    move_zlib(history, "1.3")
    found = [each for each in rows(history, since="HEAD") if "went-down" in each[0] or "same" in each[0]]
    assert found == [(
        "version-went-down", "zlib 1.3",
        "it was 1.3.1 at HEAD and is 1.3, which recipes/zlib.toml lists after it as less preferred",
    )]


def test_a_version_that_went_up_is_no_finding(history: Sample) -> None:
    move_zlib(history, "1.3")
    git(history, "commit", "-q", "-a", "-m", "down")
    move_zlib(history, "1.3.1")
    assert not [each for each in rows(history, since="HEAD") if "went-down" in each[0]]


def test_a_replaced_version_cannot_be_placed_and_that_is_said(history: Sample) -> None:
    history.replace("recipes/zlib.toml", 'version = "1.3.1"', 'version = "1.2.13"')
    move_zlib(history, "1.2.13")
    found = {rule: reason for rule, place, reason in rows(history, since="HEAD") if place == "zlib 1.2.13"}
    assert found["version-went-down"] == (
        "it was 1.3.1 at HEAD and is 1.2.13; recipes/zlib.toml no longer lists 1.3.1, so nothing says whether that is up "
        "or down"
    )
    assert found["version-changed-same-hash"] == (
        "the version was 1.3.1 at HEAD and is 1.2.13, but the hash is still sha256 "
        + sample.pins("zlib-1.3.1.tar.gz")["sha256"]
    )


def test_changed_bytes_of_the_same_version(history: Sample) -> None:
    history.change_source("zlib", sha256="0" * 64)
    assert (
        "hash-changed-same-version", "zlib 1.3.1, source main, sha256",
        f"it was {sample.pins('zlib-1.3.1.tar.gz')['sha256']} at HEAD and is {'0' * 64}, "
        f"for the same version from {ZLIB_URL}",
    ) in rows(history, since="HEAD")


def test_since_a_revision_of_a_project_in_a_subfolder(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        inner = sample.make(tmp_path / "repository" / "inner", store)
        (inner.root / "recipes/odd.toml").write_text("not [ toml")
        outer = Sample(tmp_path / "repository", store)
        git(outer, "init", "-q")
        git(outer, "add", ".")
        git(outer, "commit", "-q", "-m", "one")
        (inner.root / "recipes/odd.toml").unlink()
        assert rows(inner, since="HEAD") == []
        since = inner.context(since="HEAD").since
        assert since is not None
        assert sorted(since.recipes) == ["cookie", "musl", "nginx", "openssl", "toolset", "zlib"]


@pytest.mark.parametrize(("revision", "text"), [
    ("v9", "{root}: there is no revision 'v9'\n  next: name a commit, tag or branch that `git log` shows; "
           "a shallow clone lacks older ones (`git fetch --unshallow`)"),
    ("--all", "'--all' is not a git revision\n  next: name a commit, tag or branch that `git log` shows; "
              "a shallow clone lacks older ones (`git fetch --unshallow`)"),
])  # fmt: skip
def test_revisions_that_do_not_exist(history: Sample, revision: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        history.context(since=revision)
    assert str(caught.value) == text.format(root=history.root)


def test_a_folder_that_is_no_checkout(project: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD")
    said = str(caught.value)
    assert said.startswith(f"{project.root}: git cannot read this directory: fatal: not a git repository (or any ")
    assert said.endswith("\n  next: --since compares with a git revision: run it in a git checkout")


def test_no_git(project: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineError) as caught:
        project.context(since="HEAD")
    assert str(caught.value) == "there is no git on this machine\n  next: install git, or leave out --since"


def test_a_revision_without_a_lock_or_with_a_broken_one(project: Sample) -> None:
    text = project.lock_text
    git(project, "init", "-q")
    git(project, "add", "recipes")
    git(project, "commit", "-q", "-m", "one")
    project.write("lock.toml", "lock-version = 1\nimage = 3\n")
    git(project, "add", "lock.toml")
    git(project, "commit", "-q", "-m", "two")
    project.write("lock.toml", text)
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD~1")
    assert str(caught.value) == "revision HEAD~1: there is no lock.toml in it\n  next: name a later revision"
    with pytest.raises(UsageError) as caught:
        project.context(since="HEAD")
    assert str(caught.value) == (
        "revision HEAD: its lock cannot be read:\nlock.toml at HEAD: image: must be a list, not a whole number\n"
        "  next: name a later revision"
    )


def since_head(history: Sample, rule: str) -> list[tuple[str, str]]:
    """(place, reason) of what a rule finds since HEAD, with the lock brought up to date."""
    history.resolve()
    return [(place, reason) for name, place, reason in rows(history, since="HEAD") if name == rule]


def test_a_witness_that_was_replaced_by_none(history: Sample) -> None:
    history.replace("recipes/nginx.toml", 'string = "too many header lines"', 'none = "it changes a comment"')
    assert since_head(history, "patch-weakened") == [(
        "nginx 1.26.3, patch debian/patches/fix.patch",
        "its witness at HEAD was 'too many header lines', and is none now: it changes a comment",
    )]


def test_a_dropped_patch(history: Sample) -> None:
    text = (history.root / "recipes/nginx.toml").read_text()
    history.write("recipes/nginx.toml", text[: text.index("[[version.patches]]")])
    assert since_head(history, "patch-weakened") == [(
        "nginx 1.26.3, patch debian/patches/fix.patch", "it was applied at HEAD, and is not any more",
    )]


def test_rights_of_an_image(history: Sample) -> None:
    path = "recipes/images/web.toml"
    history.write(path, (history.root / path).read_text() + """
[capabilities]
"sbin/nginx" = ["CAP_NET_BIND_SERVICE"]

[[user]]
name = "www"
uid = 1000

[[mode]]
path = "sbin/nginx"
mode = "4755"
owner = "root:www"

[config]
user = "www"
""")
    assert since_head(history, "image-rights-changed") == [
        (f"{path}: capabilities sbin/nginx", "it was none at HEAD, and is CAP_NET_BIND_SERVICE"),
        (f"{path}: config.user", "it was root at HEAD, and is www"),
        (f"{path}: group www", "it was none at HEAD, and is 1000"),
        (f"{path}: mode sbin/nginx", "it was none at HEAD, and is 4755 of root:www"),
        (f"{path}: user www", "it was none at HEAD, and is 1000:1000, home /, shell /sbin/nologin"),
    ]


def test_a_sandbox_that_was_added(history: Sample) -> None:
    history.replace("lock.toml", "[package.output.x86_64-linux-musl]\n", '[package.output.x86_64-linux-musl]\nsandbox = "chroot"\n')
    found = [(rule, reason) for rule, _, reason in rows(history, since="HEAD")]
    assert found == [
        ("output-disagrees", "the lock says sandbox chroot, but it was built here with the full sandbox"),
        ("sandbox-changed", "it was built in the full sandbox at HEAD, and the lock says sandbox chroot now"),
    ]


def test_the_only_promise_is_taken_back(history: Sample) -> None:
    history.replace("recipes/profiles/embedded.toml", 'base = ["musl"]\n', 'base = ["musl"]\noutputs = "optional"\n')
    assert since_head(history, "outputs-optional") == [
        ("recipes/profiles", "no profile requires outputs, so nothing was looked at; the lock has embedded, extra"),
        ("recipes/profiles/embedded.toml: outputs", "its outputs were required at HEAD, and are optional now"),
    ]
    assert run(history.context(), RULES).exit_code == 1


def test_since_nothing_is_a_usage_error(history: Sample) -> None:
    with pytest.raises(UsageError, match="'' is not a git revision"):
        history.context(since="")


def test_a_partial_clone_fetches_nothing_by_itself_and_says_how(history: Sample, tmp_path: Path) -> None:
    git(history, "config", "uploadpack.allowFilter", "true")
    git(history, "config", "uploadpack.allowAnySHA1InWant", "true")
    clone = Sample(tmp_path / "clone", history.store)
    words = ["clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{history.root}", str(clone.root)]
    subprocess.run(["git", *words], check=True, capture_output=True)
    shutil.copytree(history.root, clone.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    with pytest.raises(UsageError) as caught:
        clone.context(since="HEAD")
    assert caught.value.message.startswith("git does not have ")
    remedy = re.findall("`(.*?)`", caught.value.hint)[0]
    subprocess.run(remedy, shell=True, cwd=clone.root, check=True, capture_output=True)
    assert clone.context(since="HEAD").since is not None
