"""Red envelopes: dropped, opened by time, grabbed once per user, and over when empty, expired, cancelled or when the room closes.

The shares are drawn when an envelope is dropped (`liveroom.features.red_envelope.fairness`) and granted in the order of the grabs.
For a live envelope granted + left = total; for an ended one granted + refunded = total.
The time decides, not the timer's event: a grab after `closes_ms` finds the envelope closed, and a grab after `opens_ms` opens it first.
"""

from __future__ import annotations

from typing import Final, Literal

from liveroom.features.address_limits.rules import check_address, count_address, forget_addresses, limit_addresses
from liveroom.features.chat.messages import ChatSent
from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.moderation.banned_words import WORD_CHARS_MAX, normal, plain
from liveroom.features.red_envelope.fairness import BEST_MAX, SEED_BYTES, commitment_of, split
from liveroom.features.red_envelope.keyframe import red_envelopes_keyframe
from liveroom.features.red_envelope.messages import (
    CancelRedEnvelope,
    DropRedEnvelope,
    EnvelopeWinner,
    GrabRedEnvelope,
    RedEnvelopeClosed,
    RedEnvelopeDropped,
    RedEnvelopeGrabbed,
    RedEnvelopeOpened,
    RedEnvelopeSealed,
)
from liveroom.features.red_envelope.state import EnvelopeOver, RedEnvelope, RedEnvelopesState, change, of, share_rows
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line, check_optional
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken

__all__ = [
    "OVER_MAX",
    "RULES",
    "SAID_MAX",
    "WINNERS_KEPT_MAX",
    "cancel_red_envelope",
    "drop_red_envelope",
    "envelopes_due",
    "envelopes_due_ms",
    "grab_red_envelope",
    "note_keyword",
    "red_envelope_closed",
    "red_envelope_dropped",
    "red_envelope_grabbed",
    "red_envelope_opened",
    "red_envelope_sealed",
    "room_closes",
]

#: Last ended envelopes that the state remembers; a forgotten one looks like one that never existed.
OVER_MAX: Final = 100
#: Winners of ended envelopes whose share is remembered, in total. The oldest envelopes' are forgotten first, the last one's never.
WINNERS_KEPT_MAX: Final = 20_000
#: Most users remembered for an envelope's keyword. Beyond it, every user counts as having said it, so that no user is refused wrongly.
SAID_MAX: Final = 50_000

Reason = Literal["empty", "expired", "cancelled", "room_closed"]


def drop_red_envelope(turn: Turn, command: DropRedEnvelope) -> Decision:
    """Draw the seed, publish its commitment, and open at once if there is no lead time."""
    state, condition = turn.state, command.condition
    if not state.open:
        return Refusal("room_closed", "the room is closed: no red envelope can be dropped")
    refusal = check_line(command.title, "title") or check_optional(condition.keyword, "condition.keyword")
    if refusal is not None:
        return refusal
    keyword = plain(condition.keyword)
    if condition.keyword and not keyword:
        return Refusal("empty_text", "the keyword has no character that can be found in a text", "condition.keyword")
    if len(keyword) > WORD_CHARS_MAX:
        return Refusal(
            "too_long", f"the keyword has {len(keyword)} characters after normalization, at most {WORD_CHARS_MAX} are allowed", "condition.keyword"
        )
    if command.total_fen < command.shares:
        return Refusal("out_of_range", f"{command.shares} shares of at least 1 fen need {command.shares} fen", "total_fen")
    if sum(envelope.closes_ms > turn.now_ms for envelope in of(state).live.values()) >= turn.rules.red_envelopes_live_max:
        return Refusal("limit_reached", f"{turn.rules.red_envelopes_live_max} red envelopes are announced or open already")
    seed = turn.rng.getrandbits(8 * SEED_BYTES).to_bytes(SEED_BYTES, "big").hex()
    opens_ms = turn.now_ms + command.opens_in_ms
    closes_ms = opens_ms + command.open_for_ms
    dropped = RedEnvelopeDropped(
        command.total_fen,
        command.shares,
        command.split,
        command.title,
        opens_ms,
        closes_ms,
        commitment_of(seed),
        turn.sender.user,
        condition,
        command.users_per_address_max,
    )
    events: tuple[EventBase, ...] = (dropped, RedEnvelopeSealed(state.seq, seed))
    if not command.opens_in_ms:
        events += (RedEnvelopeOpened(state.seq),)
    return Decided(events, {"envelope": state.seq, "opens_ms": opens_ms, "closes_ms": closes_ms, "commitment": dropped.commitment})


