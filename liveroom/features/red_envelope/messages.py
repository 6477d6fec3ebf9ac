"""Red envelopes: a sum of money split into random or equal shares, first come first served."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, VIEWERS, CommandBase, EventBase
from liveroom.messages.fields import Delivery, Fen, Seq, Title, UsersPerAddress

__all__ = [
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
    """Who may grab: everyone, or those who said `keyword` in chat since the drop, or who have watched for so long."""

    keyword: Annotated[str, Meta(max_length=50, description="Words that the viewer must have said in chat since the drop; empty = none")] = ""
    watched_s: Annotated[int, Meta(ge=0, le=7_200, description="Seconds that the viewer must have watched without leaving; 0 = none")] = 0


class DropRedEnvelope(CommandBase, frozen=True, tag="drop_red_envelope"):
    """Drop a red envelope: shown at once, opened `opens_in_ms` later for everybody at the same moment; named by its seq."""

    moves_money = True
    roles = ANCHORS
    results = {
        "envelope": "its name",
        "opens_ms": "when it opens",
        "closes_ms": "when it closes at the latest",
        "commitment": "SHA-256 of the seed that its shares are drawn from",
    }
    total_fen: Fen
    parts: Annotated[int, Meta(ge=1, le=10_000)]
    split: Split = "lucky"
    title: Title = "恭喜发财 · Good fortune"
    opens_in_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 5_000
    open_for_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 60_000
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: UsersPerAddress = 0


class GrabRedEnvelope(CommandBase, frozen=True, tag="grab_red_envelope"):
    """Grab a share, once per user; a retry gets the same share."""

    moves_money = True
    roles = VIEWERS
    results = {"envelope": "which one", "amount_fen": "the share", "parts_left": "shares left after it"}
    envelope: Seq


class CancelRedEnvelope(CommandBase, frozen=True, tag="cancel_red_envelope"):
    """Take an envelope back before it opens; all of it is refunded."""

    moves_money = True
    roles = ANCHORS
    results = {"refunded_fen": "all of it"}
    envelope: Seq


class EnvelopeWinner(Struct, frozen=True, gc=False):
    """One of the luckiest."""

    user: str
    name: str
    amount_fen: int


class RedEnvelopeDropped(EventBase, frozen=True, tag="red_envelope_dropped"):
    """An envelope was announced; `commitment` is the SHA-256 of the seed that its shares are drawn from."""

    total_fen: int
    parts: int
    split: Split
    title: str
    opens_ms: int
    closes_ms: int
    commitment: str
    by: str
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: int = 0


class RedEnvelopeSealed(EventBase, frozen=True, tag="red_envelope_sealed"):
    """The seed that stands behind the commitment: known to the journal alone until the envelope is closed."""

    delivery = Delivery.internal
    envelope: int
    seed: str


class RedEnvelopeOpened(EventBase, frozen=True, tag="red_envelope_opened"):
    """Grabs count from now on."""

    envelope: int


class RedEnvelopeGrabbed(EventBase, frozen=True, tag="red_envelope_grabbed"):
    """Somebody won a share; `parts_left` are left after it."""

    envelope: int
    user: str
    name: str
    amount_fen: int
    parts_left: int
    left_fen: int


class RedEnvelopeClosed(EventBase, frozen=True, tag="red_envelope_closed"):
    """It is over: granted + refunded = total. `seed` lets anybody recompute every share; `best` are the luckiest."""

    envelope: int
    reason: Literal["empty", "expired", "cancelled", "room_closed"]
    granted_fen: int
    refunded_fen: int
    seed: str
    best: tuple[EnvelopeWinner, ...] = ()


class EnvelopeView(Struct, frozen=True, omit_defaults=True):
    """A red envelope inside a keyframe: announced or open."""

    envelope: int
    title: str
    total_fen: int
    parts: int
    parts_left: int
    left_fen: int
    split: str
    opens_ms: int
    closes_ms: int
    commitment: str
    open: bool = False
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: int = 0
