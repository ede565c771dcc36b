"""Addresses as they are printed: without user and password, and without the query, which can hold a signature."""

import re

# A scheme; a user's name and password; host and path; the query or fragment with all that follows.
_ADDRESS = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]{0,20}://)(?:[^\s/?#]*@)?([^\s?#'"<>]*)([?#][^\s'"<>]*)?""")
_PUNCTUATION = ":;,.)"


def shown(address: str) -> str:
    """One address to print."""
    scheme, mark, rest = address.partition("://")
    place, more = re.fullmatch(r"([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host, slash, path = place.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path + (f"{more[0]}..." if len(more) > 1 else "")


def host(address: str) -> str:
    """Host and port, without a user's name and password; of a text that is no address, the part that stands there."""
    return re.split("[/?#]", address.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]


def scrubbed(text: str) -> str:
    """A text to print that may hold addresses, of whatever kind. Done twice it is as done once."""
    return _ADDRESS.sub(_scrubbed, text) if "://" in text else text


def _scrubbed(found: "re.Match[str]") -> str:
    scheme, place, more = found.groups(default="")
    if len(more) < 2 or more[1:] == "...":
        return f"{scheme}{place}{more}"
    end = more[len(more.rstrip(_PUNCTUATION)):]
    return f"{scheme}{place}{more[0]}...{end.removeprefix('...')}"
