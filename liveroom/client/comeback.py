"""Whether to come back after a connection ended, and when. No I/O, no clock."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["CLOSE_GAP", "CLOSE_LOST", "CLOSE_TOKEN_EXPIRED", "DELAY_FIRST_S", "DELAY_MAX_S", "Goodbye", "comes_back", "full_jitter_s"]

#: The first reconnect comes after a random time up to this; the bound doubles each time ...
DELAY_FIRST_S: Final = 0.5
#: ... up to this.
DELAY_MAX_S: Final = 20.0

CLOSE_LOST: Final = 1006
#: Told to the application when this client left because it missed something.
CLOSE_GAP: Final = 3000
CLOSE_TOKEN_EXPIRED: Final = 4000
CLOSE_FINAL_FROM: Final = 4500

#: HTTP statuses of a refused handshake after which it is worth coming back: too many, overloaded, a proxy's trouble, a slow start.
_STATUSES_THAT_COME_BACK: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Goodbye(Struct, frozen=True):
    """How one connection ended: a close code, or the HTTP status of a refused handshake."""

    code: int
    reason: str
    #: The delay that the server named before it left, in ms.
    delay_ms: int | None = None


def comes_back(code: int, token_refreshes: bool) -> bool:
    """Whether the end of a connection with `code` is worth another attempt; an expired token only when there will be another one."""
    if code < 1000:
        return code in _STATUSES_THAT_COME_BACK
    if code == CLOSE_TOKEN_EXPIRED:
        return token_refreshes
    return code < CLOSE_FINAL_FROM


def full_jitter_s(attempt: int, chance: float, max_s: float | None = None) -> float:
    """A time between 0 and a bound that doubles with each attempt (from 0), for `chance` in [0, 1): a crowd never comes back at once."""
    bound: float = min(DELAY_MAX_S if max_s is None else max_s, DELAY_FIRST_S * 2 ** min(attempt, 30))
    return chance * bound
