"""The plans on the page about scale, made by the same arithmetic as `liveroom plan`."""

from __future__ import annotations

from typing import Final

from docs.generate.words import table
from liveroom.planning.commands import plan_lines
from liveroom.planning.costs import MEASURED, Costs
from liveroom.planning.plan import Load, Machine, make_plan

__all__ = ["costs", "scale"]

#: The loads of the page, with the options of `liveroom plan`.
_LOADS: Final = (
    Load(10_000, 1),
    Load(100_000, 1),
    Load(100_000, 100, by_room=True),
    Load(1_000_000, 1_000),
    Load(1_000_000, 1_000, by_room=True),
    Load(10_000_000, 10_000, by_room=True),
    Load(10_000_000, 100, by_room=True),
)

_COSTS: Final = {
    "write_us": "One write of a frame to one viewer, without its bytes",
    "write_kib_us": "One more KiB in a written frame",
    "event_us": "One event of a room, on each gateway with viewers of the room",
    "follow_us": "One command in the log, on each gateway that follows its partition",
    "join_us": "One join: token, handshake, first frames",
    "command_us": "One command, on the gateway that receives it",
    "decision_us": "One command, in the engine",
    "viewer_bytes": "One viewer in a gateway, without the kernel's buffers",
    "room_bytes": "One room in a gateway",
    "gateway_bytes": "A gateway without viewers",
    "journal_command_bytes": "One command with its events and its answer in the journal",
    "keyframe_bytes": "One keyframe in the journal",
    "event_bytes": "One event in a frame, before compression",
    "delta_bytes": "The rest of a delta, before compression",
    "compressed": "Part of a frame that compression leaves",
    "packet_bytes": "Headers of the network for each write",
}


def scale() -> str:
    """One plan for each load."""
    return "\n\n".join(f"```\n$ {_command(load)}\n" + "\n".join(plan_lines(make_plan(load, Machine()))) + "\n```" for load in _LOADS)


def costs() -> str:
    """The measured costs that the plans use."""
    assert tuple(_COSTS) == Costs.__struct_fields__
    rows = []
    for name, words in _COSTS.items():
        cost = getattr(MEASURED, name)
        unit = "us" if name.endswith("_us") else "bytes" if name.endswith("_bytes") else ""
        rows.append([words, f"{cost:,} {unit}".strip()])
    return table(["Cost", "Measured or estimated"], rows)


def _command(load: Load) -> str:
    return f"liveroom plan --viewers {load.viewers} --rooms {load.rooms}" + (" --by-room" if load.by_room else "")
