"""Buckets and counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveroom.gateway.deadlines import Deadlines
from liveroom.gateway.limits import FLOOD_WINDOW_S, KeyedCounter, TokenBucket


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_burst_and_rate(pauses: list[float], per_s: int, burst: int) -> None:
    """Over any time t at most burst + rate * t are let through; a refused one would be after the wait it was told."""
    bucket = TokenBucket(burst, 0.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        wait_ms = bucket.take(per_s, burst, now)
        if wait_ms:
            assert wait_ms <= 1000 / per_s + 1
        else:
            taken += 1
        assert taken <= burst + per_s * now + 1e-6
    now += bucket.take(per_s, burst, now) / 1000
    assert bucket.take(per_s, burst, now + 1.0) == 0


def test_refusals_are_counted_within_the_window() -> None:
    """Old ones are forgotten, so that a clumsy client is not closed for a day's mistakes."""
    bucket = TokenBucket(1, 0.0)
    assert [bucket.refuse(0.1 * i) for i in range(3)] == [1, 2, 3]
    assert bucket.refuse(FLOOD_WINDOW_S + 1) == 1


def test_a_tally_holds_no_zeroes() -> None:
    """An address that has left costs nothing."""
    tally = KeyedCounter()
    tally.add("a")
    tally.add("a")
    tally.remove("a")
    assert tally["a"] == 1
    tally.remove("a")
    assert tally["a"] == 0
    assert len(tally) == 0


def test_deadlines_come_in_the_order_in_which_they_were_set() -> None:
    """Each after its time, none twice."""
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 0)
    deadlines.add("b", 1)
    assert list(deadlines.due(4)) == []
    assert list(deadlines.due(5)) == ["a"]
    assert list(deadlines.due(9)) == ["b"]
    assert len(deadlines) == 0
