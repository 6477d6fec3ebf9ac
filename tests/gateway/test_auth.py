"""Tokens, origins and addresses as a handshake brings them."""

from __future__ import annotations

import pytest

from liveroom.errors import BadConfig
from liveroom.gateway.auth import Proxies, find_token, origin_allowed


def test_the_token_is_taken_from_the_header_then_the_subprotocol_then_the_query() -> None:
    """A header that is no Bearer is no token; it is not looked for elsewhere then."""
    offered = ["liveroom.v1", "liveroom.token.b.b.b"]
    assert find_token("Bearer a.a.a", offered, "c.c.c") == "a.a.a"
    assert find_token("bearer  a.a.a", offered, "c.c.c") == "a.a.a"
    assert find_token(None, offered, "c.c.c") == "b.b.b"
    assert find_token(None, ["liveroom.v1"], "c.c.c") == "c.c.c"
    assert find_token("Basic abc", offered, "c.c.c") == ""
    assert find_token(None, [], None) == ""


@pytest.mark.parametrize(
    ("origin", "allowed", "may"),
    [
        (None, (), True),
        ("http://a.example", (), False),
        ("http://a.example", ("http://a.example",), True),
        ("HTTP://A.example", ("http://a.example/",), True),
        ("http://a.example:81", ("http://a.example",), False),
        ("http://a.example.evil.example", ("http://a.example",), False),
        ("null", ("http://a.example",), False),
        ("http://b.example", ("*",), True),
    ],
)
def test_origins_are_compared_whole(origin: str | None, allowed: tuple[str, ...], may: bool) -> None:
    """Scheme, host and port; no prefix will do; no Origin is no browser."""
    assert origin_allowed(origin, allowed) is may


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),  # an untrusted peer may claim anything
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::ffff:10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", ["[2001:db8::7]"], "2001:db8::7"),
        ("unix", ["1.1.1.1"], "unix"),
    ],
)
def test_the_clients_address_is_the_right_most_that_is_no_trusted_proxy(peer: str, forwarded_for: list[str], address: str) -> None:
    """What stands left of it was written by the client and is not believed."""
    assert Proxies(("10.0.0.0/8", "fd00::/8")).client_address(peer, forwarded_for) == address


def test_a_network_that_is_none_is_told_by_its_setting() -> None:
    """A mistyped proxy must not silently trust nobody."""
    with pytest.raises(BadConfig, match=r"gateway\.trusted_proxies"):
        Proxies(("10.0.0.0/40",))
