"""Honest counts: users who watch, each once, over time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from liveroom.features.audience.messages import AudienceReported, ReportAudience
from liveroom.gateway import audience as audience_module
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

    audience = AudienceReporter("g1", report, Metrics(), report_ms=1_000, repeat_ms=10_000)

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
    audience.flush(2.0)
    assert set(sent[3].joined) == set(sent[0].joined)


class CountedRoom:
    """A room with a number of viewers."""

    id = "demo"

    def __init__(self, audience: int) -> None:
        self.audience = audience


def reporter(sent: list[tuple[float, ReportAudience]], clock: list[float]) -> AudienceReporter:
    """A reporter whose reports are collected with their times."""
    return AudienceReporter("g1", lambda room, command, on_reply: sent.append((clock[0], command)), Metrics(), report_ms=1_000, repeat_ms=10_000)


def flush_each_second(audience: AudienceReporter, clock: list[float], seconds: int) -> None:
    for _ in range(seconds):
        clock[0] += 1.0
        audience.flush(clock[0])


def test_a_room_at_rest_is_reported_ever_more_seldom() -> None:
    """The pause between two repeats doubles up to half an hour, and each report counts until the next but one."""
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience = reporter(sent, clock)
    audience.on_join(CountedRoom(1), Sender("bob", "Bob"))  # type: ignore[arg-type]
    flush_each_second(audience, clock, 4 * 3_600)
    pauses = [later - sooner for (sooner, _), (later, _) in pairwise(sent)]
    assert pauses[:8] == [10, 20, 40, 80, 160, 320, 640, 1_280]
    assert set(pauses[8:]) == {1_800}
    assert all(command.expiry_ms == 2_000 * pause for (_, command), pause in zip(sent, pauses, strict=False))


def test_a_change_begins_the_short_pauses_again() -> None:
    """After a change, the number is repeated soon again."""
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience, room = reporter(sent, clock), CountedRoom(1)
    audience.on_join(room, Sender("bob", "Bob"))  # type: ignore[arg-type]
    flush_each_second(audience, clock, 1_000)
    room.audience = 2
    audience.on_join(room, Sender("eve", "Eve"))  # type: ignore[arg-type]
    sent.clear()
    flush_each_second(audience, clock, 31)
    assert [(at, command.viewers) for at, command in sent] == [(1_001, 2), (1_011, 2), (1_031, 2)]


def test_who_leaves_and_comes_back_between_two_reports_is_reported_as_a_newcomer_only() -> None:
    """A connection that left without a change of the number sends no report."""
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience, room = reporter(sent, clock), CountedRoom(5)
    audience.on_join(room, Sender("bob", "Bob"))  # type: ignore[arg-type]
    flush_each_second(audience, clock, 1)
    audience.on_leave(room)  # type: ignore[arg-type]
    flush_each_second(audience, clock, 5)
    assert len(sent) == 1


def test_a_large_room_that_fills_is_reported_less_often() -> None:
    """With 2,000 viewers the pause is twice `report_ms`, and at most ten times; every newcomer is named."""
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience, room = reporter(sent, clock), CountedRoom(0)
    for second in range(60):
        for viewer in range(500):
            room.audience += 1
            audience.on_join(room, Sender(f"u{second}-{viewer}", "U"))  # type: ignore[arg-type]
        flush_each_second(audience, clock, 1)
    times = sorted({at for at, _ in sent})
    assert times[:3] == [1, 2, 3]
    assert max(later - sooner for sooner, later in pairwise(times)) == 10
    assert len(times) < 20
    flush_each_second(audience, clock, 20)
    assert sent[-1][1].viewers == 30_000
    assert len({user for _, command in sent for user in command.joined}) == 30_000


def test_the_last_report_waits_for_no_pause() -> None:
    """A gateway that stops reports each room's number at once."""
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience, room = reporter(sent, clock), CountedRoom(9_000)
    audience.on_join(room, Sender("bob", "Bob"))  # type: ignore[arg-type]
    flush_each_second(audience, clock, 1)
    room.audience = 0
    audience.on_leave(room)  # type: ignore[arg-type]
    audience.flush(clock[0], last=True)
    assert sent[-1][1].viewers == 0


def test_repeats_that_are_out_of_date_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that changes every second leaves few old entries behind."""
    monkeypatch.setattr(audience_module, "REPEATS_SPARE", 10)
    sent: list[tuple[float, ReportAudience]] = []
    clock = [0.0]
    audience, room = reporter(sent, clock), CountedRoom(1)
    for second in range(500):
        room.audience = 1 + second % 2
        audience.on_join(room, Sender(f"u{second}", "U"))  # type: ignore[arg-type]
        flush_each_second(audience, clock, 1)
    assert len(audience._repeats) <= 2 + 10 + 1


def test_hashes_fit_what_a_report_may_hold() -> None:
    """53 bits, the same on every gateway."""
    assert user_hash("bob") == user_hash("bob") != user_hash("eve")
    assert all(0 <= user_hash(f"u{i}") < 2**53 for i in range(1_000))
