"""Closed rooms are listed from a summary and read whole on request, with their engine or without."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig
from liveroom.console.details import LOADS_MAX
from liveroom.console.directory import Directory
from liveroom.engine.engine import Engine
from liveroom.engine.owner import Owner
from liveroom.journal.base import SnapshotPart
from liveroom.journal.room_index import IndexEntry, summary_of
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.records import RECORD_VERSION, Record
from liveroom.telemetry.metrics import Metrics
from tests.console.live import PLATFORM, WAIT_S, Live, SeenJournal, config_of, engine_on, serve, token, until


def config(**console: Any) -> Config:
    """Snapshots at once, of many rooms as of few."""
    return replace(config_of(**console), engine=EngineConfig(snapshot_interval_ms=1_000))


async def close_rooms(live: Live, count: int) -> list[str]:
    """Rooms with something in them, closed."""
    rooms = [f"room-{number}" for number in range(count)]
    for room in rooms:
        await live.do("open_room", {"title": f"Evening of {room}"}, room=room, token=PLATFORM)
        await live.do("set_announcement", {"text": "Welcome"}, room=room, token=PLATFORM)
        await live.do("add_product", {"product": {"id": "lamp", "title": "Lamp", "price_fen": 9_900}}, room=room, token=PLATFORM)
        await live.do("ban_user", {"user": "mallory", "duration_ms": 86_400_000}, room=room, token=PLATFORM)
        await live.do("close_room", {}, room=room, token=PLATFORM)
    return rooms


async def seen(live: Live, room: str) -> list[Any]:
    """All that can be read of a room."""
    reader = token("mo", Role.moderator, room)
    answers = [await live.get(f"/v1/rooms/{room}{path}") for path in ("", "/showcase", "/questions")]
    answers.append(await live.ask("GET", f"/v1/rooms/{room}/moderation", token=reader))
    assert [answer.status for answer in answers] == [200] * 4, [answer.body for answer in answers]
    told = [answer.json for answer in answers]
    told[0].pop("time_ms")  # the time when the keyframe was made
    return told


def _is_saved(owner: Owner) -> bool:
    return not owner._records_since_snapshot and owner._saving is None


async def saved(journal: SeenJournal, engine: Engine) -> None:
    """Wait until all that happened is in snapshots."""
    for partition, owner in engine._owners.items():
        await until(partial(_is_saved, owner))
        assert await journal.load_snapshots(partition)


async def test_a_console_starts_with_what_a_list_shows_of_closed_rooms() -> None:
    """Lists and searches are the same; a room's detail is read from the snapshot, also when no engine runs, and no command is sent for it."""
    settings = config()
    journal = SeenJournal(settings.journal)
    async with engine_on(journal, settings) as engine, serve(settings, journal=journal) as live:
        rooms = await close_rooms(live, 6)
        listed = (await live.get("/v1/rooms", query={"open": "any"})).json
        before = {room: await seen(live, room) for room in rooms}
        await saved(journal, engine)
    sent = len(journal.sent)
    async with serve(settings, journal=journal) as live:
        assert not any(view.is_whole for view in live.console._directory._rooms.values())
        assert (await live.get("/v1/rooms", query={"open": "any"})).json == listed
        assert [room["room"] for room in (await live.get("/v1/rooms", query={"open": "any", "q": "room-3"})).json["rooms"]] == ["room-3"]
        assert {room: await seen(live, room) for room in rooms} == before
        assert len(journal.sent) == sent


async def test_few_closed_rooms_are_held_whole() -> None:
    """`closed_rooms_whole_max` of them stay; of the others what a list shows, and their details come back when they are asked for."""
    settings = config(closed_rooms_whole_max=2)
    journal = SeenJournal(settings.journal)
    async with engine_on(journal, settings), serve(settings, journal=journal) as live:
        rooms = await close_rooms(live, 8)
        views = live.console._directory._rooms
        for _ in range(2):
            assert sum(view.is_whole for view in views.values()) == 2
            for room in rooms:
                (keyframe, showcase, _, moderation) = await seen(live, room)
                assert keyframe["announcement"] == "Welcome"
                assert [product["id"] for product in showcase["products"]] == ["lamp"]
                assert list(moderation["banned"]) == ["mallory"]


