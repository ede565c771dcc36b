"""A record: the outputs of one derivation."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Record(Struct, frozen=True, kw_only=True):
    """The outputs of one key, and how they were built.

    trees: SRI digest by output name. sandbox: the name of a weaker isolation, "" for the full one. seconds: wall time
    of the build. deps: digests of further trees that the outputs refer to. log: the path of the log, or "". parts: the
    digests that the key is made of, by name, so that a later build can tell which of them changed.
    """

    trees: Mapping[str, str] = field(default_factory=dict)
    sandbox: str = ""
    seconds: float = 0.0
    deps: tuple[str, ...] = ()
    log: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)

    def mentions(self) -> set[str]:
        """Digests of all trees that the record needs to be of use."""
        return {*self.trees.values(), *self.deps}


def to_dict(record: Record, key: str) -> dict[str, Any]:
    """JSON form. It holds its key, so that a file with a wrong name is found out."""
    return {
        "key": key,
        "trees": dict(record.trees),
        "sandbox": record.sandbox,
        "seconds": record.seconds,
        "deps": list(record.deps),
        "log": record.log,
        "parts": dict(record.parts),
    }


def from_dict(value: Any, key: str) -> Record:
    """Raises ValueError for the form of another version, or a record of another key."""
    try:
        if value["key"] != key:
            raise ValueError(f"it belongs to {value['key']}")
        return Record(
            trees=value["trees"],
            sandbox=value["sandbox"].removeprefix("bubblewrap"),  # as older builders call the full one
            seconds=value["seconds"],
            deps=tuple(value["deps"]),
            log=value["log"],
            parts=value.get("parts", {}),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("it has the form of another version of builder") from error
