"""The audience: viewers now, the peak, and unique users. Viewers now are the sum of the gateways' reports that have not expired.

Up to `USERS_EXACT_MAX` unique users are counted exactly, as a set of 53-bit hashes. Beyond it, a sketch estimates them
(`hyperloglog.py`), and `unique_estimated` says so. `AudienceReported.seen` depends on the state *before* the event:
with the set, it has the hashes that are new; with the sketch, it has the updates that raise a register.
"""

from __future__ import annotations

from typing import Final

from liveroom.features.audience import hyperloglog as sketch
from liveroom.features.audience.keyframe import audience_keyframe
from liveroom.features.audience.messages import AudienceCounted, AudienceReported, ReportAudience
from liveroom.features.audience.state import AudienceState, GatewayCount, change, of
from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.messages.base import EventBase

__all__ = [
    "GATEWAYS_MAX",
    "RULES",
    "USERS_EXACT_MAX",
    "audience_counted",
    "audience_due_ms",
    "audience_expired",
    "audience_reported",
    "report_audience",
]

#: Unique users that are counted exactly.
USERS_EXACT_MAX: Final = 1_000
#: Most gateways that may hold viewers of one room.
GATEWAYS_MAX: Final = 1_000


def report_audience(turn: Turn, command: ReportAudience) -> Decision:
    """Take a gateway's report, and announce the room's numbers if they changed."""
    audience = of(turn.state)
    known = command.gateway in audience.gateways
    if not known and len(audience.gateways) >= GATEWAYS_MAX:
        return Refusal("limit_reached", f"{GATEWAYS_MAX} gateways report viewers of this room already", "gateway")
    seen = _new(audience, command.joined)
    viewers = command.viewers + sum(
        count.viewers for gateway, count in audience.gateways.items() if gateway != command.gateway and count.expires_ms > turn.now_ms
    )
    counted = _count(audience, viewers, seen)
    events: tuple[EventBase, ...] = (*_changed(audience, counted),)
    if known or command.viewers or seen:
        events = (AudienceReported(command.gateway, command.viewers, seen, command.expiry_ms), *events)
    return Decided(events, {"viewers": counted.viewers, "unique": counted.unique})


def audience_due_ms(state: RoomState) -> int | None:
    """When the next report expires."""
    return min((count.expires_ms for count in of(state).gateways.values()), default=None)


def audience_expired(state: RoomState, now_ms: int) -> tuple[EventBase, ...]:
    """Expire reports: a gateway that was silent for too long counts 0 viewers from now on."""
    audience = of(state)
    silent = [gateway for gateway, count in audience.gateways.items() if count.expires_ms <= now_ms]
    if not silent:
        return ()
    viewers = sum(count.viewers for count in audience.gateways.values() if count.expires_ms > now_ms)
    return (*(AudienceReported(gateway, 0) for gateway in silent), *_changed(audience, _count(audience, viewers, ())))


def _new(audience: AudienceState, joined: tuple[int, ...]) -> tuple[int, ...]:
    if audience.sketch:
        return tuple(sketch.raising(audience.sketch, map(sketch.update_of, joined)))
    return tuple(dict.fromkeys(user for user in joined if user not in audience.users))


def _count(audience: AudienceState, viewers: int, seen: tuple[int, ...]) -> AudienceCounted:
    """The numbers after `seen`; the change from counting to estimating never lowers `unique`."""
    unique, estimated = audience.unique, audience.unique_estimated
    if seen and not audience.sketch and len(audience.users) + len(seen) <= USERS_EXACT_MAX:
        unique = len(audience.users) + len(seen)
    elif seen:
        estimated = True
        unique = max(unique, sketch.estimate(_sketch_with(audience, seen)))
    return AudienceCounted(viewers, unique, max(audience.peak, viewers), estimated)


def _sketch_with(audience: AudienceState, seen: tuple[int, ...]) -> bytearray:
    if audience.sketch:
        registers, updates = bytearray(audience.sketch), seen
    else:
        registers, updates = bytearray(sketch.REGISTERS), tuple(map(sketch.update_of, (*audience.users, *seen)))
    sketch.apply(registers, updates)
    return registers


def _changed(audience: AudienceState, counted: AudienceCounted) -> tuple[AudienceCounted, ...]:
    before = AudienceCounted(audience.viewers, audience.unique, audience.peak, audience.unique_estimated)
    return () if counted == before else (counted,)


def audience_reported(state: RoomState, event: AudienceReported, seq: int, time_ms: int) -> None:
    """Fold a report: the gateway's count with its expiry, and its new users."""
    audience = change(state)
    audience.gateways.pop(event.gateway, None)
    if event.viewers:
        audience.gateways[event.gateway] = GatewayCount(event.viewers, time_ms + max(state.rules.audience_expiry_ms, event.expiry_ms))
    if not audience.sketch and len(audience.users) + len(event.seen) <= USERS_EXACT_MAX:
        audience.users.update(dict.fromkeys(event.seen))
    elif event.seen:
        audience.sketch = _sketch_with(audience, event.seen)
        audience.users = {}


def audience_counted(state: RoomState, event: AudienceCounted, seq: int, time_ms: int) -> None:
    """Fold the numbers."""
    audience = change(state)
    audience.viewers, audience.unique, audience.peak, audience.unique_estimated = event.viewers, event.unique, event.peak, event.unique_estimated


RULES = Rules(
    state=AudienceState,
    decide={
        ReportAudience: report_audience,
    },
    evolve={
        AudienceReported: audience_reported,
        AudienceCounted: audience_counted,
    },
    due_ms=audience_due_ms,
    due=audience_expired,
    keyframe=audience_keyframe,
)
