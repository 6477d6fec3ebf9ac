"""Shares of red envelopes, as their users own them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from liveroom.features.entitlements import EntitlementFold
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeGrabbed

__all__ = ["ENVELOPES_OVER_OWNED", "SHARES_OVER_OWNED", "GrabbedShare", "RedEnvelopeEntitlements", "Share"]

#: The last closed red envelopes of a room whose shares are still entitlements.
ENVELOPES_OVER_OWNED: Final = 20
#: Limit for the shares of closed red envelopes, equal to the rules' own. Beyond it the oldest red envelopes are dropped.
SHARES_OVER_OWNED: Final = 20_000


class Share(Struct, frozen=True):
    """A user's share of a red envelope; one per red envelope at most."""

    envelope: int
    amount_fen: int


class OwnedShares(Struct):
    """One user's shares."""

    shares: tuple[Share, ...] = ()  # shares of open and recently closed red envelopes


class GrabbedShare(Struct, frozen=True, array_like=True, gc=False):
    """A user's share of a red envelope."""

    envelope: int
    user: str
    amount_fen: int


class ShareRows(Struct):
    """All users' shares."""

    envelopes_over: tuple[int, ...] = ()  # in the order in which they ended
    shares: tuple[GrabbedShare, ...] = ()


class RedEnvelopeEntitlements(EntitlementFold):
    """The shares by red envelope. The rules bound the open ones; of the ended ones the newest are kept."""

    __slots__ = ("_live", "_over")
    rows = ShareRows
    owned = OwnedShares

    def __init__(self, owners: set[str]) -> None:
        super().__init__(owners)
        self._live: dict[int, dict[str, int]] = {}  # user -> fen
        self._over: dict[int, dict[str, int]] = {}  # oldest first

    def load(self, rows: ShareRows) -> None:
        for number in rows.envelopes_over:
            self._over[number] = {}
        for share in rows.shares:
            winners = self._over.get(share.envelope)
            if winners is None:
                winners = self._live.setdefault(share.envelope, {})
            winners[share.user] = share.amount_fen
            self._owners.add(share.user)

    def adopt(self, user: str, owned: OwnedShares) -> None:
        for share in owned.shares:
            self._live[share.envelope] = {user: share.amount_fen}

    def owned_by(self, user: str) -> dict[str, list[Any] | dict[Any, Any]]:
        shares = [Share(number, won[user]) for some in (self._over, self._live) for number, won in some.items() if user in won]
        shares.sort(key=_envelope)
        return {"shares": shares}

    def users(self) -> Iterator[Collection[str]]:
        yield from self._over.values()
        yield from self._live.values()

    def _grabbed(self, seq: int, event: RedEnvelopeGrabbed) -> None:
        winners = self._live.get(event.envelope)
        if winners is None:
            winners = self._live[event.envelope] = {}
        winners[event.user] = event.amount_fen
        self._owners.add(event.user)

    def _closed(self, seq: int, event: RedEnvelopeClosed) -> int:
        """Keep the newest ended red envelopes, with as many shares as the rules remember. An older one's shares are dropped together."""
        over, ended = self._over, 0
        over[event.envelope] = self._live.pop(event.envelope, {})
        while len(over) > ENVELOPES_OVER_OWNED:
            ended += len(over.pop(next(iter(over))))
        shares = sum(map(len, over.values()))
        for winners in over.values():
            if shares <= SHARES_OVER_OWNED:
                break
            shares -= len(winners)
            ended += len(winners)
            winners.clear()
        return ended

    changes = {RedEnvelopeGrabbed: _grabbed, RedEnvelopeClosed: _closed}


_envelope = attrgetter("envelope")
