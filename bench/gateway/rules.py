"""The two policies that are served: one rule, and many rules of which some change."""

import json
import random

import policy as policies
from connection import MARKER
from msgspec import Struct, field
from nginx import TARGET, Ports

RULES, CHANGED = 10_000, 100
TLS_NAME = "localhost"  # wrk sends the name of its URL as SNI


class Many(Struct):
    """The policy with many rules, all of which redirect, as text of its rules; `step` changes some of them."""

    rules: list[str]
    certificates: str
    version: int = 0
    matches: list[policies.Match] = field(default_factory=lambda: policies.matches(RULES, 1))
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @classmethod
    def of(cls, certificates: dict[str, dict[str, str]]) -> "Many":
        return cls([_redirect(i, each, 0) for i, each in enumerate(policies.matches(RULES, 1))], json.dumps(certificates))

    def step(self) -> str:
        self.version += 1
        for i in self.chance.sample(range(RULES), CHANGED - 1):  # the marker's rule is one of those that change
            self.rules[i] = _redirect(i, self.matches[i], self.version)
        return self.text()

    def text(self) -> str:
        marker = _rule("marker", ["EQ", "HOST", MARKER], redirect_url=f"{TARGET}{self.version}", redirect_code=302)
        return f'{{"certificate_map":{self.certificates},"http":{{"tcp":{{"80":[{",".join([marker, *self.rules])}]}}}},"backend_group":[]}}'


def _rule(name: str, expression: list[object], **more: object) -> str:
    return json.dumps({"rule": name, "internal_dsl": [expression], **more})


def _redirect(i: int, match: policies.Match, version: int) -> str:
    return _rule(f"rule-{i:06d}", match.expression, redirect_url=f"{TARGET}{i}/{version}", redirect_code=302)


def one_rule(ports: Ports, certificate: dict[str, str]) -> str:
    everything: list[object] = ["STARTS_WITH", "URL", "/"]
    redirect = json.loads(_rule("redirect", everything, redirect_url=TARGET, redirect_code=302))
    routed = json.loads(_rule("routed", everything, upstream="backend"))
    backends = [{"address": "127.0.0.1", "port": ports.backend, "weight": 100}]
    group = {"name": "backend", "mode": "http", "session_affinity_policy": "", "backends": backends}
    tcp = {"80": [redirect], "81": [routed]}
    return json.dumps({"certificate_map": {TLS_NAME: certificate}, "http": {"tcp": tcp}, "backend_group": [group]})
