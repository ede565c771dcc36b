"""Adapters of `builder.reporter.Reporter` that need a library."""
