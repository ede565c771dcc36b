"""Fetching sources: no byte is trusted before it is verified, and every failure says why.

    Wanted --places--> http, pypi, directory --bytes--> part (quarantine) --admit--> store

`Fetcher` fetches many at a time. A source whose tree is in the store costs one look-up and opens no socket.
"""

from typing import TYPE_CHECKING

from builder.fetch.wanted import Pinned, Wanted, unpack_key

if TYPE_CHECKING:
    from builder.fetch.fetcher import Fetcher
    from builder.fetch.mirrors import Mirrors

__all__ = ["Fetcher", "Mirrors", "Pinned", "Wanted", "unpack_key"]


def __getattr__(name: str) -> object:
    """Import the fetcher on demand: a run that has all sources needs the values alone."""
    if name == "Fetcher":
        from builder.fetch.fetcher import Fetcher  # noqa: PLC0415

        return Fetcher
    if name == "Mirrors":
        from builder.fetch.mirrors import Mirrors  # noqa: PLC0415

        return Mirrors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
