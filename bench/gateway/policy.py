"""Large policies for benchmarks and tests: always the same for the same arguments.

    python bench/gateway/policy.py --rules 10000 --certificates 1000 --change 100 --seed 1 > policy.json

Rules are mixed as tenants mix them: most have a host of their own and a prefix, some share a host, some a wildcard host, some
have only a prefix, a few need a method or a header besides. Rule i is reached by a request that `--requests N` prints, one a
line: host, path, method, header value ("-" for none), rule's id. `--change K` gives K rules another upstream timeout, so that
two policies that differ in nothing but --change differ in exactly K rules.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

DEFAULT_BACKENDS = "127.0.0.1:9001,127.0.0.1:9002"
SHARED_HOSTS = 20
PARENTS = 50
HEADER = "X-Env"


class Match(Struct, frozen=True, kw_only=True):
    """What one rule asks for, and a request that fulfils it."""

    expression: list[object]
    host: str
    path: str
    method: str = "GET"
    header: str = "-"


def host_and_prefix(host: str, prefix: str) -> list[object]:
    return ["AND", ["EQ", "HOST", host], ["STARTS_WITH", "URL", prefix]]


def match_of(i: int, rng: random.Random) -> Match:
    """The match of rule i: six kinds, of which the last two also look at the request itself."""
    kind = rng.choices(["own", "shared", "wildcard", "prefix", "method", "header"], [50, 20, 10, 10, 5, 5])[0]
    prefix = f"/{rng.choice(['api', 'app', 'team', 'v1'])}/{i:06d}" + rng.choice(["", "/", "/items/", "/deep/er/path/"])
    path = prefix + rng.choice(["", "x", "/y/z"])
    if kind == "own":
        host = f"h{i:06d}.example.com"
        return Match(expression=host_and_prefix(host, "/"), host=host, path=path)
    if kind == "shared":
        host = f"shared{rng.randrange(SHARED_HOSTS):02d}.example.com"
        return Match(expression=host_and_prefix(host, prefix), host=host, path=path)
    if kind == "wildcard":
        parent = f"p{rng.randrange(PARENTS):02d}.example.org"
        expression: list[object] = ["AND", ["ENDS_WITH", "HOST", f"*.{parent}"], ["STARTS_WITH", "URL", prefix]]
        return Match(expression=expression, host=f"w{i:06d}.{parent}", path=path)
    host = f"any{i:06d}.example.net"
    if kind == "prefix":
        return Match(expression=["STARTS_WITH", "URL", prefix], host=host, path=path)
    if kind == "method":
        return Match(expression=["AND", ["STARTS_WITH", "URL", prefix], ["EQ", "METHOD", "POST"]], host=host, path=path, method="POST")
    value = f"env{i % 7}"
    return Match(expression=[*host_and_prefix(host, prefix), ["EQ", "HEADER", HEADER, value]], host=host, path=path, header=value)


def rule_of(i: int, match: Match, *, groups: int, changed: bool) -> dict[str, object]:
    rule: dict[str, object] = {
        "rule": f"rule-{i:06d}",
        "upstream": f"group-{i % groups:04d}",
        "internal_dsl": [match.expression],
        "url": "",
        "rewrite_target": "",
        "enable_cors": False,
        "backend_protocol": "HTTP",
        "vhost": "",
        "redirect_url": "",
        "redirect_code": 0,
    }
    if changed:
        rule["config"] = {"timeout": {"proxy_read_timeout_ms": 30000}}
    return rule


def group_of(i: int, backends: list[str]) -> dict[str, object]:
    ends = [backend.rpartition(":") for backend in backends]
    members = [{"address": address.strip("[]"), "port": int(port), "weight": 100} for address, _, port in ends]
    return {"name": f"group-{i:04d}", "mode": "http", "session_affinity_policy": "", "session_affinity_attribute": "", "backends": members}


def make_certificate(domain: str, folder: Path) -> dict[str, str]:
    """A self-signed EC certificate for domain, made once and kept in folder."""
    cert, key = folder / f"{domain}.crt", folder / f"{domain}.key"
    if not (cert.exists() and key.exists()):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        names = ["-subj", f"/CN={domain}", "-addext", f"subjectAltName=DNS:{domain}"]
        files = ["-keyout", str(key), "-out", str(cert)]
        subprocess.run(["openssl", "req", "-x509", "-days", "3650", *curve, *names, *files], check=True, capture_output=True)
    return {"cert": cert.read_text(), "key": key.read_text()}


def certificates_of(count: int, folder: Path) -> dict[str, dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    domains = [f"c{i:05d}.example.com" for i in range(count)]
    return {domain: make_certificate(domain, folder) for domain in domains}


def matches(count: int, seed: int) -> list[Match]:
    rng = random.Random(seed)
    return [match_of(i, rng) for i in range(count)]


def policy(arguments: argparse.Namespace) -> dict[str, object]:
    changed = set(random.Random(arguments.seed + 1).sample(range(arguments.rules), min(arguments.change, arguments.rules)))
    rules = [
        rule_of(i, match, groups=arguments.groups, changed=i in changed)
        for i, match in enumerate(matches(arguments.rules, arguments.seed))
    ]
    backends = arguments.backends.split(",")
    return {
        "certificate_map": certificates_of(arguments.certificates, arguments.cache) if arguments.certificates else {},
        "http": {"tcp": {str(arguments.port): rules}},
        "stream": {"tcp": {}, "udp": {}},
        "backend_group": [group_of(i, backends) for i in range(arguments.groups)],
    }


def print_requests(arguments: argparse.Namespace) -> None:
    found = matches(arguments.rules, arguments.seed)
    step = max(1, len(found) // arguments.requests)
    for i in range(0, len(found), step):
        match = found[i]
        print(match.host, match.path, match.method, match.header, f"rule-{i:06d}", sep="\t")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=10000)
    parser.add_argument("--certificates", type=int, default=0, help="self-signed, EC P-256, for c00000.example.com and on")
    parser.add_argument("--change", type=int, default=0, help="how many rules differ from the policy without --change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=80, help="port that the rules are for")
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--backends", default=DEFAULT_BACKENDS, help="address:port,... of every group")
    parser.add_argument("--cache", type=Path, default=Path("certificates"), help="folder that keeps the certificates made")
    parser.add_argument("--requests", type=int, default=0, help="print about this many requests for the policy instead of it")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.requests:
        print_requests(arguments)
        return
    json.dump(policy(arguments), sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
