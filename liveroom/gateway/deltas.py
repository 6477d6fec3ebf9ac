"""Builds deltas: chooses the events of a span for viewers, encodes them, and counts the omitted events by delivery class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from liveroom.features.chat.messages import ChatSent
from liveroom.gateway.ring import RingFrame
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.codec import encode
from liveroom.protocol.events import Event

__all__ = ["build_deltas", "event_bytes"]

#: Bytes of a delta without its events.
ENVELOPE_BYTES = 160

_RANKS = {Role.viewer: 0, Role.moderator: 2, Role.anchor: 3, Role.platform: 3}


def event_bytes(event: Event, seq: int) -> bytes:
    """The bytes of an event in a frame: its fields and its seq."""
    return b'%b,"seq":%d}' % (encode(event)[:-1], seq)


class _Candidate:
    __slots__ = ("data", "event", "seq")

    def __init__(self, seq: int, event: Event) -> None:
        self.seq = seq
        self.event = event
        self.data = event_bytes(event, seq)


def build_deltas(from_: int, events: Sequence[Event], time_ms: int, bytes_max: int) -> list[RingFrame]:
    """The frames for the events of the span [from_, from_ + len(events)): several if one frame would exceed `bytes_max`."""
    kept = _fit([_Candidate(seq, event) for seq, event in _chosen(from_, events)], bytes_max - ENVELOPE_BYTES)
    parts = _split(kept, bytes_max - ENVELOPE_BYTES)
    frames: list[RingFrame] = []
    begin = from_
    for i, part in enumerate(parts):
        to = parts[i + 1][0].seq if i + 1 < len(parts) else from_ + len(events)
        omitted = _omitted(events[begin - from_ : to - from_], part) if len(part) < to - begin else {}
        frames.append(RingFrame.of(begin, to, _payload(begin, to, time_ms, part, omitted)))
        begin = to
    return frames


def _chosen(from_: int, events: Sequence[Event]) -> list[tuple[int, Event]]:
    """The events for viewers, in order: the last `latest` event of each key, the shown `lossy` events, and every `must` event."""
    seen: set[tuple[type[Event], str]] = set()
    chosen: list[tuple[int, Event]] = []
    for i in range(len(events) - 1, -1, -1):
        event = events[i]
        match event.delivery:
            case Delivery.internal | Delivery.personal:
                continue
            case Delivery.latest:
                key = (type(event), str(getattr(event, event.latest_key)) if event.latest_key else "")
                if key in seen:
                    continue
                seen.add(key)
            case Delivery.lossy if isinstance(event, ChatSent) and not event.shown:
                continue
        chosen.append((from_ + i, event))
    chosen.reverse()
    return chosen


def _fit(candidates: list[_Candidate], bytes_max: int) -> list[_Candidate]:
    """Omit lossy events, the lowest rank and the oldest first, until the rest fits or no lossy event is left."""
    excess = sum(len(c.data) + 1 for c in candidates) - bytes_max
    if excess <= 0:
        return candidates
    out: set[int] = set()
    for c in sorted((c for c in candidates if c.event.delivery is Delivery.lossy), key=_rank):
        if excess <= 0:
            break
        out.add(c.seq)
        excess -= len(c.data) + 1
    return [c for c in candidates if c.seq not in out]


def _rank(candidate: _Candidate) -> tuple[int, int]:
    event = candidate.event
    rank = max(_RANKS[event.role], int(event.buyer)) if isinstance(event, ChatSent) else 0
    return rank, candidate.seq


def _split(candidates: list[_Candidate], bytes_max: int) -> list[list[_Candidate]]:
    """At least one part, in order, each of at most `bytes_max`. A larger event gets its own part."""
    parts: list[list[_Candidate]] = [[]]
    size = 0
    for c in candidates:
        if parts[-1] and size + len(c.data) + 1 > bytes_max:
            parts.append([])
            size = 0
        parts[-1].append(c)
        size += len(c.data) + 1
    return parts


def _omitted(events: Sequence[Event], part: list[_Candidate]) -> dict[str, int]:
    """How many events of each delivery class are not in a frame."""
    omitted = Counter(event.delivery.value for event in events)
    omitted.subtract(candidate.event.delivery.value for candidate in part)
    return {delivery: count for delivery, count in omitted.items() if count}


def _payload(from_: int, to: int, time_ms: int, part: list[_Candidate], omitted: dict[str, int]) -> bytes:
    tail = b',"omitted":' + encode(omitted) if omitted else b""
    return b'{"type":"delta","from":%d,"to":%d,"time_ms":%d,"events":[%b]%b}' % (from_, to, time_ms, b",".join(c.data for c in part), tail)
