"""Red envelopes: a sum of money, split into random or equal shares, first come, first served."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, VIEWERS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Delivery, Fen, Seq, Title, UsersPerAddress

__all__ = [
    "REFUSALS",
    "CancelRedEnvelope",
    "DropRedEnvelope",
    "EnvelopeCondition",
    "EnvelopeView",
    "EnvelopeWinner",
    "GrabRedEnvelope",
    "RedEnvelopeClosed",
    "RedEnvelopeDropped",
    "RedEnvelopeGrabbed",
    "RedEnvelopeOpened",
    "RedEnvelopeSealed",
]

Split = Literal["lucky", "equal"]


class EnvelopeCondition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The condition for a grab: a keyword sent in chat since the drop, a time of watching, both, or nothing."""

    keyword: Annotated[str, Meta(max_length=50, description="Words that the viewer must have sent in chat since the drop; empty = none")] = ""
    watched_s: Annotated[int, Meta(ge=0, le=7_200, description="Seconds that the viewer must have watched without a break; 0 = none")] = 0


class DropRedEnvelope(CommandBase, frozen=True, tag="drop_red_envelope"):
    """Drop a red envelope: viewers see it at once, and it opens `opens_in_ms` later; its id is the seq of its event."""

    moves_money = True
    roles = ANCHORS
    results = {
        "envelope": "the id of the red envelope",
        "opens_ms": "the time at which it opens",
        "closes_ms": "the latest time at which it closes",
        "commitment": "SHA-256 of the seed from which all shares follow",
    }
    total_fen: Fen
    shares: Annotated[int, Meta(ge=1, le=10_000)]
    split: Split = "lucky"
    title: Title = "恭喜发财 · Good fortune"
    opens_in_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 5_000
    open_for_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 60_000
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: UsersPerAddress = 0


class GrabRedEnvelope(CommandBase, frozen=True, tag="grab_red_envelope"):
    """Grab a share of a red envelope; each user gets one share at most, and a retry gets the same share."""

    moves_money = True
    roles = VIEWERS
    results = {"envelope": "the id of the red envelope", "amount_fen": "the user's share", "shares_left": "shares left after this grab"}
    envelope: Seq


class CancelRedEnvelope(CommandBase, frozen=True, tag="cancel_red_envelope"):
    """Cancel a red envelope before it opens; the whole sum is refunded."""

    moves_money = True
    roles = ANCHORS
    results = {"refunded_fen": "the whole sum"}
    envelope: Seq


class EnvelopeWinner(Struct, frozen=True, gc=False):
    """A winner of one of the largest shares."""

    user: str
    name: str
    amount_fen: int


class RedEnvelopeDropped(EventBase, frozen=True, tag="red_envelope_dropped"):
    """A red envelope was dropped; `commitment` is the SHA-256 of the seed from which all shares follow."""

    total_fen: int
    shares: int
    split: Split
    title: str
    opens_ms: int
    closes_ms: int
    commitment: str
    by: str
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: int = 0


class RedEnvelopeSealed(EventBase, frozen=True, tag="red_envelope_sealed"):
    """The seed of a red envelope was recorded; only readers of the journal see it before the red envelope closes."""

    delivery = Delivery.internal
    envelope: int
    seed: str


class RedEnvelopeOpened(EventBase, frozen=True, tag="red_envelope_opened"):
    """A red envelope opened: shares can be grabbed from now on."""

    envelope: int


class RedEnvelopeGrabbed(EventBase, frozen=True, tag="red_envelope_grabbed"):
    """A user grabbed a share; `shares_left` shares are left."""

    envelope: int
    user: str
    name: str
    amount_fen: int
    shares_left: int
    left_fen: int


class RedEnvelopeClosed(EventBase, frozen=True, tag="red_envelope_closed"):
    """A red envelope closed: granted + refunded = total. All shares can be recomputed from `seed`; `best` are the largest shares."""

    envelope: int
    reason: Literal["empty", "expired", "cancelled", "room_closed"]
    granted_fen: int
    refunded_fen: int
    seed: str
    best: tuple[EnvelopeWinner, ...] = ()


class EnvelopeView(Struct, frozen=True, omit_defaults=True):
    """An announced or open red envelope inside a keyframe."""

    envelope: int
    title: str
    total_fen: int
    shares: int
    shares_left: int
    left_fen: int
    split: str
    opens_ms: int
    closes_ms: int
    commitment: str
    open: bool = False
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: int = 0


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "envelope_not_found": (404, "there is no such red envelope"),
    "envelope_not_open": (409, "the red envelope is not open yet"),
    "envelope_closed": (409, "the red envelope is over"),
    "envelope_empty": (409, "every share of the red envelope is gone"),
    "already_grabbed": (409, "the user already has a share of this red envelope"),
    "condition_not_met": (403, "the user does not meet the red envelope's condition"),
    "already_open": (409, "the red envelope has opened and can no longer be cancelled"),
}
