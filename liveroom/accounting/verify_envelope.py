"""Checks a red envelope from its events alone: the seed, every share, the sums and the best list."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from liveroom.features.red_envelope.fairness import BEST_MAX, SEED_BYTES, commitment_of, split
from liveroom.features.red_envelope.messages import (
    EnvelopeWinner,
    RedEnvelopeClosed,
    RedEnvelopeDropped,
    RedEnvelopeGrabbed,
    RedEnvelopeOpened,
    RedEnvelopeSealed,
)
from liveroom.messages.errors import LiveroomError
from liveroom.protocol.events import Event

__all__ = ["EnvelopeDiffers", "EnvelopeProof", "verify_envelope"]

#: Envelopes that the error names when the requested one is missing.
NEWEST_NAMED = 5


class EnvelopeDiffers(LiveroomError):
    """A red envelope's events contradict its seed; the message names the first difference."""


class EnvelopeProof(Struct):
    """An envelope up to the events read so far; `amounts_fen` follow from the seed."""

    dropped: RedEnvelopeDropped
    seed: str = ""
    amounts_fen: list[int] = []
    opened: bool = False
    granted: dict[str, RedEnvelopeGrabbed] = {}
    granted_fen: int = 0
    closed: RedEnvelopeClosed | None = None

    @property
    def left_fen(self) -> int:
        """The amount that was not granted."""
        return self.dropped.total_fen - self.granted_fen

    def words(self) -> str:
        """The verdict as text; it shows the seed only once it is public."""
        dropped, closed = self.dropped, self.closed
        lines = [
            f"{dropped.total_fen} fen in {dropped.shares} shares, {dropped.split} split",
            f"commitment  {dropped.commitment}: the seed fits",
            f"shares      {len(self.granted)} of {dropped.shares} granted, each as drawn from the seed",
        ]
        if closed is None:
            lines.append(f"sums        {self.granted_fen} granted + {self.left_fen} left = {dropped.total_fen} fen; not over yet")
        else:
            lines.insert(2, f"seed        {self.seed}")
            lines.append(f"sums        {self.granted_fen} granted + {closed.refunded_fen} refunded = {dropped.total_fen} fen; {closed.reason}")
            lines.append(f"best        {', '.join(f'{one.user} {one.amount_fen}' for one in closed.best) or 'nobody'}")
        return "\n".join([*lines, "verdict     every share is as it was drawn"])


def verify_envelope(lines: Iterable[str | bytes], room: str, envelope: int) -> EnvelopeProof:
    """Check the events of `envelope` among `lines`, JSON objects as `liveroom tail` prints them.

    Raises: `EnvelopeDiffers` with the first difference.
    """
    newest: deque[int] = deque(maxlen=NEWEST_NAMED)
    events = list(_envelope_events(lines, room, envelope, newest))
    if not events or not isinstance(events[0].event, RedEnvelopeDropped):
        there = f"; the newest are {', '.join(map(str, newest))}" if newest else ""
        raise EnvelopeDiffers(f"no red envelope {envelope} was dropped in room {room} as far as these events go{there}")
    proof = EnvelopeProof(events[0].event)
    _check_seed(proof, [one.event.seed for one in events if isinstance(one.event, RedEnvelopeSealed | RedEnvelopeClosed)])
    for one in events[1:]:
        try:
            _follow(proof, one.event, one.time_ms)
        except EnvelopeDiffers as error:
            raise EnvelopeDiffers(f"event {one.seq}: {error}") from None
    return proof


# Reading


class _Told(Struct):
    seq: int
    time_ms: int
    event: Event


class _Head(Struct):
    """The fields of every line; `time_ms` and `room` are missing in objects taken from frames."""

    type: str
    seq: int
    time_ms: int | None = None
    room: str | None = None


_head = msgspec.json.Decoder(_Head)
_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def _envelope_events(lines: Iterable[str | bytes], room: str, envelope: int, newest: deque[int]) -> Iterator[_Told]:
    """The events of one envelope; `newest` gets the id of each envelope that was dropped."""
    before = -1
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            head = _head.decode(line)
            if head.room not in (None, room) or not head.type.startswith("red_envelope_"):
                continue
            event = _event.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise EnvelopeDiffers(f"line {number} is no event as `liveroom tail` prints it: {error}") from None
        if isinstance(event, RedEnvelopeDropped):
            newest.append(head.seq)
        of = head.seq if isinstance(event, RedEnvelopeDropped) else event.envelope  # type: ignore[attr-defined]
        if of != envelope:
            continue
        if head.seq <= before:
            raise EnvelopeDiffers(f"line {number}: event {head.seq} comes after event {before}")
        before = head.seq
        yield _Told(head.seq, -1 if head.time_ms is None else head.time_ms, event)


