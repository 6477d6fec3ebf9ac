"""Broadcasts: their order of viewers, and the time from an event to the last viewer."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from socket import SocketType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.borrowed_socket import BorrowedSocket
from liveroom.gateway.room import HeldRoom
from liveroom.telemetry.metrics import Metrics
from tests.gateway.place import ROOM, scripted, until

METRICS = Metrics()


async def test_each_viewer_is_as_often_first_as_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over some broadcasts of a room, every viewer gets its frame first, and last, about as often as each other viewer."""
    written: list[BorrowedSocket] = []

    def send(socket: BorrowedSocket, data: bytes) -> int:
        written.append(socket)
        return SocketType.send(socket, data)

    monkeypatch.setattr(BorrowedSocket, "send", send, raising=False)
    async with scripted(tick_ms_min=1, tick_ms_max=1) as (place, script), AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(place.viewer(f"u{i}")) for i in range(5)]
        for viewer in viewers:
            await viewer.until("keyframe")
        rounds = 40
        written.clear()
        for _ in range(rounds):
            await script.say(1)
            for viewer in viewers:
                await viewer.events(1)
        sockets = {viewer.connection.socket for viewer in place.gateway._hub.rooms[ROOM].viewers if viewer.connection.socket is not None}
        orders = [written[at : at + len(viewers)] for at in range(0, len(written), len(viewers))]
        assert len(orders) == rounds
        assert all(set(order) == sockets for order in orders)
        for position in (0, -1):
            counts = Counter(order[position] for order in orders)
            assert all(7 <= counts[socket] <= 9 for socket in sockets), counts


@given(st.integers(1, 300))
def test_few_broadcasts_are_enough_for_every_viewer(size: int) -> None:
    """Within any three times as many broadcasts as viewers, each viewer is first at least once and at most five times."""
    room = HeldRoom("demo", GatewayConfig(), METRICS)
    room.viewers = list(range(size))  # type: ignore[arg-type]
    firsts: list[Any] = []
    for _ in range(5 * size):
        order = room.viewers_in_turn()
        assert sorted(order) == room.viewers  # type: ignore[type-var]
        firsts.append(order[0])
    for begin in (0, size, 2 * size):
        counts = Counter(firsts[begin : begin + 3 * size])
        assert len(counts) == size
        assert max(counts.values()) <= 5


async def test_the_time_from_event_to_last_viewer_is_a_metric() -> None:
    """It begins with the first event of a tick, so it includes the rest of the tick, but no quiet time before the event."""
    async with scripted(tick_ms_min=100, tick_ms_max=100) as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        room = place.gateway._hub.rooms[ROOM]
        for number, (quiet_s, wait_s) in enumerate([(0, 0), (10, 0), (0, 5)], start=1):
            await place.clock.advance(quiet_s)
            await place.until_slot_begins()
            await script.say(1)
            await until(lambda: room.has_news)
            await asyncio.gather(place.clock.advance(wait_s), script.say(1))
            await bob.events(2)
            await until(lambda: place.metric("delivery_seconds_count") == number)  # noqa: B023 (called before the next round)
            assert wait_s <= place.metric("delivery_seconds_sum") < wait_s + 5


async def test_other_work_delays_a_broadcast_by_few_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """While turns of the event loop take long, broadcasts get as much time as the other work: the last viewer does not wait for a turn per batch."""
    written: list[BorrowedSocket] = []

    def send(socket: BorrowedSocket, data: bytes) -> int:
        written.append(socket)
        return SocketType.send(socket, data)

    monkeypatch.setattr(BorrowedSocket, "send", send, raising=False)
    turns = 0
    async with scripted(tick_ms_min=1, tick_ms_max=1, broadcast_batch_size=1) as (place, script), AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(place.viewer(f"u{i}")) for i in range(20)]
        for viewer in viewers:
            await viewer.until("keyframe")
        written.clear()

        async def work() -> None:
            nonlocal turns
            while True:
                if written:  # from the first write on, every turn takes long
                    turns += 1
                    place.clock.jump(0.2)
                await asyncio.sleep(0)

        working = asyncio.create_task(work())
        await script.say(1)
        await until(lambda: len(written) == len(viewers))
        assert turns <= 6
        working.cancel()
