"""Realising derivations, through an executor."""
