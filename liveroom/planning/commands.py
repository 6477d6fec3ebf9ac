"""The command `liveroom plan`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

from liveroom.config.schema import Config
from liveroom.messages.errors import BadConfig
from liveroom.planning.plan import Load, Machine, Plan, make_plan
from liveroom.process.output import write_line
from liveroom.protocol.codec import encode

__all__ = ["add_planning_command", "plan_lines"]

_LOAD, _MACHINE = Load(0, 0), Machine()

_KINDS = {
    "serve": "one process: liveroom serve",
    "workers": "one machine: liveroom serve --workers {gateways}",
    "kafka": "Kafka: {gateways:,} gateways on {machines:,} machines, {engines} engines, {partitions} partitions, {brokers} brokers",
}

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

_LIMITS = {
    "connections": "open connections of a gateway (gateway.connections_max)",
    "joins": "CPU for joins within the given time",
    "writes": "CPU for writes to viewers",
    "log": "CPU for reading the log, which each gateway pays for all rooms that it follows",
    "decisions": "CPU for decisions in the engines",
    "brokers": "the brokers' network",
    "network": "the gateways' network",
}


def add_planning_command(commands: argparse._SubParsersAction[Any], common: Mapping[str, Any]) -> None:
    """Add the command. `common` holds the arguments that every command's parser gets."""
    planning = commands.add_parser("plan", help="work out what a crowd needs: processes, machines, traffic, disk; see docs/scale.md", **common)
    planning.add_argument("--viewers", type=_count, required=True, help="viewers of all rooms at the peak")
    planning.add_argument("--rooms", type=_count, default=1, help="rooms of equal size (default: 1)")
    planning.add_argument("--events-per-s", type=_amount, default=_LOAD.events_per_s, help="public events a second in each room (default: 10)")
    planning.add_argument(
        "--commands-per-min", type=_amount, default=_LOAD.commands_per_min, help="commands a minute from each viewer, without likes (default: 0.5)"
    )
    planning.add_argument("--join-s", type=_amount, default=_LOAD.join_s, help="seconds in which all viewers join (default: 60)")
    planning.add_argument("--uncompressed", action="store_true", help="viewers accept no compressed frames")
    planning.add_argument("--by-room", action="store_true", help="the load balancer sends a room's viewers to few gateways")
    planning.add_argument("--hours", type=_amount, default=_LOAD.hours, help="hours a day with this load, for the disk (default: 24)")
    planning.add_argument("--cores", type=_count, default=_MACHINE.cores, help="cores of a machine (default: 8)")
    planning.add_argument("--port-gbit", type=_amount, default=_MACHINE.port_gbit, help="network port of a machine, in Gbit/s (default: 10)")
    planning.add_argument("--core-speed", type=_amount, default=_MACHINE.core_speed, help="speed of a core beside the measured one (default: 1)")
    planning.add_argument("--fill", type=_part, default=_MACHINE.fill, help="part of a core that may be busy at the peak (default: 0.6)")
    planning.add_argument("--json", action="store_true", help="print JSON")
    planning.set_defaults(run=_plan)


def _plan(config: Config, options: argparse.Namespace) -> None:
    load = Load(
        options.viewers,
        options.rooms,
        events_per_s=options.events_per_s,
        commands_per_min=options.commands_per_min,
        join_s=options.join_s,
        compressed=not options.uncompressed,
        by_room=options.by_room,
        hours=options.hours,
    )
    machine = Machine(options.cores, port_gbit=options.port_gbit, core_speed=options.core_speed, fill=options.fill)
    try:
        plan = make_plan(load, machine, gateway=config.gateway)
    except ValueError as error:
        raise BadConfig(str(error)) from None
    for line in [encode(plan).decode()] if options.json else plan_lines(plan):
        write_line(line)


def plan_lines(plan: Plan) -> list[str]:
    """The plan in words, one line for each thing that somebody has to provide."""
    load, cell = plan.load, plan.cell
    kind = _KINDS[cell.kind].format(
        gateways=cell.gateways, machines=plan.gateway_machines, engines=cell.engines, partitions=cell.partitions, brokers=cell.brokers
    )
    lines = [
        ("load", f"{load.viewers:,} viewers in {load.rooms:,} rooms, {load.events_per_s:g} events/s in each, {load.commands_per_s:,.0f} commands/s"),
        ("deployment", kind + (f", in each of {plan.cells} cells" if plan.cells > 1 else "")),
        (
            "gateway",
            f"{plan.viewers_per_gateway:,} viewers, {plan.gateway_busy:.0%} of a core ({plan.log_busy:.0%} for the log), "
            f"{_bytes(plan.gateway_bytes)}",
        ),
        ("frames", f"{plan.frames_per_s:.1f}/s to each viewer, {plan.frame_bytes} bytes"),
        ("network", f"{plan.out_gbit:.2f} Gbit/s to viewers" + (f", {plan.broker_gbit:.2f} Gbit/s from the brokers" if cell.brokers else "")),
        ("joins", f"all viewers are in after {max(plan.joined_s, 1):.0f} s"),
        ("journal", f"{_bytes(plan.journal_bytes_a_day)} a day" + (" in all cells" if plan.cells > 1 else "") + ", before copies"),
        ("limited by", "; ".join(_LIMITS[name] for name in plan.limits) or "nothing yet"),
    ]
    return [f"{name:<12}{words}" for name, words in lines]


def _bytes(count: float) -> str:
    power = min(int(math.log10(max(count, 1))) // 3, len(_UNITS) - 1)
    return f"{count / 1_000**power:,.3g} {_UNITS[power]}"


def _count(text: str) -> int:
    return int(_checked(text, lambda number: number >= 1 and number == int(number), "a whole number from 1 on"))


def _amount(text: str) -> float:
    return _checked(text, lambda number: number > 0, "a number above 0")


def _part(text: str) -> float:
    return _checked(text, lambda number: 0 < number <= 1, "a number above 0, up to 1")


#: Larger numbers are mistakes, and their arithmetic would overflow.
NUMBER_MAX = 1e12


def _checked(text: str, fits: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text.replace("_", "").replace(",", ""))
    except ValueError:
        number = float("nan")
    if not (number <= NUMBER_MAX and fits(number)):
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
    return number
