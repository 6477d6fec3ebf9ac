"""Tokens and origins as a handshake brings them."""

from __future__ import annotations

import pytest

from liveroom.gateway.auth import Origins, find_token


def test_the_token_is_taken_from_the_header_then_the_subprotocol_then_the_query() -> None:
    """A header of another scheme, such as a proxy's, is passed over."""
    offered = ["liveroom.v1", "liveroom.token.b.b.b"]
    assert find_token(["Bearer a.a.a"], offered, "c.c.c") == "a.a.a"
    assert find_token(["Basic x", "bearer  a.a.a"], offered, "c.c.c") == "a.a.a"
    assert find_token([], offered, "c.c.c") == "b.b.b"
    assert find_token([], ["liveroom.v1"], "c.c.c") == "c.c.c"
    assert find_token(["Basic abc"], offered, "c.c.c") == "b.b.b"
    assert find_token(["Bearer "], offered, "c.c.c") == ""
    assert find_token([], [], None) == ""


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
    assert Origins(allowed).allow(origin) is may


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://live.example.com", True),
        ("https://LIVE.example.com", True),
        ("https://example.com", False),
        ("https://a.live.example.com", False),
        ("https://.example.com", False),
        ("http://live.example.com", False),
        ("https://live.example.com:8443", False),
        ("https://live.example.com.evil.example", False),
        ("https://evilexample.com", False),
        ("https://live.other.example:8443", True),
        ("https://live.other.example", False),
    ],
)
def test_a_wildcard_stands_for_one_label(origin: str, may: bool) -> None:
    """A wildcard stands for one label of the host: not for none, not for several, not for a scheme or a port."""
    assert Origins(("https://*.example.com", "https://*.other.example:8443")).allow(origin) is may


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        ("http://gw.example:8800", "gw.example:8800", True),
        ("http://gw.example", "gw.example", True),
        ("https://gw.example", "gw.example", True),
        ("https://GW.example", "gw.Example:443", True),
        ("http://gw.example:80", "gw.example", True),
        ("https://gw.example:80", "gw.example", False),
        ("http://gw.example:8801", "gw.example:8800", False),
        ("http://evil.example", "gw.example", False),
        ("http://gw.example.evil.example", "gw.example", False),
        ("http://[::1]:8800", "[::1]:8800", True),
        ("null", "gw.example", False),
        ("http://gw.example", None, False),
        ("http://a, http://gw.example", "gw.example", False),
        ("file://gw.example", "gw.example", False),
    ],
)
def test_a_page_of_the_gateways_own_host_may_connect(origin: str, host: str | None, may: bool) -> None:
    """React Native names the requested host with its port as the origin, with any scheme."""
    assert Origins(()).allow(origin, host) is may
