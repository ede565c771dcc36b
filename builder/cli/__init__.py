"""The command line: the only place that wires adapters together, prints, and turns errors into exit codes."""

from builder.cli.main import run

__all__ = ["run"]
