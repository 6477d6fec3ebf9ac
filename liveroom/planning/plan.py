"""Works out what a crowd needs: processes, machines, partitions, brokers, traffic and disk.

How it works:

1. The load gives the frames a second that each viewer gets, and their size. A fuller gateway has longer ticks, so its frames hold more events.
2. The CPU time of one gateway is a sum of measured costs. It has a part for its viewers, which more gateways share, and a part for the log,
   which every gateway pays for all the rooms that it follows.
3. The plan is the smallest deployment in which no core is busier than `fill`: one process, then workers on one machine, then Kafka.
4. Where the part for the log alone fills a gateway, more gateways do not help. The rooms are then divided among cells. A cell is a deployment
   of its own, with its own brokers, and the platform sends each room's viewers to the room's cell.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.config.schema import EngineConfig, GatewayConfig, JournalConfig
from liveroom.planning.costs import MEASURED, Costs

__all__ = ["Deployment", "Load", "Machine", "Plan", "busy_share", "frames_per_s", "make_plan"]

#: Numbers of partitions to choose from, up to the limit of `journal.partitions`.
PARTITIONS: Final = (4, 8, 16, 32, 64, 128, 256)
#: More partitions let a gateway follow fewer rooms. The plan takes them if they save more than this part of the gateways.
PARTITIONS_WORTH: Final = 1.05
BROKERS_MIN: Final = 3
#: Brokers of one Kafka cluster beyond which this plan divides the rooms. Larger clusters exist, but they are not simple to run.
BROKERS_MAX: Final = 24
#: Gateways of one cell. Each of them reads the log, so the brokers' traffic grows with their number.
GATEWAYS_MAX: Final = 1_000
#: The part of a network port that a plan uses. The rest is for bursts.
PORT_FILL: Final = 0.6
DAY_S: Final = 86_400
KIB: Final = 1_024


class Load(Struct, frozen=True):
    """A crowd at its peak."""

    viewers: int
    rooms: int
    #: Public events a second in each room, such as chat lines that are shown.
    events_per_s: float = 10.0
    #: Commands a minute from each viewer that reach the journal: chat lines, claims, questions. A gateway sums likes, so they count little.
    commands_per_min: float = 0.5
    #: Seconds in which all viewers join.
    join_s: float = 60.0
    #: Whether viewers accept compressed frames, as all browsers do.
    compressed: bool = True
    #: Whether the load balancer sends a room's viewers to as few gateways as hold them, by a hash of the path. Otherwise every gateway has
    #: viewers of nearly every room.
    by_room: bool = False
    #: Hours a day with this load.
    hours: float = 24.0

    @property
    def commands_per_s(self) -> float:
        """Commands a second in all rooms."""
        return self.viewers * self.commands_per_min / 60


class Machine(Struct, frozen=True):
    """One machine of the deployment."""

    cores: int = 8
    port_gbit: float = 10.0
    #: Speed of a core, beside one core of the recorded runs.
    core_speed: float = 1.0
    #: The part of a core that the plan uses. The rest is for bursts, and for the viewers of a gateway that died.
    fill: float = 0.6


class Deployment(Struct, frozen=True):
    """Processes of one cell. `kind` is `serve`, `workers` or `kafka`."""

    kind: str
    gateways: int
    engines: int
    partitions: int
    brokers: int


class Plan(Struct, frozen=True):
    """The processes and machines for a load. Figures without another word are those of one cell at its peak."""

    load: Load
    machine: Machine
    cells: int
    cell: Deployment
    gateway_machines: int
    #: Busy share of the core of one gateway.
    gateway_busy: float
    #: The part of `gateway_busy` that reading the log takes.
    log_busy: float
    gateway_bytes: int
    viewers_per_gateway: int
    frames_per_s: float
    frame_bytes: int
    out_gbit: float
    broker_gbit: float
    joined_s: float
    journal_bytes_a_day: int
    #: Names of what decides the size: `connections`, `joins`, `writes`, `log`, `brokers`, `decisions`, `network`.
    limits: tuple[str, ...]


def frames_per_s(events_per_s: float, viewers: float, gateway: GatewayConfig) -> float:
    """The frames a second of a room on a gateway with `viewers` viewers. A tick begins with the first event after the last frame."""
    crowd = min(1.0, viewers / gateway.connections_max)
    tick_s = (gateway.tick_ms_min + (gateway.tick_ms_max - gateway.tick_ms_min) * crowd) / 1000
    return events_per_s / (1 + events_per_s * tick_s)


def busy_share(load: Load, gateways: int, partitions: int, costs: Costs, gateway: GatewayConfig) -> tuple[float, float]:
    """The CPU seconds a second of one of `gateways` gateways, as (all, the part for the log)."""
    viewers = load.viewers / gateways
    frames = frames_per_s(load.events_per_s, viewers, gateway)
    size = _frame_bytes(load, frames, costs)
    rooms = _rooms_here(load, gateways)
    followed = load.commands_per_s * _hit(partitions, rooms) / partitions
    log_us = followed * costs.follow_us
    crowd_us = viewers * (frames * (costs.write_us + costs.write_kib_us * size / KIB) + load.commands_per_min / 60 * costs.command_us)
    return (crowd_us + log_us + rooms * load.events_per_s * costs.event_us) / 1e6, log_us / 1e6


def make_plan(load: Load, machine: Machine, costs: Costs = MEASURED, gateway: GatewayConfig | None = None) -> Plan:
    """The smallest deployment for a load. Raises `ValueError` if one room alone is too much for one engine."""
    gateway = gateway or GatewayConfig()
    costs = _scaled(costs, machine.core_speed)
    room_busy = load.commands_per_s / load.rooms * costs.decision_us / 1e6
    if room_busy > machine.fill:
        raise ValueError(f"one room's commands keep an engine busy for {room_busy:.1f} s a second, and a room has one engine at a time")
    cells = 1
    while True:
        part = _divided(load, cells)
        if cell := _deployment(part, machine, costs, gateway):
            return _described(load, part, machine, costs, gateway, cells, cell)
        cells += max(1, cells // 4)


def _deployment(load: Load, machine: Machine, costs: Costs, gateway: GatewayConfig) -> Deployment | None:
    decided = load.commands_per_s * costs.decision_us / 1e6
    journal = JournalConfig().partitions
    least = _gateways_for_viewers(load, machine, costs, gateway)
    if least == 1 and busy_share(load, 1, journal, costs, gateway)[0] + decided <= machine.fill:
        return Deployment("serve", 1, 1, journal, 0)
    if decided <= machine.fill:
        workers = _gateways(load, least, machine.cores - 1, machine, journal, costs, gateway)
        if workers and _out_gbit(load, workers, costs, gateway) <= machine.port_gbit * PORT_FILL:
            return Deployment("workers", workers, 1, journal, 0)
    engines = max(2, math.ceil(decided / machine.fill))  # two, so that one can die
    counts = {
        partitions: gateways
        for partitions in PARTITIONS
        if partitions >= 2 * engines and (gateways := _gateways(load, max(2, least), GATEWAYS_MAX, machine, partitions, costs, gateway))
    }
    if not counts:
        return None
    partitions, gateways = next((p, count) for p, count in counts.items() if count <= min(counts.values()) * PARTITIONS_WORTH)
    brokers = max(BROKERS_MIN, math.ceil(_broker_gbit(load, gateways, partitions, costs) / (machine.port_gbit * PORT_FILL)))
    return Deployment("kafka", gateways, engines, partitions, brokers) if brokers <= BROKERS_MAX else None


def _gateways_for_viewers(load: Load, machine: Machine, costs: Costs, gateway: GatewayConfig) -> int:
    """The gateways that connections and joins need."""
    return max(math.ceil(load.viewers / gateway.connections_max), _gateways_for_joins(load, machine, costs))


def _gateways_for_joins(load: Load, machine: Machine, costs: Costs) -> int:
    return math.ceil(load.viewers * costs.join_us / 1e6 / (load.join_s * machine.fill))


def _gateways(load: Load, least: int, most: int, machine: Machine, partitions: int, costs: Costs, gateway: GatewayConfig) -> int:
    """The smallest number from `least` to `most` with which no gateway is too busy; 0 if there is none."""

    def fits(count: int) -> bool:
        return busy_share(load, count, partitions, costs, gateway)[0] <= machine.fill

    if least > most or not fits(most):
        return 0
    low, high = least, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _described(load: Load, part: Load, machine: Machine, costs: Costs, gateway: GatewayConfig, cells: int, cell: Deployment) -> Plan:
    busy, log_busy = busy_share(part, cell.gateways, cell.partitions, costs, gateway)
    viewers = math.ceil(part.viewers / cell.gateways)
    frames = frames_per_s(part.events_per_s, viewers, gateway)
    out, brokers = _out_gbit(part, cell.gateways, costs, gateway), _broker_gbit(part, cell.gateways, cell.partitions, costs) if cell.brokers else 0.0
    by_cores = math.ceil(cell.gateways / max(1, machine.cores - 1))
    by_network = math.ceil(out / (machine.port_gbit * PORT_FILL))
    limits = [
        ("connections", math.ceil(part.viewers / gateway.connections_max) >= cell.gateways > 1),
        ("joins", _gateways_for_joins(part, machine, costs) >= cell.gateways > 1),
        ("writes", busy > machine.fill * 0.8 and log_busy < busy / 2),
        ("log", log_busy >= busy / 2),
        ("decisions", cell.engines > 2),
        ("brokers", cell.brokers > BROKERS_MIN),
        ("network", by_network > by_cores),
    ]
    return Plan(
        load=load,
        machine=machine,
        cells=cells,
        cell=cell,
        gateway_machines=max(by_cores, by_network) if cell.kind == "kafka" else 1,
        gateway_busy=busy,
        log_busy=log_busy,
        gateway_bytes=round(costs.gateway_bytes + viewers * costs.viewer_bytes + _rooms_here(part, cell.gateways) * costs.room_bytes),
        viewers_per_gateway=viewers,
        frames_per_s=frames,
        frame_bytes=round(_frame_bytes(part, frames, costs)),
        out_gbit=out,
        broker_gbit=brokers,
        joined_s=viewers * costs.join_us / 1e6 / machine.fill,
        journal_bytes_a_day=round(_journal_bytes_per_s(load, costs) * load.hours / 24 * DAY_S),
        limits=tuple(name for name, decides in limits if decides),
    )


def _frame_bytes(load: Load, frames: float, costs: Costs) -> float:
    size = costs.delta_bytes + load.events_per_s / frames * costs.event_bytes if frames else 0.0
    return size * (costs.compressed if load.compressed else 1.0)


def _out_gbit(load: Load, gateways: int, costs: Costs, gateway: GatewayConfig) -> float:
    """The traffic of all gateways to viewers, in Gbit/s."""
    frames = frames_per_s(load.events_per_s, load.viewers / gateways, gateway)
    return load.viewers * frames * (_frame_bytes(load, frames, costs) + costs.packet_bytes) * 8 / 1e9


def _broker_gbit(load: Load, gateways: int, partitions: int, costs: Costs) -> float:
    """The traffic of all brokers, in Gbit/s: two copies to other brokers, and one to each reader of the log."""
    followed = _hit(partitions, _rooms_here(load, gateways)) / partitions
    readers = 2 + 1 + gateways * followed  # two further copies, the engines, the gateways
    return _journal_bytes_per_s(load, costs) * readers * 8 / 1e9


def _journal_bytes_per_s(load: Load, costs: Costs) -> float:
    return load.commands_per_s * costs.journal_command_bytes + load.rooms * _keyframes_per_s(load.events_per_s) * costs.keyframe_bytes


def _keyframes_per_s(events_per_s: float) -> float:
    """The keyframes of one room a second: a busy room gets one every interval, and a quiet one after some events or a longer interval."""
    engine = EngineConfig()
    events_s = engine.keyframe_quiet_events_max / events_per_s if events_per_s else math.inf
    interval_s = min(max(engine.keyframe_interval_ms / 1000, events_s), engine.keyframe_quiet_interval_ms / 1000)
    return min(events_per_s, 1 / interval_s)


def _rooms_here(load: Load, gateways: int) -> float:
    """How many rooms have viewers on one gateway."""
    if load.by_room:
        return max(1.0, load.rooms / gateways)
    return _hit(load.rooms, load.viewers / gateways)


def _hit(places: int, balls: float) -> float:
    """How many of `places` places get at least one of `balls` balls, on average, if each ball falls into a random place."""
    return places * (1 - (1 - 1 / places) ** balls) if places > 1 else min(1.0, balls)


def _divided(load: Load, cells: int) -> Load:
    return replace(load, viewers=math.ceil(load.viewers / cells), rooms=math.ceil(load.rooms / cells))


def _scaled(costs: Costs, core_speed: float) -> Costs:
    """The costs on a core of another speed."""
    times = {name: getattr(costs, name) / core_speed for name in costs.__struct_fields__ if name.endswith("_us")}
    return replace(costs, **times)
