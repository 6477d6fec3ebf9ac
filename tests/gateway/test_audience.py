"""Honest counts: users who watch, each once, over time."""

from __future__ import annotations

import asyncio

from liveroom.features.audience.messages import AudienceReported, ReportAudience
from liveroom.gateway.audience import JOINED_MAX, AudienceReporter, user_hash
from liveroom.journal.command_sender import ReplyCallback
from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Record, Sender
from liveroom.telemetry.metrics import Metrics
from tests.gateway.place import ROOM, WAIT_S, Object, Place, Viewer, show


async def counted(viewer: Viewer, **fields: int) -> Object:
    """The next count with these numbers."""
    while True:
        for event in (await viewer.until("delta"))["events"]:
            if event["type"] == "audience_counted" and all(event[k] == v for k, v in fields.items()):
                found: Object = event
                return found


async def reports(place: Place, count: int, viewers: int) -> None:
    """Wait until a gateway has reported this number of viewers so many times."""
    seen = 0
    async for stored in place.journal.read_events(partition_of(ROOM, place.journal.partitions), 0):
        if isinstance(stored.entry, Record):
            for event in stored.entry.rooms[ROOM].events if ROOM in stored.entry.rooms else ():
                seen += isinstance(event, AudienceReported) and event.viewers == viewers
        if seen >= count:
            return


async def test_users_are_counted_once_and_staff_is_not() -> None:
    """Two connections of one user are one viewer; the anchor is none; who leaves is counted no more, peak and unique stay."""
    async with show(audience_report_ms=100) as place, place.viewer("anna", role=Role.anchor) as anna:
        async with place.viewer("bob"), place.viewer("bob"), place.viewer("eve"):
            await counted(anna, viewers=2, unique=2)
        last = await counted(anna, viewers=0)
        assert (last["unique"], last["peak"]) == (2, 2)
        async with place.viewer("bob"):
            assert (await counted(anna, viewers=1))["unique"] == 2


async def test_a_room_that_does_not_change_is_reported_again_before_its_report_expires() -> None:
    """Otherwise a quiet room's audience would vanish from the count."""
    async with show(audience_report_ms=100, audience_repeat_ms=300) as place, place.viewer("bob") as bob:
        await bob.until("keyframe")
        async with asyncio.timeout(WAIT_S):
            await reports(place, 3, viewers=1)


async def test_more_newcomers_than_a_report_may_name_come_in_several() -> None:
    """The count of unique users leaves no user out."""
    sent: list[ReportAudience] = []
    replies: list[ReplyCallback] = []

    def report(_: str, command: ReportAudience, on_reply: ReplyCallback) -> None:
        sent.append(command)
        replies.append(on_reply)

    audience = AudienceReporter("g1", report, Metrics(), repeat_ms=10_000)

    class AnyRoom:
        id = "demo"
        audience = 2_500

    for i in range(2_500):
        audience.on_join(AnyRoom, Sender(f"u{i}", "U"))  # type: ignore[arg-type]
    audience.flush(0.0)
    assert [len(c.joined) for c in sent] == [JOINED_MAX, JOINED_MAX, 500]
    assert {h for c in sent for h in c.joined} == {user_hash(f"u{i}") for i in range(2_500)}
    replies[0](Refused("x", "overloaded", ""))
    replies[1](Accepted("x", 1))
    audience.flush(1.0)
    assert set(sent[3].joined) == set(sent[0].joined)


def test_hashes_fit_what_a_report_may_hold() -> None:
    """53 bits, the same on every gateway."""
    assert user_hash("bob") == user_hash("bob") != user_hash("eve")
    assert all(0 <= user_hash(f"u{i}") < 2**53 for i in range(1_000))
