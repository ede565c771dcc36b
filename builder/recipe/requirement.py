"""Requirements, one package's wants of another: `NAME[FEATURE,...] PATTERN [| PATTERN]... [!PATTERN]...`.

Versions are never compared for order: upstream tags do not sort (an old tag can carry a high number). A recipe lists
its versions in order of preference and a requirement selects from that list, by exact version or by a pattern with `*`:

    zlib                          any version
    openssl 3.5.*                 those that match
    openssl 3.5.* | 3.0.20        those that match one of them
    openssl !1.1.1*               those that do not match
    nginx[lua-var] 1.26.3         with a feature of the recipe turned on
"""

import re
from functools import lru_cache

from msgspec import Struct

NAME = r"[a-z0-9][a-z0-9+.-]*"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~:-]*"
_PATTERN = r"[A-Za-z0-9*][A-Za-z0-9._+~:*-]*"
_FORM = re.compile(rf"({NAME})(?:\[({NAME}(?:,{NAME})*)\])?(?:\s+(.+))?")
HINT = "like 'openssl', 'openssl 3.5.* | 3.0.20', 'openssl !1.1.1*' or 'nginx[lua-var] 1.26.3'"


class Requirement(Struct, frozen=True):
    """A parsed requirement. An empty `allow` means any version; `refuse` wins over `allow`."""

    name: str
    features: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()

    def admits(self, version: str) -> bool:
        """Whether a version satisfies the patterns (features are not looked at)."""
        if any(matches(pattern, version) for pattern in self.refuse):
            return False
        return not self.allow or any(matches(pattern, version) for pattern in self.allow)

    def __str__(self) -> str:
        features = f"[{','.join(self.features)}]" if self.features else ""
        spec = [" | ".join(self.allow)] if self.allow else []
        return " ".join([self.name + features, *spec, *("!" + pattern for pattern in self.refuse)])


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


def matches(pattern: str, version: str) -> bool:
    """Whether `version` fits `pattern`, in which `*` stands for any text."""
    return pattern == version or ("*" in pattern and _compiled(pattern).fullmatch(version) is not None)


@lru_cache(maxsize=65536)
def parse(text: str) -> Requirement:
    """Read one requirement.

    Raises:
        ValueError: it is not of the form above.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not a requirement")
    name, features, spec = found.groups()
    head, *refuse = (each.strip() for each in (spec or "").split("!"))
    allow = [each.strip() for each in head.split("|")] if head else []
    for each in (*allow, *refuse):
        if not re.fullmatch(_PATTERN, each):
            raise ValueError(f"'{each}' in '{text}' is not a version or a pattern")
    wanted = tuple(sorted(set(features.split(",")))) if features else ()
    return Requirement(name, wanted, tuple(allow), tuple(refuse))


def problem(text: str) -> str:
    """The message when `text` is not a requirement, else an empty text (a check for `decode.Text`)."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""