@pytest.mark.parametrize("snapshot_interval_ms", [1_000, 3_600_000])
async def test_a_ban_holds_while_rooms_push_each_other_out(snapshot_interval_ms: int) -> None:
    """Closed rooms that are asked for at once, from a snapshot or from the engine, are each read whole with place for one: the banned stay out."""
    settings = replace(config(closed_rooms_whole_max=1), engine=EngineConfig(snapshot_interval_ms=snapshot_interval_ms))
    journal = SeenJournal(settings.journal)
    async with engine_on(journal, settings) as engine, serve(settings, journal=journal) as live:
        rooms = await close_rooms(live, 6)
        if snapshot_interval_ms == 1_000:
            await saved(journal, engine)
        for user, expected in (("mallory", 403), ("mo", 200)):
            for _ in range(5):
                asked = [live.ask("GET", f"/v1/rooms/{room}/moderation", token=token(user, Role.moderator, room)) for room in rooms]
                answers = await asyncio.gather(*asked)
                assert [answer.status for answer in answers] == [expected] * len(rooms)
                if expected == 200:
                    assert [list(answer.json["banned"]) for answer in answers] == [["mallory"]] * len(rooms)
        assert sum(view.is_whole for view in live.console._directory._rooms.values()) == 1


async def test_a_detail_reaches_the_caller_that_waits_although_the_next_one_takes_its_place() -> None:
    """One record may hold the details of several closed rooms; with place for one, each caller has its room whole."""
    directory = Directory(10, 1, 50, Metrics())
    rooms = ("red", "blue")
    keyframe = Keyframe("", "e", 5, 1, "Evening", "anna", open=False, opened_ms=0)
    details = [RoomDetail(replace(keyframe, room=room), banned={"mallory": 2**53}) for room in rooms]
    directory.begin(0, [], [IndexEntry(SnapshotPart(0, "h"), True, summary_of(detail.keyframe)) for detail in details])
    waiting = [asyncio.create_task(directory.until_whole(room)) for room in rooms]
    await asyncio.sleep(0)
    directory.apply(0, Record(RECORD_VERSION, 0, 1, 0, 0, 1, details=tuple(details)))
    async with asyncio.timeout(WAIT_S):
        views = await asyncio.gather(*waiting)
    assert [(view.keyframe.room, view.is_whole, list(view.details["banned"])) for view in views if view] == [
        (room, True, ["mallory"]) for room in rooms
    ]


async def test_a_room_that_changed_after_the_snapshot_is_asked_of_the_engine() -> None:
    """The snapshot's data about it is out of date."""
    settings = replace(config(closed_rooms_whole_max=1), engine=EngineConfig(snapshot_interval_ms=3_600_000))
    journal = SeenJournal(settings.journal)
    async with engine_on(journal, settings), serve(settings, journal=journal) as live:
        rooms = await close_rooms(live, 4)
        await live.do("ban_user", {"user": "bob", "duration_ms": 86_400_000}, room=rooms[0], token=PLATFORM)
        assert sorted((await seen(live, rooms[0]))[3]["banned"]) == ["bob", "mallory"]
        await live.do("open_room", {"title": "Again"}, room=rooms[1], token=PLATFORM)
        assert (await seen(live, rooms[1]))[0]["title"] == "Again"
        assert (await seen(live, rooms[1]))[0]["announcement"] == "Welcome"


async def test_what_cannot_be_read_now_is_told_so() -> None:
    """Without an engine and without a snapshot a closed room's detail cannot be had: 503, and its place in the list stays."""
    settings = config(closed_rooms_whole_max=1, reply_wait_ms=1_000)
    journal = SeenJournal(settings.journal)
    async with serve(settings, journal=journal) as live:
        async with engine_on(journal, replace(settings, engine=EngineConfig(snapshot_interval_ms=3_600_000))):
            rooms = await close_rooms(live, 3)
        answers = await asyncio.gather(*(live.get(f"/v1/rooms/{rooms[0]}") for _ in range(LOADS_MAX)))
        assert {(answer.status, answer.json["code"]) for answer in answers} == {(503, "room_unavailable")}
        assert len((await live.get("/v1/rooms", query={"open": "any"})).json["rooms"]) == 3
        assert (await live.get(f"/v1/rooms/{rooms[-1]}")).status == 200
