"""A token bucket, which limits the average rate and the burst of what one client does.

Gateways hold one for each connection, consoles one for each user.
The pace of chat is a rule of the room and uses another algorithm (GCRA): one number in the room's state, derived from events alone.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["BUCKETS_MAX", "TokenBucket", "TokenBuckets"]

#: Users whose buckets are kept. Beyond this, the least recently seen user's bucket is dropped and would start full again.
BUCKETS_MAX: Final = 100_000


class TokenBucket:
    """A bucket that begins full. `now` is a monotonic time in seconds."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: int, now: float) -> None:
        self._tokens = float(burst)
        self._at = now

    def take(self, per_s: int, burst: int, now: float) -> int:
        """Take one token. Returns 0 if there was one, otherwise the time until the next, in ms."""
        self._tokens = min(burst, self._tokens + (now - self._at) * per_s)
        self._at = now
        if self._tokens < 1:
            return int((1 - self._tokens) / per_s * 1000) + 1
        self._tokens -= 1
        return 0


class TokenBuckets:
    """One bucket for each user: `per_s` tokens a second on average, and `burst` at once."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()  # least recently seen first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, user: str, now: float) -> int:
        """Take one token of `user`. Returns 0 if there was one, otherwise the time until the next, in ms."""
        bucket = self._buckets.pop(user, None) or TokenBucket(self._burst, now)
        self._buckets[user] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return bucket.take(self._per_s, self._burst, now)
