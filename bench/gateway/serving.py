"""What serving costs, on the nginx of a built image: the six figures that the gateway is held to, side by side in one run.

    python bench/gateway/serving.py --image out/gateway --tools "$(builder build launcher | awk '{ print $NF }')" [--seconds 6]

The image's root file system is unpacked to a tmpfs and its nginx runs in bubblewrap with two workers, on the loopback of this
machine, without an access log and with an error log from `warn` on. What is compared runs in turns (A, B, A, B) and the median
counts. wrk shares the cores with the workers and costs both sides the same, so the processor time of the workers for a request
is printed too: it says what the ratio would be if wrk cost nothing. Ends with 3 when a figure is missed.
"""

import argparse
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import policy as policies
from connection import MARKER, ask
from msgspec import Struct, field
from nginx import TARGET, Gateway, Ports, connection_to_each, gateway
from rules import CHANGED, RULES, TLS_NAME, Many, one_rule
from wrk import LINE, RESUMED, TLS_LINE, WALK, Run, in_turns, wrk

from builder.run.rootfs import unpacked
from builder.sandbox.program import find_program

CERTIFICATES, SAMPLES = 1_000, 20
REQUESTS = 500
MISSED = 3  # exit code


class Report(Struct):
    missed: list[str] = field(default_factory=list)

    def row(self, what: str, reach: str, measured: str, *, good: bool) -> None:
        print(f"{what:<62} {reach:>16}  {measured}{'' if good else '   MISSED'}", flush=True)
        if not good:
            self.missed.append(what)

    def rates(self, what: str, side: Run, against: Run, reach: float | None) -> None:
        ratio = side.rate / against.rate
        cost = f"{side.processor * 1e6:.1f} / {against.processor * 1e6:.1f} us of workers"
        measured = f"{ratio:.0%}  ({side.rate:,.0f} / {against.rate:,.0f} a second; {cost})"
        self.row(what, f"{reach:.0%}" if reach else "-", measured, good=not reach or ratio >= reach)


