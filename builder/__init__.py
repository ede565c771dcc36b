"""Reproducible, hash-pinned builds of an OpenResty gateway image."""

__version__ = "0.1.0"
