"""Snapshots: a partition's state as chunks of JSON, and back, checked room by room."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec import Struct

from liveroom.codec import encode
from liveroom.config import EngineConfig, RoomsConfig
from liveroom.engine.outcomes import Outcome
from liveroom.engine.partition import PartitionState
from liveroom.journal.base import Snapshot
from liveroom.messages.frames import RoomDetail
from liveroom.rooms.room import decode_state, detail, encode_state

__all__ = ["SnapshotDamaged", "restore", "take"]

#: A chunk is closed once it holds this much, so that each fits into a record of the journal.
CHUNK_BYTES = 256 * 1024
OUTCOMES_PER_CHUNK = 500
#: Rooms that are encoded before the event loop breathes.
ROOMS_PER_BREATH = 64


class SnapshotDamaged(Exception):
    """A room's state does not have the hash that was written beside it."""


class _Room(Struct, frozen=True, array_like=True):
    room: str
    hash: str
    state: msgspec.Raw


class _Chunk(Struct, frozen=True, omit_defaults=True):
    rooms: tuple[_Room, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


_chunk = msgspec.json.Decoder(_Chunk)


async def take(state: PartitionState, offset: int, mark: str, rules: RoomsConfig) -> Snapshot:
    """A snapshot of `state`, which must be the fold of all accepted entries below `offset` and must not change meanwhile, `mark` the last one's."""
    chunks: list[bytes] = []
    details: list[RoomDetail] = []
    rooms: list[_Room] = []
    size = 0
    for count, (room, room_state) in enumerate(state.rooms.items(), 1):
        encoded = encode_state(room_state)
        rooms.append(_Room(room, _hash(encoded), msgspec.Raw(encoded)))
        details.append(detail(room, room_state, state.time_ms, rules))
        size += len(encoded)
        if size >= CHUNK_BYTES:
            chunks.append(encode(_Chunk(rooms=tuple(rooms))))
            rooms, size = [], 0
        if count % ROOMS_PER_BREATH == 0:
            await asyncio.sleep(0)
    chunks.append(encode(_Chunk(rooms=tuple(rooms))))
    outcomes = iter(state.outcomes)
    while some := tuple(islice(outcomes, OUTCOMES_PER_CHUNK)):
        chunks.append(encode(_Chunk(outcomes=some)))
        await asyncio.sleep(0)
    return Snapshot(offset, state.time_ms, state.acceptance.copy(), tuple(details), tuple(chunks), mark)


async def restore(snapshot: Snapshot, config: EngineConfig) -> PartitionState:
    """The state that a snapshot holds, taken in turns with whatever else the process has to do; raises `SnapshotDamaged`."""
    state = PartitionState(config)
    for chunk in snapshot.state:
        decoded = _chunk.decode(chunk)
        for kept in decoded.rooms:
            encoded = bytes(kept.state)
            if _hash(encoded) != kept.hash:
                raise SnapshotDamaged(f"room {kept.room}: its state does not match its hash")
            state.rooms[kept.room] = decode_state(encoded)
        state.outcomes.add(decoded.outcomes)
        await asyncio.sleep(0)
    state.acceptance = snapshot.acceptance.copy()
    state.time_ms = snapshot.time_ms
    return state


def _hash(encoded: bytes) -> str:
    return blake2b(encoded, digest_size=16).hexdigest()