def grab_red_envelope(turn: Turn, command: GrabRedEnvelope) -> Decision:
    """Grant the next share; the last one closes the envelope."""
    sender, number = turn.sender, command.envelope
    envelope = of(turn.state).live.get(number)
    if envelope is None:
        return _not_live(turn.state, number, sender.user)
    refusal = _check_grab(turn, number, envelope)
    if refusal is not None:
        return refusal
    granted = len(envelope.winners)
    amount_fen = envelope.amounts_fen[granted]
    shares_left = envelope.shares - granted - 1
    left_fen = envelope.left_fen - amount_fen
    events: tuple[EventBase, ...] = (RedEnvelopeGrabbed(number, sender.user, sender.name, amount_fen, shares_left, left_fen),)
    if envelope.users_per_address_max:
        events += count_address(number, sender)
    if not envelope.opened:
        events = (RedEnvelopeOpened(number), *events)
    if not shares_left:
        best = _better(envelope.best, sender.user, sender.name, amount_fen)
        events += (RedEnvelopeClosed(number, "empty", envelope.total_fen, 0, envelope.seed, tuple(best)),)
    return Decided(events, {"envelope": number, "amount_fen": amount_fen, "shares_left": shares_left})


def _check_grab(turn: Turn, number: int, envelope: RedEnvelope) -> Refusal | None:
    sender, now_ms, condition = turn.sender, turn.now_ms, envelope.condition
    if sender.user in envelope.winners:
        return _already_grabbed(envelope.winners[sender.user])
    if now_ms >= envelope.closes_ms:
        return Refusal("envelope_closed", "the red envelope's time is over", "envelope")
    if now_ms < envelope.opens_ms:
        return Refusal("envelope_not_open", "the red envelope is not open yet", "envelope", envelope.opens_ms - now_ms)
    if condition.keyword and sender.user not in envelope.said and len(envelope.said) < SAID_MAX:
        return Refusal("condition_not_met", f"first say “{condition.keyword}” in chat", "envelope")
    if sender.watched_s < condition.watched_s:
        missing_s = condition.watched_s - sender.watched_s
        return Refusal(
            "condition_not_met", f"watch for {condition.watched_s} s without leaving; {missing_s} s are missing", "envelope", missing_s * 1000
        )
    return check_address(turn, number) if envelope.users_per_address_max else None


def _already_grabbed(amount_fen: int) -> Refusal:
    return Refusal("already_grabbed", f"you already have your share of this red envelope: {amount_fen} fen", "envelope")


def _not_live(state: RoomState, number: int, user: str) -> Refusal:
    over = of(state).over.get(number)
    if over is None:
        return Refusal("envelope_not_found", "there is no such red envelope", "envelope")
    if user in over.winners:
        return _already_grabbed(over.winners[user])
    if over.reason == "empty":
        return Refusal("envelope_empty", "every share of the red envelope is gone", "envelope")
    return Refusal("envelope_closed", f"the red envelope is over: {_WHY[over.reason]}", "envelope")


_WHY: Final[dict[str, str]] = {
    "expired": "its time has run out",
    "cancelled": "it was taken back before it opened",
    "room_closed": "the room was closed",
}


def cancel_red_envelope(turn: Turn, command: CancelRedEnvelope) -> Decision:
    """Cancel an envelope that has not opened."""
    envelope = of(turn.state).live.get(command.envelope)
    if envelope is None:
        return _not_live(turn.state, command.envelope, "")
    if envelope.opened or turn.now_ms >= envelope.opens_ms:
        return Refusal("already_open", "the red envelope has opened and cannot be cancelled any more", "envelope")
    return Decided((_closed(command.envelope, envelope, "cancelled"),), {"refunded_fen": envelope.total_fen})


def room_closes(state: RoomState, now_ms: int) -> tuple[EventBase, ...]:
    """End all envelopes because the room closes; the rest of each is refunded."""
    return tuple(
        _closed(number, envelope, "room_closed" if now_ms < envelope.closes_ms else "expired") for number, envelope in of(state).live.items()
    )


def envelopes_due_ms(state: RoomState) -> int | None:
    """The time at which the next envelope opens or closes."""
    return min((envelope.closes_ms if envelope.opened else envelope.opens_ms for envelope in of(state).live.values()), default=None)


def envelopes_due(state: RoomState, now_ms: int) -> tuple[EventBase, ...]:
    """Open and close envelopes by the time; after a long pause, one may do both."""
    events: list[EventBase] = []
    for number, envelope in of(state).live.items():
        if not envelope.opened and envelope.opens_ms <= now_ms:
            events.append(RedEnvelopeOpened(number))
        if envelope.closes_ms <= now_ms:
            events.append(_closed(number, envelope, "expired"))
    return tuple(events)


def _closed(number: int, envelope: RedEnvelope, reason: Reason) -> RedEnvelopeClosed:
    granted_fen = envelope.total_fen - envelope.left_fen
    return RedEnvelopeClosed(number, reason, granted_fen, envelope.left_fen, envelope.seed, tuple(envelope.best))


