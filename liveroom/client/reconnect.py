"""The time of the next attempt after a connection ended. No I/O, no clock."""

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

#: The first reconnect waits a random time up to this; the bound doubles each time ...
DELAY_FIRST_S: Final = 0.5
#: ... up to this.
DELAY_MAX_S: Final = 20.0
#: The same while no token is accepted, because only the application's backend can fix that.
DELAY_UNAUTHORIZED_S: Final = 60.0
#: Tokens refused in a row after which the application learns that it is not authorized.
TOKENS_REFUSED_MAX: Final = 3
#: After a connection of at least this long, the next pause is short again.
STABLE_S: Final = 10.0
#: A banned client tries this often, because the ban may be lifted early.
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
        """Whether enough tokens were refused in a row to tell the application."""
        return self._tokens_refused >= TOKENS_REFUSED_MAX

    def after(self, code: int, held_s: float) -> bool:
        """Note the end of a connection that held for `held_s` (0 = never joined). Returns true if the client should reconnect."""
        if held_s >= STABLE_S:
            self.attempt = self._tokens_refused = 0
        then = then_of(code)
        if then is Then.token:
            self._tokens_refused += 1
            return self._token_refreshes
        return then is Then.retry

    def delay_s(self, named_ms: int | None, chance: float, max_s: float | None) -> float:
        """The pause before the next attempt, which is counted: the server's delay, else a random one that grows."""
        bound = (DELAY_MAX_S if max_s is None else max_s) if not self.unauthorized else DELAY_UNAUTHORIZED_S
        delay_s = full_jitter_s(self.attempt, chance, bound) if named_ms is None else named_ms / 1000
        self.attempt += 1
        return delay_s


def checked_token(given: object) -> str:
    """A token without spaces around it; raises `ValueError` for a text without the form of a token."""
    token = given.strip() if isinstance(given, str) else ""
    if len(token) > TOKEN_CHARS_MAX or not _TOKEN.fullmatch(token):
        raise ValueError("the text does not have the form of a token")
    return token


def full_jitter_s(attempt: int, chance: float, max_s: float | None = None) -> float:
    """A time between 0 and a bound that doubles with each attempt (from 0), for `chance` in [0, 1), so that a crowd never reconnects at once."""
    bound: float = min(DELAY_MAX_S if max_s is None else max_s, DELAY_FIRST_S * 2 ** min(attempt, 30))
    return chance * bound


def retry_after_ms(header: str | None, chance: float) -> int | None:
    """The delay that a `Retry-After` in seconds names, spread up to twice of it, in ms; `None` without one."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 9:
        return None
    return int(min(int(header), RETRY_AFTER_MAX_S) * (1 + chance) * 1000)


def ban_delay_ms(until_ms: int, time_ms: int, chance: float) -> int:
    """The pause before a banned client tries again, in ms: to the end of the ban and a moment more, at most `BAN_WAIT_MAX_S`."""
    left_ms = max(0.0, min(until_ms - time_ms, BAN_WAIT_MAX_S * 1000))
    return int(left_ms + chance * DELAY_FIRST_S * 1000)
