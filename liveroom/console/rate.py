"""A token bucket per user, which limits the average rate and the burst of commands."""

from __future__ import annotations

import math
from collections import OrderedDict

__all__ = ["BUCKETS_MAX", "RateLimiter"]

#: Users whose buckets are kept. Beyond this, the least recently seen user's bucket is dropped and would start full again.
BUCKETS_MAX = 100_000


class RateLimiter:
    """Allows each user `per_s` commands a second on average, and `burst` at once."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # user -> (commands left, time of that count)

    def take(self, user: str, now_s: float) -> int:
        """Take one token of `user` at the time `now_s`. Returns 0, or the time until the next token, in ms."""
        left, since = self._buckets.pop(user, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - since) * self._per_s)
        wait_ms = 0 if left >= 1 else max(1, math.ceil((1 - left) / self._per_s * 1000))
        self._buckets[user] = (left if wait_ms else left - 1, now_s)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return wait_ms
