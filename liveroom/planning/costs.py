"""The cost of each piece of work, measured or estimated.

CPU times belong to the core of the recorded runs. `liveroom plan --core-speed` scales them to another core.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["MEASURED", "Costs"]


class Costs(Struct, frozen=True):
    """CPU in microseconds, memory and traffic in bytes. Each piece of work happens in one process and on one core."""

    #: One write of a frame to one viewer, without the bytes in it.
    write_us: float
    #: One more KiB in a frame that is written.
    write_kib_us: float
    #: One event of a room on one gateway: applying it, and its share of building the delta.
    event_us: float
    #: One command of a followed partition on one gateway, whether it holds the room or not: reading and decoding its part of the record.
    follow_us: float
    #: One join: token, handshake, first frames.
    join_us: float
    #: One command on the gateway that receives it: parsing, limits, sending it on, and its reply.
    command_us: float
    #: One command in the engine: decision, record, and its part of the commit.
    decision_us: float
    #: One viewer's memory in the gateway, without the kernel's buffers.
    viewer_bytes: int
    #: One room's memory in a gateway: ring, keyframe, entitlements.
    room_bytes: int
    #: A gateway without viewers.
    gateway_bytes: int
    #: One command with its events and its answer in the journal.
    journal_command_bytes: int
    #: One keyframe in the journal.
    keyframe_bytes: int
    #: One event in a frame, before compression.
    event_bytes: int
    #: The rest of a delta, before compression.
    delta_bytes: int
    #: Bytes that compression leaves of a frame, as a fraction.
    compressed: float
    #: Headers of Ethernet, IP and TCP, and the acknowledgment's share, for each write.
    packet_bytes: int


#: Measured on two shared cores, or estimated; docs/scale.md says which.
MEASURED: Final = Costs(
    write_us=8.4,
    write_kib_us=0.6,
    event_us=40.0,
    follow_us=30.0,
    join_us=110.0,
    command_us=60.0,
    decision_us=15.0,
    viewer_bytes=2_100,
    room_bytes=120_000,
    gateway_bytes=90_000_000,
    journal_command_bytes=600,
    keyframe_bytes=9_000,
    event_bytes=170,
    delta_bytes=60,
    compressed=0.35,
    packet_bytes=66,
)
