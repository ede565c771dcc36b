"""`builder test`: Test::Nginx files, run against the nginx of a built image.

    files.py     finds them, and makes the part of them that a filter leaves
    blocks.py    their format
    room.py      the sandbox that a file runs in, as data
    runner.py    runs many side by side
    marks.pm     loaded beside every file: says where a block begins, and keeps the error log of a failed one
    tap.py       the protocol of their output
    results.py   what came of them, block by block
    summary.py   for people; junit.py for CI systems, in the file of report.py
"""

from builder.run.testing.files import Suite, TestFile, filtered, find
from builder.run.testing.results import FileResult
from builder.run.testing.room import Room
from builder.run.testing.runner import Interrupted, Runner

__all__ = ["FileResult", "Interrupted", "Room", "Runner", "Suite", "TestFile", "filtered", "find"]
