"""When to come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.client.reconnect import BAN_WAIT_MAX_S, Reconnect, ban_delay_ms, checked_token, full_jitter_s, retry_after_ms


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_are_jittered_and_capped(attempt: int, chance: float) -> None:
    """A delay lies anywhere between 0 and a bound that doubles from 0.5 s up to 20 s."""
    delay_s = full_jitter_s(attempt, chance)
    assert 0 <= delay_s <= min(20, 0.5 * 2 ** min(attempt, 10))
    assert full_jitter_s(attempt, 0.999) > 0.9 * min(20, 0.5 * 2 ** min(attempt, 10))


def test_a_connection_has_to_hold_before_pauses_are_short_again() -> None:
    """A gateway that lets in and closes at once gets a handful of attempts in 30 s, one that held for 10 s a quick one."""
    reconnect = Reconnect(token_refreshes=False)
    passed_s, attempts = 0.0, 0
    while passed_s < 30:
        assert reconnect.after(1011, held_s=0.05)
        passed_s += reconnect.delay_s(None, 0.5, None)
        attempts += 1
    assert attempts <= 8
    assert reconnect.after(1011, held_s=10)
    assert reconnect.delay_s(None, 0.999, None) < 0.5


def test_refused_tokens_are_counted_until_a_connection_holds() -> None:
    """Three in a row mean not authorized, and longer pauses; a lost connection between does not start over, one that held does."""
    reconnect = Reconnect(token_refreshes=True)
    for code, unauthorized in [(4500, False), (4000, False), (1006, False), (3001, True), (401, True)]:
        assert reconnect.after(code, held_s=0)
        assert reconnect.unauthorized is unauthorized
    reconnect.attempt = 20
    assert 20 < reconnect.delay_s(None, 0.999, None) < 60
    assert reconnect.after(4000, held_s=3_600)
    assert not reconnect.unauthorized
    assert not Reconnect(token_refreshes=False).after(4500, held_s=0)


@pytest.mark.parametrize("bad", [None, 7, b"a.b.c", "", "  ", "a b", "<html>", '{"token": "x"}', "a" * 5_000, "t\nX-Evil: 1", "名"])
def test_what_is_no_token_is_refused(bad: object) -> None:
    """Only text of a token's alphabet is sent; spaces around it are taken off."""
    with pytest.raises(ValueError, match="form of a token"):
        checked_token(bad)
    assert checked_token(" eyJ.a-b_c.d\n") == "eyJ.a-b_c.d"


def test_a_named_delay_is_kept_and_spread() -> None:
    """`Retry-After` in seconds counts, within a bound; dates and nonsense do not."""
    assert (retry_after_ms("5", 0), retry_after_ms("5", 0.5), retry_after_ms("999999", 0)) == (5_000, 7_500, 120_000)
    assert [retry_after_ms(header, 0) for header in (None, "", "soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "²")] == [None] * 6


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.floats(0, 1, exclude_max=True))
def test_a_ban_is_waited_out_within_a_bound(until_ms: int, time_ms: int, chance: float) -> None:
    """The pause lasts to the end of the ban by the server's clock and never much longer than the bound."""
    delay_ms = ban_delay_ms(until_ms, time_ms, chance)
    assert min(max(0, until_ms - time_ms), BAN_WAIT_MAX_S * 1_000) <= delay_ms <= BAN_WAIT_MAX_S * 1_000 + 500
