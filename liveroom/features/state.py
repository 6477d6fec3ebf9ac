"""A room's state: what its events add up to, as plain values that survive JSON unchanged.

Every collection has a bound. Either a rule refuses the command, by a setting, or the fold trims the collection, by a constant beside its code.
A fold never reads a setting, because replay must give the same state. Sets that must keep their order are dicts with `None` values,
so that equal histories encode to equal bytes.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from liveroom.features.chat.messages import ChatLine
from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.lifecycle.messages import RoomRules
from liveroom.features.questions.messages import Question
from liveroom.features.red_envelope.messages import EnvelopeCondition, EnvelopeWinner
from liveroom.features.showcase.messages import Product

__all__ = [
    "EnvelopeOver",
    "EnvelopeState",
    "GatewayCount",
    "RoomState",
    "Sanction",
    "Spoken",
    "UnpaidHolds",
    "WordList",
    "decode_state",
    "encode_state",
]


class Sanction(Struct, frozen=True, array_like=True, gc=False):
    """A mute or a ban: who gave it, why, and when it ends."""

    until_ms: int
    by: str
    reason: str = ""


class Spoken(Struct, frozen=True, array_like=True, gc=False):
    """When a user may speak again by the rate limit (GCRA's theoretical arrival time), and when they last sent chat."""

    arrival_ms: int
    chat_ms: int


class GatewayCount(Struct, frozen=True, array_like=True, gc=False):
    """Viewers that one gateway reported, and until when the report counts."""

    viewers: int
    expires_ms: int


class WordList(Struct, frozen=True, array_like=True, eq=False, weakref=True):
    """Banned words as they were written; `digest` stands for all of them, so that comparing costs the same for any number."""

    words: tuple[str, ...] = ()
    digest: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordList) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class EnvelopeState(Struct, kw_only=True):
    """A red envelope that is announced or open; share i goes to the i-th winner."""

    title: str
    total_fen: int
    parts: int
    split: str
    opens_ms: int
    closes_ms: int
    commitment: str
    condition: EnvelopeCondition
    keyword: str  # the condition's, normalized for the search
    left_fen: int
    seed: str = ""
    shares: list[int] = field(default_factory=list)
    opened: bool = False
    winners: dict[str, int] = field(default_factory=dict)  # user -> fen, in the order of the grabs
    best: list[EnvelopeWinner] = field(default_factory=list)
    said: dict[str, None] = field(default_factory=dict)  # users who said the keyword
    users_per_address_max: int = 0
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)  # mark -> user -> shares


class EnvelopeOver(Struct, array_like=True):
    """The remains of a red envelope that is over."""

    reason: str
    winners: dict[str, int]


class ClaimedCode(Struct, frozen=True, array_like=True, gc=False):
    """One claim of a coupon: whose it is, and the order that uses it ("" = none)."""

    user: str
    order: str = ""
    discount_fen: int = 0


class CodeUse(Struct, frozen=True, array_like=True, gc=False):
    """How an order uses a code, or did when the code expired."""

    coupon: int
    order: str
    discount_fen: int


class Coupon(Struct):
    """A coupon that has not expired."""

    title: str
    terms: CouponTerms
    stock: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    stopped: bool = False
    codes: dict[str, ClaimedCode] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)  # user -> codes
    users_per_address_max: int = 0
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)  # mark -> user -> codes; while it can be claimed

    @property
    def left(self) -> int:
        """How many can still be claimed."""
        return self.stock - len(self.codes)


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """Stock that waits for its payment until `until_ms`; `terms` are those of its coupon, which may expire before it."""

    user: str
    quantity: int
    until_ms: int
    due_fen: int
    coupon_code: str = ""
    terms: CouponTerms | None = None


class ResolvedHold(Struct, frozen=True, array_like=True, gc=False):
    """A hold that is over: `how` is confirmed, cancelled or expired."""

    user: str
    how: str
    payment: str = ""
    quantity: int = 0
    returned: int = 0
    paid_fen: int = 0


class UnpaidHolds(Struct, frozen=True, array_like=True, gc=False):
    """One user's holds of a sale that are not paid: when they were made, when the last change was, and a pause after one that ended."""

    made_ms: tuple[int, ...] = ()
    noted_ms: int = 0
    pause_until_ms: int = 0


