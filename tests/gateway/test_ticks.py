"""The points in time at which rooms broadcast."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import GatewayConfig
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.gateway.ticks import LENGTHS, TickGrid
from tests.gateway.place import show, until

CONFIG = GatewayConfig()
SHORTEST_S, LONGEST_S = CONFIG.tick_ms_min / 1000, CONFIG.tick_ms_max / 1000

names = st.text("ab1.-", max_size=8)
counts = st.integers(0, CONFIG.connections_max)
#: In seconds; the clock's origin can be the machine's start or years ago.
times = st.floats(1, 1e8)
#: In parts of a tick.
parts = st.floats(0, 3)


def grid(name: str = "gateway-1", connections: int = 0) -> TickGrid:
    return TickGrid(name, CONFIG, lambda: connections)


def settled(ticks: TickGrid) -> float:
    """A broadcast of a room that has been busy for a while."""
    due = 1e5
    for _ in range(40):
        due = ticks.due("demo", due, due)
    return due


def distance(time: float, step: float) -> float:
    """The distance to the next whole number of steps."""
    return abs(time / step - round(time / step)) * step


@given(names, names, counts, times, parts)
def test_a_broadcast_is_due_after_about_a_tick(name: str, room: str, connections: int, last: float, part: float) -> None:
    """It is in the future, at least half a tick after the last one, and no later than the next point after a whole tick."""
    ticks = grid(name, connections)
    now = last + part * ticks.tick_s
    due = ticks.due(room, now, last)
    assert now - 1e-6 < due
    assert last + ticks.tick_s / 2 - 1e-6 <= due
    assert due <= max(now, last + ticks.tick_s) + 2 * SHORTEST_S


@given(counts, times)
def test_a_lone_event_waits_half_the_shortest_tick(connections: int, now: float) -> None:
    """In a quiet room the wait is spread evenly over a slot, however full the gateway is, and a slot is below two of the shortest ticks."""
    ticks = grid(connections=connections)
    waits = [ticks.due("demo", now + i * 0.001, now - 60) - (now + i * 0.001) for i in range(1_000)]
    assert max(waits) <= 2 * SHORTEST_S
    assert sum(waits) / len(waits) <= 0.75 * SHORTEST_S


@given(names, counts, times, st.lists(st.tuples(names, parts, parts), min_size=2, max_size=20))
def test_all_rooms_of_a_gateway_share_their_points(name: str, connections: int, now: float, rooms: list[tuple[str, float, float]]) -> None:
    """Whenever their news came, the due times of rooms are whole slots apart, so one wakeup serves many rooms."""
    ticks = grid(name, connections)
    tick_s = ticks.tick_s
    slot_s = tick_s / (tick_s * 1000 // CONFIG.tick_ms_min)
    dues = [ticks.due(room, now + later * tick_s, now - earlier * tick_s) for room, later, earlier in rooms]
    assert all(distance(due - dues[0], slot_s) < 1e-5 for due in dues)


@given(names, names, counts, times, st.data())
def test_a_busy_room_soon_broadcasts_once_a_tick_at_its_own_point(name: str, room: str, connections: int, start: float, data: st.DataObject) -> None:
    """With constant news, its broadcasts are a tick apart after a few of them, though each begins a little late."""
    ticks = grid(name, connections)
    tick_s = ticks.tick_s
    dues = [start]
    for _ in range(40):
        late_s = data.draw(st.floats(0, 0.004))
        dues.append(ticks.due(room, dues[-1] + late_s, dues[-1] + late_s))
    gaps = [after - before for before, after in itertools.pairwise(dues[20:])]
    assert gaps == pytest.approx([tick_s] * len(gaps), abs=1e-5)


@pytest.mark.parametrize("connections", [0, 10_000, CONFIG.connections_max])
@pytest.mark.parametrize("form", ["gateway-{}", "host.{}", "{}.local-8001"])
def test_numbered_gateways_are_spread_over_the_tick(form: str, connections: int) -> None:
    """The broadcasts of six gateways in one busy room begin at points that are at least half of an even share apart."""
    tick_s = grid(connections=connections).tick_s
    points = sorted(settled(grid(form.format(i), connections)) % tick_s for i in range(7, 13))
    gaps = [after - before for before, after in zip(points, [*points[1:], points[0] + tick_s], strict=True)]
    assert min(gaps) >= tick_s / 12


def test_a_fuller_gateway_has_longer_ticks() -> None:
    """The tick grows from the shortest to the longest in a few steps, so that equally full gateways have equal ticks."""
    lengths = [grid(connections=n).tick_s for n in range(0, 2 * CONFIG.connections_max, 10)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (SHORTEST_S, LONGEST_S)
    assert len(set(lengths)) == LENGTHS + 1
    assert grid(connections=9_900).tick_s == grid(connections=10_000).tick_s


async def test_rooms_of_a_running_gateway_wait_for_points_of_one_grid() -> None:
    """Rooms that get news at different moments are due at whole slots from each other."""
    async with show(tick_ms_min=1_000, tick_ms_max=1_000) as place:
        await place.command(OpenRoom("Another show"), room="other")
        async with place.viewer("bob") as bob, place.viewer("eve", room="other") as eve:
            await bob.until("keyframe")
            await eve.until("keyframe")
            hub = place.gateway._hub
            await until(lambda: not hub._ticks and not hub._broadcasts)
            await place.until_slot_begins()
            for room in ("demo", "other"):
                await place.command(SendChat("hello"), room=room)
            await until(lambda: len(hub._ticks) == 2)
            (one, _, _), (other, _, _) = hub._ticks
            assert distance(other - one, 1.0) < 1e-5