class Bench(Struct, frozen=True):
    folder: Path
    seconds: int
    rounds: int
    report: Report

    def script(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.lua"
        path.write_text(text)
        return path

    def own_answer(self, one: Gateway) -> None:
        """Row 1, and what passing on costs."""
        ports = (one.ports.rules, one.ports.plain, one.ports.redirect, one.ports.routed, one.ports.proxy)
        sides = [lambda port=port: wrk(one, f"http://127.0.0.1:{port}/", self.seconds, LINE) for port in ports]
        redirect, plain, plain_redirect, routed, proxied = in_turns(self.rounds, *sides)
        self.report.rates("one rule, L1 hit, against return 200", redirect, plain, 0.7)
        self.report.rates("  against return 302, as the rule answers", redirect, plain_redirect, None)
        self.report.rates("  passed on to a backend, against plain proxy_pass", routed, proxied, None)

    def many_rules(self, one: Gateway, many: Gateway, requests: str) -> None:
        """Row 2: the same request again and again, and different ones in turn, whose rules lie in different places of memory."""
        walk = self.script("walk", WALK)
        lines = Path(requests).read_text().splitlines(keepends=True)
        for count in (1, 100, len(lines)):
            some = self.folder / f"requests-{count}.tsv"
            some.write_text("".join(lines[:: len(lines) // count][:count]))
            sides = [
                lambda each=each, some=some: wrk(each, f"http://127.0.0.1:{each.ports.rules}/", self.seconds, LINE, walk, str(some))
                for each in (many, one)
            ]
            found, single = in_turns(self.rounds, *sides)
            which = f"{count} different requests in turn" if count > 1 else "one request"
            self.report.rates(f"{RULES} rules against one, {which}", found, single, 0.9)

    def changing(self, many: Gateway, text: Many, requests: str) -> None:
        """Row 3: latency under full load while the policy changes every second."""
        walk = self.script("walk", WALK)

        def still() -> Run:
            return wrk(many, f"http://127.0.0.1:{many.ports.rules}/", self.seconds, LINE, walk, requests)

        def changed() -> Run:
            over = threading.Event()

            def change() -> None:
                while not over.wait(1):
                    many.replace(text.step())

            thread = threading.Thread(target=change)
            thread.start()
            try:
                return still()
            finally:
                over.set()
                thread.join()

        first = text.version
        before, after = in_turns(self.rounds, still, changed)
        assert text.version >= first + self.rounds, "the policy did not change"
        wait_for_change(many, text)
        ratio = after.p99 / before.p99
        measured = f"{ratio:.2f} x  ({after.p99 * 1e3:.2f} / {before.p99 * 1e3:.2f} ms; {after.rate:,.0f} / {before.rate:,.0f} a second)"
        self.report.row(f"p99 while {CHANGED} of {RULES} rules change every second", "2 x", measured, good=ratio <= 2)

    def propagation(self, many: Gateway, text: Many) -> None:
        """Row 4: from the rename until the last worker serves the new rule, asked on a kept connection to each."""
        took = []
        for _ in range(SAMPLES):
            connections = connection_to_each(many)
            content = text.step()
            time.sleep(text.chance.uniform(0.2, 1.2))
            path = many.folder / "policy" / "policy.json"
            path.with_suffix(".new").write_text(content)
            started = time.perf_counter()
            path.with_suffix(".new").rename(path)
            waiting = list(connections)
            while waiting:
                waiting = [each for each in waiting if each.ask(MARKER)[1] != f"{TARGET}{text.version}"]
                assert time.perf_counter() - started < 10, f"a worker does not take the new policy:\n{many.log()}"
                time.sleep(0.002)
            took.append(time.perf_counter() - started)
            for each in connections:
                each.close()
        typical, most = statistics.median(took), max(took)
        measured = f"median {typical:.3f} s, most {most:.3f} s of {SAMPLES}"
        self.report.row("policy file replaced until every worker serves it", "0.2 s, 1.2 s", measured, good=typical <= 0.2 and most <= 1.2)

    def memory(self, many: Gateway, domains: Sequence[str]) -> None:
        """Row 5: after a handshake for every certificate with every worker."""
        before = usage(many)
        load_certificates(many, domains)
        time.sleep(2)
        after = usage(many)
        most = max(after.values())
        shown = "; ".join(f"USS {uss / 1e6:.1f}, PSS {pss / 1e6:.1f}, RSS {rss / 1e6:.1f}" for uss, pss, rss in after.values())
        rules_only = max(before.values())[0] / 1e6
        measured = f"{most[0] / 1e6:.1f} MB  (workers: {shown}; before the handshakes USS {rules_only:.1f})"
        self.report.row(f"a worker with {RULES} rules and {CERTIFICATES} certificates", "60 MB", measured, good=most[0] <= 60e6)

    def handshakes(self, one: Gateway) -> None:
        """Row 6: a connection for each request, none resumed."""
        urls = [f"https://{TLS_NAME}:{port}/" for port in (one.ports.secure, one.ports.tls)]
        count = self.script("resumed", RESUMED)
        for url in urls:
            argv = ["wrk", *TLS_LINE, "-H", "X-Ask: resumed", "-d", "1s", "-s", str(count), url]
            out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            assert "Resumed: 0" in out, f"handshakes were resumed:\n{out}"
        sides = [lambda url=url: wrk(one, url, self.seconds, TLS_LINE) for url in urls]
        dynamic, static = in_turns(self.rounds, *sides)
        self.report.rates("TLS handshakes, certificate from L1 against a static one", dynamic, static, 0.85)


def wait_for_change(many: Gateway, text: Many) -> None:
    end = time.monotonic() + 5
    while (served := ask(many.ports.rules, MARKER)[1]) != f"{TARGET}{text.version}":
        assert time.monotonic() < end, f"the last change is not served, but {served}:\n{many.log()}"
        time.sleep(0.05)


def load_certificates(many: Gateway, domains: Sequence[str]) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    workers = set(many.workers())
    missing = {(domain, worker) for domain in domains for worker in workers}
    end = time.monotonic() + 60
    while missing:
        for domain in sorted({domain for domain, _ in missing}):
            missing.discard((domain, ask(many.ports.secure, MARKER, context, domain)[2]))
        assert time.monotonic() < end, f"{len(missing)} certificates are not loaded: connections go to one worker only"


def usage(started: Gateway) -> dict[int, tuple[int, int, int]]:
    """Worker -> bytes that are its own, its share, and all that is in memory of it (proc(5), smaps_rollup)."""
    found = {}
    for pid in started.workers():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
        private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
        found[pid] = (private * 1024, kilobytes["Pss"] * 1024, kilobytes["Rss"] * 1024)
    return found


def prepare_requests(folder: Path) -> str:
    path = folder / "requests.tsv"
    script = Path(__file__).with_name("policy.py")
    with path.open("wb") as file:
        subprocess.run([sys.executable, str(script), "--rules", str(RULES), "--requests", str(REQUESTS)], check=True, stdout=file)
    return str(path)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="out/gateway", help="folder of the built image")
    parser.add_argument("--tools", default="", help="tool root with bubblewrap in it (default: the system's)")
    parser.add_argument("--seconds", type=int, default=6, help="of one run of wrk")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side")
    parser.add_argument("--port", type=int, default=18000, help="first of 20 free ports")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    parser.add_argument("--certificates", type=Path, help="folder that keeps the certificates made")
    parser.add_argument("--rows", default="1,2,3,4,5,6")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    rows = set(options.rows.split(","))
    report = Report()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.scratch, prefix="serving.")))
        rootfs = stack.enter_context(unpacked(os.path.abspath(options.image), str(folder / "rootfs"), str(folder / "cache")))
        launcher = find_program(os.path.abspath(options.tools) if options.tools else "")
        kept = options.certificates or folder / "certificates"
        certificates = policies.certificates_of(CERTIFICATES if "5" in rows else 1, kept)
        own = policies.make_certificate(TLS_NAME, kept)
        text, requests = Many.of(certificates), prepare_requests(folder)
        first, second = Ports.above(options.port), Ports.above(options.port + 10)
        one = stack.enter_context(gateway(launcher, rootfs, folder / "one", first, one_rule(first, own), own))
        many = stack.enter_context(gateway(launcher, rootfs, folder / "many", second, text.text(), own))
        bench = Bench(folder, options.seconds, options.rounds, report)
        for each in (one, many):  # LuaJIT has translated what it will
            wrk(each, f"http://127.0.0.1:{each.ports.rules}/", 2, LINE, bench.script("walk", WALK), requests)
        print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
        print(f"{'what':<62} {'reach':>16}  measured")
        figures: dict[str, Callable[[], None]] = {
            "1": lambda: bench.own_answer(one), "2": lambda: bench.many_rules(one, many, requests), "6": lambda: bench.handshakes(one),
            "5": lambda: bench.memory(many, list(certificates)), "4": lambda: bench.propagation(many, text),
            "3": lambda: bench.changing(many, text, requests),
        }
        for number, figure in figures.items():
            if number in rows:
                figure()
        print(f"\nUSS after all changes of the policy: {', '.join(f'{uss / 1e6:.1f} MB' for uss, _, _ in usage(many).values())}")
        for each in (one, many):
            if said := each.log():
                print(f"error log of {each.folder.name}:\n{said[:2000]}")
    sys.exit(MISSED if report.missed else 0)


if __name__ == "__main__":
    main()
