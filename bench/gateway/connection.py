"""Single requests to a gateway, on connections that are kept."""

import socket
import ssl

MARKER = "version.example.com"


class Connection:
    """A connection that is kept: asks for / of the marker's host and reads Location and the worker's number."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, name: str = "") -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=name) if context else plain

    def ask(self, host: str) -> tuple[int, str, int]:
        """Status, Location, worker."""
        self._socket.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Ask: worker\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines[1:])}
        missing = int(fields.get("content-length", "0")) - len(body)
        while missing > 0:
            missing -= len(self._receive())
        return int(lines[0].split()[1]), fields.get("location", ""), int(fields["x-worker"])

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data

    def close(self) -> None:
        self._socket.close()


def ask(port: int, host: str, context: ssl.SSLContext | None = None, name: str = "") -> tuple[int, str, int]:
    connection = Connection(port, context, name)
    try:
        return connection.ask(host)
    finally:
        connection.close()
