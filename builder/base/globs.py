"""Globs over tree paths: `*` and `?` stay within one name, `**` crosses directories, `**/` may stand for nothing."""

import re
from collections.abc import Iterable
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=512)
def compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern that fully matches every path that any of the globs matches."""
    parts = ("".join(_MEANING.get(each, re.escape(each)) for each in _TOKEN.findall(pattern)) for pattern in patterns)
    return re.compile("|".join(f"(?:{part})" for part in parts) or "(?!)", re.DOTALL)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether any glob matches the whole path ("usr/lib/libz.a")."""
    return compiled(tuple(patterns)).fullmatch(path) is not None
