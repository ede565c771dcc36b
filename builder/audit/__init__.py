"""`builder audit`: the lock against recipes, sources and store.

    load.py       reads a project, its lock and, with `since`, those of a git revision   (the edge)
    context.py    the values that rules see
    rule.py       a rule, and what it finds
    rules/        one rule a file; `rules/__init__.py` lists them
    engine.py     runs rules, and shows findings as text or rows

A rule is added by writing its file and putting it in the list. It must not print, must not write, and must not stop at
the first finding. It passes over or reports what it cannot check.

Which profiles: those whose outputs are required (a profile file says `outputs = "optional"` to be left out), because
only these promise that everything is pinned, mirrored and built. Others are looked at when they are named.
"""

from builder.audit.context import Context
from builder.audit.engine import Report, run
from builder.audit.load import load
from builder.audit.rule import Finding, Rule
from builder.audit.rules import RULES

__all__ = ["RULES", "Context", "Finding", "Report", "Rule", "load", "run"]