def _better(best: list[EnvelopeWinner], user: str, name: str, amount_fen: int) -> list[EnvelopeWinner]:
    """The luckiest winners after one more; of equal shares the earlier one comes first."""
    if len(best) == BEST_MAX and amount_fen <= best[-1].amount_fen:
        return best
    return sorted([*best, EnvelopeWinner(user, name, amount_fen)], key=lambda one: -one.amount_fen)[:BEST_MAX]


def note_keyword(state: RoomState, event: ChatSent, seq: int, time_ms: int) -> None:
    """Fold a line for envelopes with a keyword; it counts even if the line was not shown."""
    text = ""
    for envelope in of(state).live.values():
        if envelope.keyword and len(envelope.said) < SAID_MAX:
            text = text or normal(event.text)
            if envelope.keyword in text:
                envelope.said[event.user] = None


def red_envelope_dropped(state: RoomState, event: RedEnvelopeDropped, seq: int, time_ms: int) -> None:
    """Fold an announcement."""
    change(state).live[seq] = RedEnvelope(
        title=event.title,
        total_fen=event.total_fen,
        shares=event.shares,
        split=event.split,
        opens_ms=event.opens_ms,
        closes_ms=event.closes_ms,
        commitment=event.commitment,
        condition=event.condition,
        keyword=plain(event.condition.keyword),
        left_fen=event.total_fen,
        users_per_address_max=event.users_per_address_max,
    )
    limit_addresses(state, seq, event.users_per_address_max)


def red_envelope_sealed(state: RoomState, event: RedEnvelopeSealed, seq: int, time_ms: int) -> None:
    """Fold the seed: the shares follow from it."""
    envelope = of(state).live[event.envelope]
    if commitment_of(event.seed) != envelope.commitment:
        raise InvariantBroken("the seed is the one that was committed to")
    envelope.seed = event.seed
    envelope.amounts_fen = split(event.seed, envelope.total_fen, envelope.shares, envelope.split)


def red_envelope_opened(state: RoomState, event: RedEnvelopeOpened, seq: int, time_ms: int) -> None:
    """Fold an opening."""
    of(state).live[event.envelope].opened = True


def red_envelope_grabbed(state: RoomState, event: RedEnvelopeGrabbed, seq: int, time_ms: int) -> None:
    """Fold a grant; a wrong sum stops the room."""
    envelope = of(state).live[event.envelope]
    winners, amount_fen = envelope.winners, event.amount_fen
    if event.user in winners:
        raise InvariantBroken("a user has one share")
    if amount_fen != envelope.amounts_fen[len(winners)]:
        raise InvariantBroken("shares are granted as they were drawn")
    winners[event.user] = amount_fen
    envelope.left_fen -= amount_fen
    if event.left_fen != envelope.left_fen:
        raise InvariantBroken("granted + left = total")
    if event.shares_left != envelope.shares - len(winners):
        raise InvariantBroken("every share is granted once")
    envelope.best = _better(envelope.best, event.user, event.name, amount_fen)


def red_envelope_closed(state: RoomState, event: RedEnvelopeClosed, seq: int, time_ms: int) -> None:
    """Fold an end. The state keeps the reason and the winners, to answer late grabs and repeated ones."""
    envelopes = of(state)
    envelope = envelopes.live.pop(event.envelope)
    if (event.granted_fen, event.refunded_fen) != (envelope.total_fen - envelope.left_fen, envelope.left_fen):
        raise InvariantBroken("granted + refunded = total")
    forget_addresses(state, event.envelope)
    over = envelopes.over
    over[event.envelope] = EnvelopeOver(event.reason, envelope.winners)
    while len(over) > OVER_MAX:
        del over[next(iter(over))]
    kept = sum(len(one.winners) for one in over.values())
    for one in over.values():
        if kept <= WINNERS_KEPT_MAX:
            break
        kept -= len(one.winners)
        one.winners = {}


RULES = Rules(
    state=RedEnvelopesState,
    decide={
        DropRedEnvelope: drop_red_envelope,
        GrabRedEnvelope: grab_red_envelope,
        CancelRedEnvelope: cancel_red_envelope,
    },
    evolve={
        RedEnvelopeDropped: red_envelope_dropped,
        RedEnvelopeSealed: red_envelope_sealed,
        RedEnvelopeOpened: red_envelope_opened,
        RedEnvelopeGrabbed: red_envelope_grabbed,
        RedEnvelopeClosed: red_envelope_closed,
    },
    react={
        ChatSent: note_keyword,
    },
    due_ms=envelopes_due_ms,
    due=envelopes_due,
    entitlements=share_rows,
    close=lambda turn: room_closes(turn.state, turn.now_ms),
    keyframe=red_envelopes_keyframe,
)
