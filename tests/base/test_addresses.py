"""Secrets in addresses are never printed."""

import time

import pytest

from builder.base.addresses import host, scrubbed, shown
from builder.base.errors import Problem, RecipeError, UsageError


@pytest.mark.parametrize(("address", "text"), [
    ("https://me:secret@a.example:8443/b?token=secret", "https://a.example:8443/b?..."),
    ("https://me:se@cret@a.example/b#secret", "https://a.example/b#..."),
    ("https://a.example/x?sig=a'secret\"<secret>", "https://a.example/x?..."),
    ("https://a.example/@scope/b@1.0", "https://a.example/@scope/b@1.0"),
    ("https://a.example?secret", "https://a.example?..."),
    ("http://[::1]:8/a", "http://[::1]:8/a"), ("http://[", "http://["),
    ("mirror://debian/pool/a%2B1", "mirror://debian/pool/a%2B1"),
])
def test_one_address(address: str, text: str) -> None:
    assert shown(address) == shown(shown(address)) == text


@pytest.mark.parametrize(("address", "at"), [
    ("https://me:secret@a.example:8443/b", "a.example:8443"), ("https://a.example?x=@", "a.example"), ("http://[::1]:8/a", "[::1]:8"),
    ("http://u:p@[", "["), ("mirror://debian/pool/a", "debian"), ("nothing", ""),
])
def test_the_host_of_an_address(address: str, at: str) -> None:
    assert host(address) == at


@pytest.mark.parametrize(("text", "printed"), [
    ("see 'https://me:secret@a.example/b?sig=secret', and", "see 'https://a.example/b?...', and"),
    ("https://h/x?sig=secret&a=b: HTTP 404", "https://h/x?...: HTTP 404"),
    ("ftp://u:secret@h/x, s3://k:secret@b", "ftp://h/x, s3://b"),
    ("is it http://x/a? yes", "is it http://x/a? yes"),
    ("(https://a/b?x=secret). https://a/#secret;", "(https://a/b?...). https://a/#...;"),
    ("http://proxy:secret@h:3128: refused", "http://h:3128: refused"),
    ("two\nhttp://me:secret@a\nlines", "two\nhttp://a\nlines"),
    ("me@example.org wrote", "me@example.org wrote"),
])
def test_addresses_in_a_text(text: str, printed: str) -> None:
    assert scrubbed(text) == scrubbed(scrubbed(text)) == printed


def test_errors_hold_none() -> None:
    address = "https://me:secret@a.example/b?sig=secret"
    for error in (
        UsageError(f"1 {address}", where=address, hint=f"2 {address}"),
        RecipeError([Problem("recipes/a.toml", f"'{address}' is wrong", f"not {address}")]),
    ):
        assert "secret" not in str(error) + repr(error) + str(error.as_dict())


def test_long_runs_take_no_time() -> None:
    text = f"https://a.example/{'b' * 100_000} {'x' * 1_000_000} {'@:' * 100_000} http://{'?' * 100_000}"
    started = time.monotonic()
    scrubbed(text)
    assert time.monotonic() - started < 2
