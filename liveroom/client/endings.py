"""The table of endings: how both clients go on after a connection ended. The docs and `liveroom.js` are generated from it.

Numbers below 1000 are the HTTP status of a refused handshake. A browser hides that status and reports 1006 instead.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from liveroom.messages.errors import CLOSE_CODES

__all__ = ["CLOSE_GAP", "CLOSE_LOST", "CLOSE_NO_ADDRESS", "CLOSE_NO_TOKEN", "ENDINGS", "Ending", "Then", "then_of"]

#: The connection was lost, or could not be made.
CLOSE_LOST: Final = 1006
#: This client left because it missed something.
CLOSE_GAP: Final = 3000
#: This client had no token to send.
CLOSE_NO_TOKEN: Final = 3001
#: This client cannot open a connection to this address, now or later.
CLOSE_NO_ADDRESS: Final = 3002


class Then(StrEnum):
    """The client's next step after the end of a connection."""

    #: Connect again after the delay that the server named, else after a pause that grows with each attempt.
    retry = "retry"
    #: Ask the token function for another token, then `retry`. A fixed token is the only one, so this means `final`.
    token = "token"
    #: Wait until the user wants this window back.
    replaced = "replaced"
    #: Do not connect again.
    final = "final"


class Ending(Struct, frozen=True):
    """A row: ends with codes from `first` to `last`, their meaning, and the next step."""

    first: int
    last: int
    what: str
    then: Then


def _ours(code: int, then: Then) -> Ending:
    return Ending(code, code, CLOSE_CODES[code][1], then)


#: The first row that holds a code counts.
ENDINGS: Final[tuple[Ending, ...]] = (
    Ending(401, 401, "the handshake was refused: a proxy wants another token", Then.token),
    Ending(429, 429, "the handshake was refused: too many connections from this address; `Retry-After` names the delay", Then.retry),
    Ending(503, 503, "the handshake was refused: the gateway is full, going away or not there; `Retry-After` names the delay", Then.retry),
    Ending(0, 999, "the handshake was refused with any other status, such as a proxy's 404 during a rollout", Then.retry),
    Ending(1000, 1000, "a gateway or a proxy closed without a reason", Then.retry),
    Ending(1001, 1001, "a proxy is going away", Then.retry),
    Ending(1002, 1002, "a proxy saw a protocol error", Then.retry),
    Ending(1005, 1005, "closed without a code", Then.retry),
    Ending(1006, 1006, "the connection was lost, could not be made in time, or went silent; in browsers also any refused handshake", Then.retry),
    Ending(1008, 1008, "a proxy's policy", Then.retry),
    _ours(1009, Then.retry),
    Ending(1011, 1011, "a gateway or a proxy had an internal error", Then.retry),
    _ours(1012, Then.retry),
    Ending(1013, 1013, "a proxy is overloaded", Then.retry),
    Ending(1014, 1014, "a proxy got a bad answer", Then.retry),
    Ending(CLOSE_GAP, CLOSE_GAP, "the client left: it missed frames, or one was no JSON object", Then.retry),
    Ending(CLOSE_NO_TOKEN, CLOSE_NO_TOKEN, "the token function failed, took too long, or gave no token but, for example, a page of HTML", Then.token),
    Ending(CLOSE_NO_ADDRESS, CLOSE_NO_ADDRESS, "the client cannot connect to such an address", Then.final),
    _ours(4000, Then.token),
    _ours(4001, Then.retry),
    _ours(4002, Then.retry),
    _ours(4003, Then.replaced),
    _ours(4004, Then.retry),
    _ours(4500, Then.token),
    _ours(4501, Then.token),
    _ours(4502, Then.retry),
    _ours(4503, Then.final),
    _ours(4504, Then.final),
    _ours(4505, Then.final),
    Ending(4500, 4999, "a code that the client does not know", Then.final),
    Ending(1000, 4999, "a code that the client does not know", Then.retry),
)


def then_of(code: int) -> Then:
    """The client's next step after an end with `code`; a code outside every row counts as a lost connection."""
    return next((row.then for row in ENDINGS if row.first <= code <= row.last), Then.retry)
