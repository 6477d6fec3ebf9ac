"""Token buckets: burst, rate, waiting time and the number of users that are remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.process import token_bucket
from liveroom.process.token_bucket import TokenBucket, TokenBuckets


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_burst_and_rate(pauses: list[float], per_s: int, burst: int) -> None:
    """Over any time t at most burst + rate * t are let through, and the named wait is never too short."""
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
    if wait_ms := bucket.take(per_s, burst, now):
        assert bucket.take(per_s, burst, now + wait_ms / 1000) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 2)), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_each_user_has_a_bucket_of_its_own(takes: list[tuple[str, float]], per_s: int, burst: int) -> None:
    """A user's result does not depend on what other users take."""
    together, alone = TokenBuckets(per_s, burst), {"a": TokenBuckets(per_s, burst), "b": TokenBuckets(per_s, burst)}
    now = 0.0
    for user, pause in takes:
        now += pause
        assert together.take(user, now) == alone[user].take(user, now)


def test_the_user_seen_least_recently_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of buckets the oldest user starts full again; the others stay limited."""
    monkeypatch.setattr(token_bucket, "BUCKETS_MAX", 2)
    buckets = TokenBuckets(1, 1)
    assert [buckets.take(user, 0.0) for user in ("a", "b")] == [0, 0]
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("c", 0.0) == 0
    assert len(buckets) == 2
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0
