"""Whether to come back, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.client.comeback import comes_back, full_jitter_s
from liveroom.errors import CLOSE_CODES


@pytest.mark.parametrize("code", [c for c in CLOSE_CODES if c != 4000])
def test_close_codes_by_range(code: int) -> None:
    """Below 4500 a client comes back, from there on it does not."""
    assert comes_back(code, token_refreshes=False) is (code < 4500)


def test_an_expired_token_needs_another_one() -> None:
    """After `token_expired` only a client that can get another token comes back."""
    assert comes_back(4000, token_refreshes=True)
    assert not comes_back(4000, token_refreshes=False)


@pytest.mark.parametrize(("status", "back"), [(400, False), (403, False), (404, False), (429, True), (502, True), (503, True)])
def test_refused_handshakes(status: int, back: bool) -> None:
    """A refusal over HTTP that will pass is worth another attempt; one that will not is final."""
    assert comes_back(status, token_refreshes=True) is back


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_are_jittered_and_capped(attempt: int, chance: float) -> None:
    """A delay lies anywhere between 0 and a bound that doubles from 0.5 s up to 20 s."""
    delay_s = full_jitter_s(attempt, chance)
    assert 0 <= delay_s <= min(20, 0.5 * 2 ** min(attempt, 10))
    assert full_jitter_s(attempt, 0.999) > 0.9 * min(20, 0.5 * 2 ** min(attempt, 10))
