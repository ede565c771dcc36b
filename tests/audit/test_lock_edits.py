"""Every key of every block of a lock is taken out, edited, or given another type, one at a time: the audit has a finding, or
the lock is refused. No edit gives a traceback, and none goes unnoticed."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from sample import PLATFORM, Sample

from builder.audit import RULES, run
from builder.base.errors import UsageError

ID = "sha256-" + "A" * 43 + "="
# Edits that change nothing that is built: the order of blocks, and what was measured of a tree, where the pinned sha256 and
# size prove the file that it comes from.
HARMLESS = {"('image',) reverse", "('package',) reverse"}
HARMLESS |= {f"('package', 3, 'source', 0, '{key}') removed" for key in ("tree", "unpacked", "entries")}


def dump(table: dict[str, Any], above: str = "") -> str:
    """A lock's table as TOML."""
    lines = [f"{key} = {_inline(value)}" for key, value in table.items() if not _below(value)]
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            lines.append(f"[{name}]\n" + dump(value, name + "."))
        elif _below(value):
            lines += [f"[[{name}]]\n" + dump(each, name + ".") for each in value]
    return "\n".join(lines) + "\n"


def _below(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value))


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a table, blocks and items of lists among them."""
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from places(each, (*path, key))


def edits(value: Any) -> Iterator[tuple[str, Any]]:
    """(what was done, the value afterwards)"""
    if isinstance(value, str):
        yield from (("empty", ""), ("longer", value + "x"), ("number", 7), ("list", [value]))
        for n in {0, len(value) // 2, len(value) - 1}:
            yield f"digit {n}", value[:n] + ("1" if value[n] != "1" else "2") + value[n + 1 :]
        yield ("another digest", ID)
        yield ("another package", "zlib 1.3.1")
    elif isinstance(value, int):
        yield from (("one more", value + 1), ("none", 0), ("negative", -value), ("huge", 1 << 70), ("text", str(value)))
    elif isinstance(value, list):
        yield from (("emptied", []), ("reverse", value[::-1]), ("doubled", value + value[:1]), ("text", "x"), ("odd", [*value, "x 1"]))
        yield ("another", [*value, "zlib 1.3.1"])
    else:
        yield from (("emptied", {}), ("list", []), ("text", "x"), ("unknown", {**value, "unknown": 1}))


_GONE = object()
ADDED: dict[str, dict[str, Any]] = {
    "image": {"from": "more", "base": ["zlib 1.3.1"], "packages": ["zlib 1.3.1"]},
    "package": {"features": ["tls"], "requires": ["musl 1.2.5"], "build-requires": ["musl 1.2.5"], "profiles": ["extra"]},
    "source": {"platform": PLATFORM, "include": ["*"], "folder": "lib", "filename": "a.tar", "strip": 3, "tree": ID, "name": "other"},
    "output": {"sandbox": "chroot", "dev": ID, "debug": ID},
}


def mutations(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done, the table afterwards)"""

    def with_change(path: tuple[Any, ...], new: Any) -> dict[str, Any]:
        made = copy.deepcopy(table)
        holder: Any = made
        for each in path[:-1]:
            holder = holder[each]
        if new is _GONE:
            del holder[path[-1]]
        else:
            holder[path[-1]] = new
        return made

    for path in places(table):
        value: Any = table
        for each in path:
            value = value[each]
        yield f"{path} removed", with_change(path, _GONE)
        for what, new in edits(value):
            if new != value and not (isinstance(path[-1], int) and not isinstance(value, str)):
                yield f"{path} {what}", with_change(path, new)
        kind = path[-2] if isinstance(path[-1], int) else path[-2] if len(path) > 1 and path[-2] == "output" else ""
        for key, new in ADDED.get(str(kind), {}).items():
            if isinstance(value, dict) and value.get(key) != new:
                yield f"{path}.{key} set", with_change((*path, key), new)


def test_no_edit_of_the_lock_goes_unnoticed(project: Sample) -> None:
    import tomli  # noqa: PLC0415

    table = tomli.loads(project.lock_text)
    project.write("lock.toml", dump(table))
    assert run(project.context(), RULES).exit_code == 0
    unnoticed = []
    count = 0
    for what, changed in mutations(table):
        count += 1
        project.write("lock.toml", dump(changed))
        try:
            found = run(project.context(), RULES).findings
        except UsageError:
            continue
        except Exception as error:
            unnoticed.append(f"{what}: {type(error).__name__} {error}")
            continue
        if not found:
            unnoticed.append(what)
    assert set(unnoticed) == HARMLESS, "\n".join(unnoticed)
    assert count > 500
