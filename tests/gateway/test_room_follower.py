"""The partitions that a gateway follows: with a shared journal, those of its rooms."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import pytest

from liveroom.config.schema import JournalConfig
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.gateway import room_follower
from liveroom.journal.base import StoredEntry
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.partition import partition_of
from liveroom.protocol.frames import Accepted
from tests.gateway.place import ROOM, WAIT_S, Show, show

#: A room of the other partition.
OTHER = next(f"room-{n}" for n in range(100) if partition_of(f"room-{n}", 2) != partition_of(ROOM, 2))


class SharedJournal(MemoryJournal):
    """A journal as if other processes had it, too; it counts its readers."""

    shared = True

    def __init__(self, config: JournalConfig) -> None:
        super().__init__(config)
        self.readers: Counter[int] = Counter()

    async def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        self.readers[partition] += 1
        try:
            async for stored in super().read_events(partition, offset):
                yield stored
        finally:
            self.readers[partition] -= 1


def readers(place: Show) -> dict[str, int]:
    """How many read the partition of each room; the engine and the test read both."""
    assert isinstance(place.journal, SharedJournal)
    return {room: place.journal.readers[partition_of(room, 2)] - 2 for room in (ROOM, OTHER)}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.005)


async def test_only_partitions_whose_rooms_are_held_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first viewer of a partition makes the gateway follow it; some time after the last it is let go; who comes then sees everything."""
    monkeypatch.setattr(room_follower, "PARTITION_IDLE_S", 0.2)
    async with show(journal_type=SharedJournal, room_idle_ms=100) as place:
        assert isinstance(await place.command(OpenRoom("Other"), room=OTHER), Accepted)
        assert place.gateway.ready
        assert readers(place) == {ROOM: 0, OTHER: 0}
        async with place.viewer("vera") as vera:
            assert (await vera.until("keyframe"))["title"] == "Evening show"
            assert readers(place) == {ROOM: 1, OTHER: 0}
            async with place.viewer("bob", room=OTHER) as bob:
                assert (await bob.until("keyframe"))["title"] == "Other"
                assert (await bob.ask("send_chat", text="hello"))["type"] == "accepted"
                assert readers(place) == {ROOM: 1, OTHER: 1}
            await until(lambda: readers(place) == {ROOM: 1, OTHER: 0})
            assert isinstance(await place.command(SendChat("nobody here"), room=OTHER), Accepted)
            async with place.viewer("carl", room=OTHER) as carl:
                assert [line["text"] for line in (await carl.until("keyframe"))["chat"]] == ["hello", "nobody here"]
                assert (await carl.ask("send_chat", text="again"))["type"] == "accepted"
        await until(lambda: readers(place) == {ROOM: 0, OTHER: 0})


async def test_who_comes_back_to_a_partition_that_was_let_go_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The past is read from a snapshot on, so a resume goes on where it was."""
    monkeypatch.setattr(room_follower, "PARTITION_IDLE_S", 0.1)
    async with show(journal_type=SharedJournal, room_idle_ms=100) as place:
        async with place.viewer("vera") as vera:
            keyframe = await vera.until("keyframe")
            assert (await vera.ask("send_chat", text="one"))["type"] == "accepted"
        await until(lambda: readers(place)[ROOM] == 0)
        assert isinstance(await place.command(SendChat("two")), Accepted)
        async with place.viewer("vera", stream_id=keyframe["stream_id"], seq=keyframe["seq"]) as vera:
            assert (await vera.until("joined"))["resumed"]
            texts = [event["text"] for event in await vera.events(2) if event["type"] == "chat_sent"]
            assert texts == ["one", "two"]


async def test_a_partition_is_not_let_go_while_an_answer_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last report of a room is answered like everything else: its viewers are counted down, and none is left over."""
    monkeypatch.setattr(room_follower, "PARTITION_IDLE_S", 0.05)
    async with show(journal_type=SharedJournal, room_idle_ms=0, audience_report_ms=300) as place:
        async with place.viewer("vera") as vera:
            await vera.until("keyframe")
        await until(lambda: readers(place)[ROOM] == 0)
        async with place.viewer("anna") as anna:
            assert (await anna.until("keyframe")).get("viewers", 0) <= 1


async def test_an_embedded_journal_is_followed_whole() -> None:
    """Its gateway is ready once it has read it, and every room is at hand."""
    async with show(), show(open_room=False) as place:
        await until(lambda: place.gateway.ready)
        assert sorted(place.gateway._follower._follower.wanted) == [0, 1]
