"""The pages of docs/ and the README: they name what there is, their links lead somewhere, their commands parse."""

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from builder import audit
from builder.cli import arguments, run
from builder.recipe import image, profile, recipe
from builder.recipe.styles import STYLES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# No page may show the paths of a writer, and registries are the machine's business: pages name example hosts and upstreams alone.
FORBIDDEN = re.compile(r"/home/\w|/root\b|/dev/shm/\w")
HOST = re.compile(r"https?://([a-z0-9.-]+)")
FILE = re.compile(r"`recipes/[\w./-]+\.toml`:\n\n\Z")  # what stands before a block that is a file to write
UPSTREAMS = {"github.com", "lz4.org", "host", "127.0.0.1"}

# tests/integration/test_docs_run.py runs the blocks of kind `console`, and writes files whose names stand above them. All others are here,
# by the page and the beginning of their first lines, with the reason why they are not run.
NOT_RUN = {
    "README.md": {
        "serves until Ctrl-C: tests/integration/test_run_command.py": ["$ cat policy.json", "$ for i in 1 2 3; do curl"],
        "the user's own settings": ['store = "/big/builder"'],
    },
    "docs/audit.md": {
        "a part of a profile": ["[audit.cannot]"],
        "a copy has no branch of an origin": ["builder build --locked"],
    },
    "docs/gateway.md": {
        "a part of a policy": ["{", '{"type": "http"'],
        "what a gateway answers and logs: t/": [
            "gateway: wrong options:",
            "$ curl http://127.0.0.1:1936/status",
            "gateway_policy_generation 2",
            '{"time":',
            "policy: '/policy/policy.json' refused",
            "backend 10.0.0.1:8080",
        ],
    },
    "docs/lock.md": {
        "its commands are run one by one below it": ["builder resolve --check"],
        "two branches in conflict: tests/lock/test_lock_text.py": ["builder: lock.toml: line 60:", "git checkout --theirs"],
    },
    "docs/offline.md": {
        "the user's own settings": ['store = "/big/builder"'],
        "an archive that a publisher compressed again: tests/fetch/test_fetch.py": ["warning: zlib 1.3.1"],
    },
    "docs/recipes.md": {
        "a part of a recipe, an image or a profile": [
            "[feature.lua-var]", "[[version]]", "[limits]", 'name = "gateway-test"', "[[waiver]]", "[audit.cannot]",
        ],
    },
    "docs/run.md": {
        "serves until Ctrl-C: tests/integration/test_run_command.py": [
            "builder run --policy policy.json", "http://127.0.0.1:8080/", "builder run --policy policy.json --port",
        ],
        "needs a gateway that runs: tests/integration/test_run_command.py": [
            "builder run --reload", "reloaded:", *["$ builder run --reload"] * 3,
        ],
    },
    "docs/sandbox.md": {
        "for root alone: tests/sandbox/test_sandbox_chroot.py": ["builder build --sandbox chroot", "warning: --sandbox chroot"],
        "needs a terminal: tests/integration/test_shell.py": ["the sandbox of zlib 1.3.1"],
    },
    "docs/store.md": {
        "says what else is in the reader's store: tests/integration/test_store_commands.py": [
            "builder gc --dry-run", "would remove 1 tree",
        ],
        "reads every byte, or removes: tests/integration/test_store_commands.py": [
            "builder store verify", "~/.cache/builder/store/trees/", "builder store verify --remove",
        ],
        "a full disk: tests/integration/test_disk_full.py": ["builder: /big/builder:"],
    },
    "docs/testing.md": {
        "takes minutes: .ci/run": ["builder test", "TEST_NGINX_LOG_LEVEL=debug", "BUILDER_TEST_ARCHIVES=archives"],
        "a suite that fails: tests/integration/test_test_command.py": ["$ builder test --suite component/t"],
        "a block of t/": ["=== TEST 1:"],
        "an archive of a forge: tests/integration/test_real.py": ["builder test --suite lua-resty-mlcache"],
    },
    "docs/troubleshooting.md": {
        "another network or another machine": [
            "builder: 1 source could not", "builder: 47 sources could not", "libyaml 0.2.5", "bad: store:", "builder: /big/builder:",
        ],
    },
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """From a heading to the next one of the same or a higher level."""
    text = text_of(page)
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"docs lack the section '{title}'"
    end = re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).search(text, found.end())
    return text[found.end() : end.start() if end else len(text)]


