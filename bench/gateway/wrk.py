"""Runs of wrk, and the figures of a run."""

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import policy as policies
from msgspec import Struct
from nginx import Gateway

LINE = ["-t", "2", "-c", "32"]
TLS_LINE = ["-t", "2", "-c", "16", "-H", "Connection: close"]

# In turn all requests of a file as policy.py prints them.
WALK = """
local requests, at = {}, 0
function init()
    for line in io.lines(os.getenv("REQUESTS")) do
        local host, path, method, value = line:match("^([^\\t]+)\\t([^\\t]+)\\t([^\\t]+)\\t([^\\t]+)")
        local headers = { Host = host }
        if value ~= "-" then
            headers["%s"] = value
        end
        requests[#requests + 1] = wrk.format(method, path, headers)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
""".replace("%s", policies.HEADER)

# Counts the handshakes that were no full ones.
RESUMED = """
local threads = {}
function setup(thread)
    threads[#threads + 1] = thread
end
function init()
    resumed = 0
end
function response(status, headers)
    if headers["X-Resumed"] then
        resumed = resumed + 1
    end
end
function done()
    local sum = 0
    for _, thread in ipairs(threads) do
        sum = sum + thread:get("resumed")
    end
    io.write("Resumed: ", sum, "\\n")
end
"""


class Run(Struct, frozen=True):
    """One run of wrk. rate: requests a second. p99: seconds. processor: seconds of the workers for one request."""

    rate: float
    p99: float
    processor: float


def processor(pids: Sequence[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_of(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[2]]


def wrk(started: Gateway, url: str, seconds: int, options: Sequence[str], script: Path | None = None, requests: str = "") -> Run:
    argv = ["wrk", *options, "-d", f"{seconds}s", "--latency", *(["-s", str(script)] if script else []), url]
    workers = started.workers()
    before = processor(workers)
    out = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "REQUESTS": requests}).stdout
    used = processor(workers) - before
    assert started.workers() == workers, f"a worker ended:\n{started.log()}"
    # A time-out counts as latency: a machine that stands still for a while makes some.
    if "Non-2xx" in out or ("Socket errors" in out and "connect 0, read 0, write 0," not in out):
        sys.exit(f"{url}: requests failed\n{out}{started.log()[:2000]}")
    rate, count, p99 = (re.search(each, out) for each in (r"Requests/sec:\s+([\d.]+)", r"(\d+) requests in", r"\n\s+99%\s+(\S+)"))
    assert rate and count and p99, out
    return Run(float(rate[1]), seconds_of(p99[1]), used / int(count[1]))


def in_turns(rounds: int, *sides: Callable[[], Run]) -> list[Run]:
    """The sides in turns; for each the median of every figure."""
    runs: list[list[Run]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, found in zip(sides, runs, strict=True):
            found.append(side())
    return [Run(*(statistics.median(getattr(run, name) for run in found) for name in ("rate", "p99", "processor"))) for found in runs]