# Checks, in the order of the events' promises


def _check_seed(proof: EnvelopeProof, seeds: list[str]) -> None:
    dropped = proof.dropped
    if not seeds:
        raise EnvelopeDiffers("the seed is not among these events: it becomes public when the envelope is over")
    for seed in seeds:
        if len(seed) != 2 * SEED_BYTES or set(seed) - set("0123456789abcdef"):
            raise EnvelopeDiffers(f"the seed {seed[:80]!r} is not {SEED_BYTES} bytes in lower-case hexadecimal")
        if commitment_of(seed) != dropped.commitment:
            raise EnvelopeDiffers(f"the seed's SHA-256 is {commitment_of(seed)}, but {dropped.commitment} was promised when the envelope was dropped")
    if not 1 <= dropped.shares <= dropped.total_fen:
        raise EnvelopeDiffers(f"{dropped.total_fen} fen cannot be split into {dropped.shares} shares of at least 1 fen")
    proof.seed = seeds[0]
    proof.amounts_fen = split(proof.seed, dropped.total_fen, dropped.shares, dropped.split)


def _follow(proof: EnvelopeProof, event: Event, time_ms: int) -> None:
    if proof.closed is not None:
        raise EnvelopeDiffers("something happened after the envelope was over")
    match event:
        case RedEnvelopeDropped() | RedEnvelopeSealed():
            _require(not proof.opened and not isinstance(event, RedEnvelopeDropped), "the envelope was dropped or sealed twice")
        case RedEnvelopeOpened():
            _require(not proof.opened, "the envelope opened twice")
            _require(time_ms < 0 or time_ms >= proof.dropped.opens_ms, f"it opened at {time_ms}, before its time {proof.dropped.opens_ms}")
            proof.opened = True
        case RedEnvelopeGrabbed():
            _follow_grab(proof, event, time_ms)
        case RedEnvelopeClosed():
            _follow_end(proof, event, time_ms)


def _follow_grab(proof: EnvelopeProof, event: RedEnvelopeGrabbed, time_ms: int) -> None:
    dropped, count = proof.dropped, len(proof.granted)
    _require(proof.opened, f"{event.user} got a share before the envelope opened")
    _require(time_ms < dropped.closes_ms, f"{event.user} got a share at {time_ms}, but the envelope's time ended at {dropped.closes_ms}")
    _require(event.user not in proof.granted, f"{event.user} got a second share")
    _require(count < dropped.shares, f"{event.user} got a share, but all {dropped.shares} were gone")
    share = proof.amounts_fen[count]
    _require(event.amount_fen == share, f"{event.user} got {event.amount_fen} fen, but share {count + 1} is {share} fen by the seed")
    proof.granted[event.user] = event
    proof.granted_fen += share
    _same("shares_left", event.shares_left, dropped.shares - count - 1)
    _same("left_fen", event.left_fen, proof.left_fen)


def _follow_end(proof: EnvelopeProof, event: RedEnvelopeClosed, time_ms: int) -> None:
    gone = len(proof.granted) == proof.dropped.shares
    _require((event.reason == "empty") == gone, f"it closed as {event.reason} with {proof.dropped.shares - len(proof.granted)} shares left")
    _require(event.reason != "cancelled" or not proof.opened, "it was cancelled after it had opened")
    on_time = time_ms < 0 or event.reason != "expired" or time_ms >= proof.dropped.closes_ms
    _require(on_time, f"it expired at {time_ms}, before its time {proof.dropped.closes_ms}")
    _same("granted_fen", event.granted_fen, proof.granted_fen)
    _same("refunded_fen", event.refunded_fen, proof.left_fen)
    luckiest = sorted(proof.granted.values(), key=lambda one: -one.amount_fen)[:BEST_MAX]
    best = tuple(EnvelopeWinner(one.user, one.name, one.amount_fen) for one in luckiest)
    _require(event.best == best, f"the luckiest are {_names(best)}, but it says {_names(event.best)}")
    proof.closed = event


def _names(best: tuple[EnvelopeWinner, ...]) -> str:
    return ", ".join(f"{one.user} ({one.name}) {one.amount_fen}" for one in best) or "nobody"


def _same(what: str, told: int, right: int) -> None:
    _require(told == right, f"{what} is {told}, but it must be {right}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise EnvelopeDiffers(otherwise)