def rows(text: str) -> set[str]:
    """What stands in backticks in the first cell of the tables' rows."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def keys(schema: dict[str, Any]) -> Iterator[str]:
    """Every key that a JSON Schema names, at any depth; options of styles stand below `then`, which is not looked into."""
    for key, each in schema.get("properties", {}).items():
        yield key
        yield from keys(each)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from keys(schema[inner])


def commands(page: str) -> list[str]:
    """The lines of shell blocks, fenced or indented, that start `builder`, also after `&&`."""
    blocks = FENCE.findall(text_of(page))
    lines = [line for kind, block in blocks if kind in ("sh", "bash") for line in block.splitlines()]
    lines += [line for kind, block in blocks if kind == "console" for line in block.splitlines() if line.startswith("$ ")]
    lines += re.findall(r"^ {4}((?:pip|builder) .+)$", prose(page), re.MULTILINE)
    parts = [part.strip().removeprefix("$ ") for line in lines for part in re.split(r"&&|\|(?!\|)|;", line)]
    return [part for part in parts if re.match(r"builder\b", part)]


@pytest.mark.parametrize(
    ("kind", "schema"), [("recipe", recipe.schema()), ("image", image.schema()), ("profile", profile.schema())]
)
def test_every_key_is_described(kind: str, schema: dict[str, Any]) -> None:
    titles = {"recipe": "Keys", "image": "Images", "profile": "Profiles"}
    told = set(re.findall(r"`([^`\n]+)`", section("docs/recipes.md", titles[kind])))
    assert sorted(set(keys(schema)) - told) == []


def test_the_tables_of_the_top_level_name_each_key_once_and_no_other() -> None:
    for title, schema in (("The recipe", recipe.schema()), ("Images", image.schema()), ("Profiles", profile.schema())):
        assert rows(section("docs/recipes.md", title)) == set(schema["properties"]), title


def test_every_style_is_described_with_its_options() -> None:
    styles = section("docs/recipes.md", "Styles")
    shared = rows(styles[: styles.index("### ")])
    assert shared == set(STYLES["make"].options)
    for name, style in STYLES.items():
        told = set(re.findall(r"`([^`\n]+)`", section("docs/recipes.md", f"`{name}`")))
        own = set(style.options) - (shared if shared <= set(style.options) else set())
        assert sorted(own - told) == [], name


def test_the_default_globs_of_outputs_are_those_of_the_code() -> None:
    told = set(re.findall(r"`([^`\n]+)`", section("docs/recipes.md", "Splitting: out, dev, debug")))
    assert {*recipe.DEFAULT_DEV, *recipe.DEFAULT_DEBUG} <= told


def test_every_rule_of_the_audit_is_described_and_no_other() -> None:
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", section("docs/audit.md", "Rules"), re.MULTILINE)
    assert [name for name, _ in found] == [rule.id for rule in audit.RULES]
    for rule, (_, means) in zip(audit.RULES, found, strict=True):
        assert means == rule.summary, rule.id


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(str(target.relative_to(ROOT))), f"{page}: {link}"


@pytest.mark.parametrize("page", NAMES)
def test_paths_of_the_repository_exist(page: str) -> None:
    told = set(re.findall(r"`((?:builder|tests|docs|bench|\.ci)/[\w./-]*)`", prose(page)))
    assert sorted(path for path in told if not (ROOT / path).exists() and not re.search("NAME|DIRECTORY", path)) == []


def test_names_of_the_architecture_exist() -> None:
    """`build.executor.Executor` is a name in a module of builder/."""
    told = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+\.[A-Z]\w+)`", text_of("docs/architecture.md"))
    assert len(told) >= 10
    for name in told:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"builder.{module}"), attribute), name


def test_every_verb_is_in_the_pages() -> None:
    told = set(re.findall(r"`(?:builder )?([a-z]+)\b", section("README.md", "The daily commands")))
    assert sorted(set(arguments.verbs(arguments.parser())) - told) == []


def test_the_picture_is_that_of_the_lock(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["graph", "gateway", "--runtime", "--format", "svg"]) == 0
    assert capsys.readouterr().out == text_of("docs/gateway.svg"), "builder graph gateway --runtime --format svg > docs/gateway.svg"


@pytest.mark.parametrize("page", NAMES)
def test_a_block_is_run_or_there_is_a_reason(page: str) -> None:
    text = text_of(page)
    blocks = [each for each in FENCE.finditer(text) if each[1] != "console" and not FILE.search(text[: each.start()])]
    found = [each[2].partition("\n")[0] for each in blocks]
    reasons = NOT_RUN.get(page, {})
    begins = [line for lines in reasons.values() for line in lines]
    without = [line for line in found if not line.startswith(tuple(begins))]
    assert without == [], f"{page}: make these blocks sessions (```console), or say in NOT_RUN why not"
    assert len(found) == len(begins), f"{page}: NOT_RUN has {len(begins)} of these blocks: {found}"
    tests = re.findall(r": (\S+)$", "\n".join(reasons), re.MULTILINE)
    assert [path for path in tests if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", NAMES)
def test_data_is_of_its_form(page: str) -> None:
    for kind, block in FENCE.findall(text_of(page)):
        if kind == "json":
            json.loads(block)
        if kind == "toml":
            tomli.loads(block)


@pytest.mark.parametrize("page", NAMES)
def test_commands_parse(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in commands(page):
        words = shlex.split(re.sub(r"\s+\d?>{1,2}\s*\S+", "", line), comments=True)[1:]
        try:
            arguments.parser().parse_args(words)
        except SystemExit as end:
            assert end.code == 0, f"{page}: {line}\n{capsys.readouterr().err}"


def test_commands_are_found_in_shell_blocks() -> None:
    assert "builder build --check lua-cjson" in commands("docs/reproducibility.md")
    assert len([line for page in NAMES for line in commands(page)]) >= 30


@pytest.mark.parametrize("page", NAMES)
def test_options_in_prose_exist(page: str) -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", "\n".join(_helps())))
    told = {word for code in re.findall(r"`(builder [^`\n]+)`", prose(page)) for word in re.findall(r"(?<!\S)--[a-z][a-z-]+", code)}
    assert sorted(told - known) == []


def _helps() -> Iterator[str]:
    parser = arguments.parser()
    yield parser.format_help()
    for action in parser._actions:  # the subparsers, which argparse has no public name for
        for each in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield each.format_help()


@pytest.mark.parametrize("page", NAMES)
def test_no_name_of_a_registry_or_of_a_machine(page: str) -> None:
    text = text_of(page).replace("`/tmp`, `/dev/shm`", "")
    assert FORBIDDEN.findall(text) == []
    assert {host for host in HOST.findall(text) if not host.endswith(".example.org")} <= UPSTREAMS
