"""Plans for crowds: monotone, within the limits of each process, and near what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.config.schema import GatewayConfig, JournalConfig
from liveroom.planning.costs import MEASURED
from liveroom.planning.plan import PARTITIONS, Load, Machine, Plan, frames_per_s, make_plan

LOADS = st.builds(
    Load,
    viewers=st.integers(1, 20_000_000),
    rooms=st.integers(1, 100_000),
    events_per_s=st.floats(0.01, 50),
    commands_per_min=st.floats(0.01, 2),
    join_s=st.floats(5, 600),
    compressed=st.booleans(),
    by_room=st.booleans(),
)
MACHINES = st.builds(Machine, cores=st.integers(1, 128), port_gbit=st.floats(1, 100), core_speed=st.floats(0.3, 4), fill=st.floats(0.2, 0.9))


def plan_of(load: Load, machine: Machine) -> Plan | None:
    """The plan; `None` if one room alone is too much."""
    try:
        return make_plan(load, machine)
    except ValueError:
        return None


@given(LOADS, MACHINES)
def test_no_process_of_a_plan_is_fuller_than_allowed(load: Load, machine: Machine) -> None:
    """No gateway is busier than `fill` or has more viewers than its limit of connections, and the viewers join in time."""
    if plan := plan_of(load, machine):
        assert plan.gateway_busy <= machine.fill
        assert plan.viewers_per_gateway <= GatewayConfig().connections_max
        assert plan.joined_s <= load.join_s * 1.01
        assert plan.cell.partitions in PARTITIONS
        assert plan.cells * plan.cell.gateways * plan.viewers_per_gateway >= load.viewers


@given(LOADS, MACHINES, st.floats(1.5, 10))
def test_a_faster_core_never_needs_more_gateways(load: Load, machine: Machine, factor: float) -> None:
    """The number of all gateways does not grow when each core is faster, but for the rounding of one gateway for each cell."""
    slow, fast = plan_of(load, machine), plan_of(load, replace(machine, core_speed=machine.core_speed * factor))
    if slow and fast and slow.cells == fast.cells and slow.cell.kind == fast.cell.kind:
        assert fast.cell.gateways <= slow.cell.gateways * 1.05 + 1


def test_a_plan_grows_from_one_process_to_workers_to_kafka_to_cells() -> None:
    """The smallest deployment that holds the load is chosen."""
    kinds = [(plan.cell.kind, plan.cells > 1) for plan in (make_plan(Load(viewers, rooms), Machine()) for viewers, rooms in _GROWING)]
    assert kinds == [("serve", False), ("workers", False), ("kafka", False), ("kafka", True)]


_GROWING = ((1_000, 1), (60_000, 1), (1_000_000, 100), (20_000_000, 20_000))


def test_a_load_balancer_that_hashes_the_room_saves_gateways() -> None:
    """With few rooms on a gateway, it follows fewer partitions and builds fewer deltas."""
    load = Load(1_000_000, 1_000)
    assert make_plan(replace(load, by_room=True), Machine()).cell.gateways < make_plan(load, Machine()).cell.gateways / 2


def test_a_room_that_fills_an_engine_has_no_plan() -> None:
    """One room has one engine at a time, so more machines cannot help."""
    with pytest.raises(ValueError, match="one room's commands keep an engine busy"):
        make_plan(Load(10_000_000, 1, commands_per_min=60), Machine())


def test_the_partitions_of_a_plan_are_those_that_the_setting_allows() -> None:
    """A plan names no number of partitions that `journal.partitions` refuses."""
    assert PARTITIONS[0] == JournalConfig().partitions
    JournalConfig(partitions=PARTITIONS[-1])


@pytest.mark.parametrize(("viewers", "tick_ms"), [(0, 20), (18_000, 250), (9_000, 135), (100_000, 250)])
def test_a_fuller_gateway_has_longer_ticks(viewers: int, tick_ms: int) -> None:
    """With events all the time, a room sends one frame a tick; the tick is that of the hub."""
    assert frames_per_s(1e9, viewers, GatewayConfig()) == pytest.approx(1000 / tick_ms)


def test_a_lone_event_is_a_frame_of_its_own() -> None:
    """A room with an event every ten seconds sends a frame every ten seconds, not one a tick."""
    assert frames_per_s(0.1, 18_000, GatewayConfig()) == pytest.approx(0.1, rel=0.03)


def test_the_costs_are_positive() -> None:
    """No cost is zero, which would hide a piece of work."""
    assert all(cost > 0 for cost in (getattr(MEASURED, name) for name in MEASURED.__struct_fields__))
