"""Every `--json` document has the envelope and fits the schema that `builder schema output` prints."""

import json
from pathlib import Path
from typing import Any

import pytest
import small
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from small import Small

from builder.cli import arguments, kinds
from builder.run.testing import summary
from builder.run.testing.results import FileResult

SANDBOXED = {"test", "log"}  # kinds that need a sandbox: see below, and tests/integration


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    monkeypatch.chdir(made.root)
    return made


def fits(project: Small, kind: str, document: Any) -> None:
    schema = json.loads(project.run("schema", "output", kind).out)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)
    assert (document["version"], document["kind"]) == (1, kind)


ANSWERS = [
    ("resolve-check", ["resolve", "--check"]), ("resolve", ["resolve"]), ("resolve-check", ["resolve", "--check"]), ("fetch", ["fetch"]),
    ("audit", ["audit"]), ("build-dry-run", ["build", "--dry-run"]), ("build", ["build"]), ("build", ["build", "hello"]),
    ("doctor", ["doctor", "--offline"]), ("check", ["build", "--check", "world"]), ("list", ["list"]),
    ("graph", ["graph"]), ("why", ["why", "world", "hello"]), ("why", ["why", "hello", "world"]), ("audit-rules", ["audit", "--rules"]),
    ("store-path", ["store", "path"]), ("store-roots", ["store", "roots"]), ("store-verify", ["store", "verify"]),
    ("gc", ["gc", "--dry-run"]), ("gc", ["gc"]), ("clean", ["clean", "--dry-run"]), ("clean", ["clean"]), ("version", ["version"]),
    ("error", ["list", "nope"]), ("error", ["lsit"]), ("error", ["build", "--jobs", "0"]), ("error", ["log", "hello"]),
]
LACKING = """
name = "extra"
tools = ""
summary = "A source that is nowhere"
license = "MIT"
homepage = "https://gone.example"
[build]
style = "prebuilt"
into = { main = "usr/share" }
[[version]]
version = "1"
[[version.source]]
locations = ["https://gone.example/extra-1.tar.gz"]
"""


def test_what_every_verb_prints_fits_its_schema(project: Small, home: Path) -> None:
    for kind, argv in ANSWERS:
        answer = project.run(*argv, "--json")
        fits(project, kind, json.loads(answer.out))
    project.write("recipes/extra.toml", LACKING)
    missing = project.run("build", "extra", "--offline", "--json")
    assert missing.json["error"]["sources"]
    fits(project, "error", json.loads(missing.out))
    damaged = next((home / ".cache/builder/store/trees").rglob("greeting"))
    damaged.chmod(0o644)
    damaged.write_text("hello, World\n")
    fits(project, "store-verify", json.loads(project.run("store", "verify", "--json").out))
    project.replace("recipes/hello.toml", 'style = "prebuilt"', 'style = "prebuild"')
    answer = project.run("list", "--json")
    assert "problems" in answer.json["error"]
    fits(project, "error", json.loads(answer.out))


def test_no_kind_is_left_out() -> None:
    assert {kind for kind, _ in ANSWERS} | SANDBOXED == set(kinds.KINDS)


def test_every_verb_that_prints_data_takes_json() -> None:
    takes = {name for name, each in arguments.verbs(arguments.parser()).items() if "--json" in each.options()}
    assert takes >= {kind.partition("-")[0] for kind in kinds.KINDS} - {"check", "error"}
    assert set(arguments.verbs(arguments.parser())) - takes == {"run", "shell", "help", "schema", "completion"}


def test_what_a_test_run_prints_fits_its_schema(project: Small) -> None:
    """`data` is what the verb prints; a result needs no sandbox."""
    results = [FileResult(name="t/a.t", seconds=0.5, output="", trouble="it ended early")]
    fits(project, "test", {"version": 1, "kind": "test", "data": summary.data(results, seconds=1.0)})


def test_a_schema_is_no_doormat(project: Small) -> None:
    validator = Draft202012Validator(kinds.schema("list"))
    row = {"package": "a", "version": "1", "role": "image", "state": "built", "size": 3}
    assert validator.is_valid({"version": 1, "kind": "list", "data": [row]})
    for wrong in ({**row, "size": "3"}, {**row, "more": 1}, {name: row[name] for name in row if name != "state"}):
        assert not validator.is_valid({"version": 1, "kind": "list", "data": [wrong]})
    assert not validator.is_valid({"version": 2, "kind": "list", "data": [row]})
    assert not validator.is_valid({"version": 1, "kind": "gc", "data": [row]})


def test_without_a_kind_the_schema_is_that_of_any_document(project: Small) -> None:
    validator = Draft202012Validator(json.loads(project.run("schema", "output").out))
    assert validator.is_valid(json.loads(project.run("version", "--json").out))
    assert validator.is_valid(json.loads(project.run("list", "nope", "--json").out))
    assert not validator.is_valid({"version": 1, "kind": "version", "data": {}})
