"""When to come back after a connection ended. No I/O, no clock."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from liveroom.client.endings import Then, then_of

__all__ = [
    "BAN_WAIT_MAX_S",
    "DELAY_FIRST_S",
    "DELAY_MAX_S",
    "DELAY_UNAUTHORIZED_S",
    "STABLE_S",
    "TOKENS_REFUSED_MAX",
    "Goodbye",
    "Reconnect",
    "ban_delay_ms",
    "checked_token",
    "full_jitter_s",
    "retry_after_ms",
]

#: The first reconnect comes after a random time up to this; the bound doubles each time ...
DELAY_FIRST_S: Final = 0.5
#: ... up to this.
DELAY_MAX_S: Final = 20.0
#: The same while no token is accepted: only the application's own backend can mend that.
DELAY_UNAUTHORIZED_S: Final = 60.0
#: Tokens refused in a row after which the application learns that it is not authorized.
TOKENS_REFUSED_MAX: Final = 3
#: A connection that held for this long makes the next pause a short one again.
STABLE_S: Final = 10.0
#: A banned user looks this often whether the ban was lifted early.
BAN_WAIT_MAX_S: Final = 300.0
#: The longest delay that a `Retry-After` may name.
RETRY_AFTER_MAX_S: Final = 120.0

TOKEN_CHARS_MAX: Final = 4_096
#: RFC 6750's alphabet without what a subprotocol cannot carry: no JWT is refused, every page of HTML or JSON is.
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]+")


class Goodbye(Struct, frozen=True):
    """How one connection ended: a close code, or the HTTP status of a refused handshake."""

    code: int
    reason: str
    #: The delay that the server named before it left, in ms.
    delay_ms: int | None = None


class Reconnect:
    """Counts attempts and refused tokens of one room; `token_refreshes`: the token is a function that may give another."""

    def __init__(self, token_refreshes: bool) -> None:
        self._token_refreshes = token_refreshes
        self._tokens_refused = 0
        #: Attempts since a connection last held for `STABLE_S`.
        self.attempt = 0

    @property
    def unauthorized(self) -> bool:
        """Whether so many tokens were refused in a row that the application has to know."""
        return self._tokens_refused >= TOKENS_REFUSED_MAX

    def after(self, code: int, held_s: float) -> bool:
        """Take the end of a connection that held for `held_s` (0 = it was never joined); gives whether to come back."""
        if held_s >= STABLE_S:
            self.attempt = self._tokens_refused = 0
        then = then_of(code)
        if then is Then.token:
            self._tokens_refused += 1
            return self._token_refreshes
        return then is Then.retry

    def delay_s(self, named_ms: int | None, chance: float, max_s: float | None) -> float:
        """The pause before the next attempt, which is counted: what the server named, else a random one that grows."""
        bound = (DELAY_MAX_S if max_s is None else max_s) if not self.unauthorized else DELAY_UNAUTHORIZED_S
        delay_s = full_jitter_s(self.attempt, chance, bound) if named_ms is None else named_ms / 1000
        self.attempt += 1
        return delay_s


def checked_token(given: object) -> str:
    """A token without spaces around it; raises `ValueError` for what has not the form of one."""
    token = given.strip() if isinstance(given, str) else ""
    if len(token) > TOKEN_CHARS_MAX or not _TOKEN.fullmatch(token):
        raise ValueError("the text does not have the form of a token")
    return token


def full_jitter_s(attempt: int, chance: float, max_s: float | None = None) -> float:
    """A time between 0 and a bound that doubles with each attempt (from 0), for `chance` in [0, 1): a crowd never comes back at once."""
    bound: float = min(DELAY_MAX_S if max_s is None else max_s, DELAY_FIRST_S * 2 ** min(attempt, 30))
    return chance * bound


def retry_after_ms(header: str | None, chance: float) -> int | None:
    """The delay that a `Retry-After` in seconds names, spread up to twice of it, in ms; `None` without one."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 9:
        return None
    return int(min(int(header), RETRY_AFTER_MAX_S) * (1 + chance) * 1000)


def ban_delay_ms(until_ms: int, time_ms: int, chance: float) -> int:
    """The pause before a banned user looks again: to the end of the ban and a moment more, at most `BAN_WAIT_MAX_S`, in ms."""
    left_ms = max(0.0, min(until_ms - time_ms, BAN_WAIT_MAX_S * 1000))
    return int(left_ms + chance * DELAY_FIRST_S * 1000)
