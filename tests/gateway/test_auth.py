"""Tokens and origins as a handshake brings them."""

from __future__ import annotations

import pytest

from liveroom.gateway.auth import find_token, origin_allowed


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
    assert origin_allowed(origin, allowed) is may
