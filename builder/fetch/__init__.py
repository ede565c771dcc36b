"""Fetching sources: nothing is trusted before it was verified, and everything that fails says why.

    Wanted --places--> http, pypi, folder --bytes--> part (quarantine) --admit--> store

`Fetcher` does it for many at a time. A source whose tree is in the store costs one look-up and opens no socket.
"""

from builder.fetch.fetcher import Fetcher
from builder.fetch.mirrors import Mirrors
from builder.fetch.places import SNAPSHOT
from builder.fetch.wanted import Pinned, Wanted

__all__ = ["SNAPSHOT", "Fetcher", "Mirrors", "Pinned", "Wanted"]
