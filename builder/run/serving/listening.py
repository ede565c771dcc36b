"""On which ports the gateway listens, as the files of /etc/gateway/listen say it to nginx. Pure.

A listener has a port of the machine and a port of the policy, whose rules it takes: a plain
user cannot listen on port 80.
"""

import ipaddress
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from builder.base.errors import UsageError


class Listener(Struct, frozen=True):
    """port: where it listens. rules: the port of the policy that it answers for."""

    port: int
    rules: int


class Listening(Struct, frozen=True, kw_only=True):
    """address: IPv4 or IPv6, without brackets. http, https: at least one each. status: the status server's port."""

    address: str
    http: tuple[Listener, ...]
    https: tuple[Listener, ...]
    status: int

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.address)
        except ValueError as error:
            hint = "such as 127.0.0.1, or 0.0.0.0 for all of IPv4"
            raise UsageError(f"'{self.address}' is no IP address", where="--listen", hint=hint) from error
        ports = list(self.ports())
        if twice := sorted({each for each in ports if ports.count(each) > 1}):
            raise UsageError(f"port {twice[0]} is named twice", hint="give each listener a port of its own")

    def ports(self) -> Iterator[int]:
        """All ports of the machine that are listened on."""
        yield from (each.port for each in (*self.http, *self.https))
        yield self.status

    @property
    def host(self) -> str:
        """The address as it stands before a port."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def loopback(self) -> "Listening":
        """The same ports on the loopback of a sandbox without network."""
        return replace(self, address="::1" if ":" in self.address else "127.0.0.1")

    def files(self) -> Mapping[str, str]:
        """Name of a file -> its text, nothing but `listen` directives (ngx_http_core_module)."""
        return {
            "http.conf": "".join(f"listen {self.host}:{each.port};\n" for each in self.http),
            "https.conf": "".join(f"listen {self.host}:{each.port} ssl;\n" for each in self.https),
            "status.conf": f"listen {self.host}:{self.status};\n",
        }

    def rules(self) -> str:
        """GATEWAY_PORTS: which port of the policy each listener takes its rules from, like "8080=80,8443=443"."""
        return ",".join(f"{each.port}={each.rules}" for each in (*self.http, *self.https))

    def urls(self) -> list[str]:
        """Where it is reached, for people."""
        made = [f"http://{self.host}:{each.port}/  (rules of port {each.rules})" for each in self.http]
        made += [f"https://{self.host}:{each.port}/  (rules of port {each.rules})" for each in self.https]
        return [*made, f"http://{self.host}:{self.status}/status"]