class FlashSale(Struct):
    """A sale that is announced or open, or closed with open holds; available + held + sold = stock."""

    product: str
    title: str
    price_fen: int
    stock: int
    per_user_max: int
    opens_ms: int
    closes_ms: int
    hold_ms: int
    phase: str = "announced"  # announced, open or closed
    held: int = 0
    sold: int = 0
    taken: dict[str, int] = field(default_factory=dict)  # user -> units held and sold
    holds: dict[int, Hold] = field(default_factory=dict)  # open ones, by seq
    queue: list[int] = field(default_factory=list)  # seqs of holds as they expire; from `queue_head` on
    queue_head: int = 0  # the first open hold's place in the queue, or its end
    users_per_address_max: int = 0
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)  # mark -> user -> holds, open or paid; while stock can be reserved
    hold_marks: dict[int, str] = field(default_factory=dict)  # hold -> mark, for open holds that count for an address; as long
    unpaid: dict[str, UnpaidHolds] = field(default_factory=dict)  # by user; as long
    unpaid_looked_ms: int = 0  # when users were last looked for who may be forgotten

    @property
    def available(self) -> int:
        """Units that can be reserved."""
        return self.stock - self.held - self.sold


class RoomState(Struct):
    """One room after all events below `seq`; times are Unix ms."""

    stream_id: str
    seq: int
    title: str
    anchor: str
    open: bool
    opened_ms: int
    rules: RoomRules
    anchor_name: str = ""
    announcement: str = ""
    close_reason: str = ""  # why the room was closed; empty while it is open

    # Chat
    chat: list[ChatLine] = field(default_factory=list)  # last shown lines, oldest first
    messages: list[int] = field(default_factory=list)  # seqs of the lines that can be deleted, ascending
    shown_ms: list[int] = field(default_factory=list)  # when viewers' lines were shown, ascending
    budget_set: int = 0  # 0 = the rules' own
    slow_mode_ms: int = 0
    slow_mode_since_ms: int = 0
    banned_words: WordList = WordList()

    # Recent speakers in two generations: the older one is dropped whole when nothing in it can matter any more
    speakers: dict[str, Spoken] = field(default_factory=dict)
    speakers_before: dict[str, Spoken] = field(default_factory=dict)
    speakers_since_ms: int = 0

    # Moderation
    muted: dict[str, Sanction] = field(default_factory=dict)
    banned: dict[str, Sanction] = field(default_factory=dict)

    # Questions, by seq
    questions: dict[int, Question] = field(default_factory=dict)  # asked or picked
    answered: list[Question] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)  # seqs of answered and dismissed ones

    likes: int = 0

    # Showcase
    products: dict[str, Product] = field(default_factory=dict)
    pinned: str = ""
    showcase_version: int = 0
    try_ons: dict[str, dict[str, None]] = field(default_factory=dict)  # product -> users
    try_ons_count: int = 0

    # Red envelopes, by seq
    envelopes: dict[int, EnvelopeState] = field(default_factory=dict)  # announced or open
    envelopes_over: dict[int, EnvelopeOver] = field(default_factory=dict)  # the last ones, oldest first

    # Coupons, by seq
    coupons: dict[int, Coupon] = field(default_factory=dict)
    coupons_over: list[int] = field(default_factory=list)  # seqs of expired ones
    expired_codes: dict[str, CodeUse | None] = field(default_factory=dict)  # the last ones, oldest first

    # Flash sales, by seq; resolved holds in two generations: the older one is dropped whole when the newer one is full
    sales: dict[int, FlashSale] = field(default_factory=dict)
    sales_over: list[int] = field(default_factory=list)  # seqs of closed ones without open holds
    resolved_holds: dict[int, ResolvedHold] = field(default_factory=dict)
    resolved_holds_before: dict[int, ResolvedHold] = field(default_factory=dict)
    payments: dict[str, int] = field(default_factory=dict)  # payment -> the hold that it paid; in two generations, too
    payments_before: dict[str, int] = field(default_factory=dict)

    # Audience
    gateways: dict[str, GatewayCount] = field(default_factory=dict)
    viewers: int = 0
    peak: int = 0
    unique: int = 0
    unique_estimated: bool = False
    users: dict[int, None] = field(default_factory=dict)  # hashes, while they are counted exactly
    sketch: bytearray = field(default_factory=bytearray)  # registers, once they are estimated

    @property
    def chat_budget(self) -> int:
        """Chat lines of viewers that are shown a second."""
        return self.budget_set or self.rules.chat_budget


_decoder = msgspec.json.Decoder(RoomState)
encode_state = msgspec.json.Encoder().encode


def decode_state(data: bytes) -> RoomState:
    """The state that `encode_state` wrote; raises `msgspec.DecodeError` on anything else."""
    return _decoder.decode(data)
