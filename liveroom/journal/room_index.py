"""The parts of a snapshot: rooms, the index of rooms and the list of dropped parts.

Also loads the newest whole snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liveroom.journal.base import Journal, Snapshot, SnapshotPart
from liveroom.protocol.frames import VIEWS, Keyframe, RoomDetail

__all__ = ["IndexEntry", "RoomPart", "Whole", "decode_detail", "decode_entry", "decode_index", "decode_room", "load_whole", "summary_of"]

logger = logging.getLogger(__name__)

#: Parts that are read from the journal in one call.
PARTS_AT_ONCE = 32


class RoomPart(Struct, frozen=True, array_like=True):
    """One room: the engine's own state, and the detail for readers."""

    room: str
    state: msgspec.Raw
    detail: msgspec.Raw


class IndexEntry(Struct, frozen=True, array_like=True, gc=False):
    """The place of a room's part, and a summary.

    `resting`: the room is closed and waits for no time.
    `summary` is its keyframe without its lists.
    """

    part: SnapshotPart
    resting: bool
    summary: Keyframe


class Whole(Struct, frozen=True):
    """A snapshot with its index segments and the bytes of its outcomes. The parts of its rooms are read on demand."""

    snapshot: Snapshot
    segments: tuple[list[IndexEntry], ...]
    outcomes: tuple[bytes, ...]

    def entries(self) -> dict[str, IndexEntry]:
        """All rooms, each with the entry of its latest segment."""
        return {entry.summary.room: entry for segment in self.segments for entry in segment}


decode_entry = msgspec.json.Decoder(IndexEntry).decode
decode_index = msgspec.json.Decoder(list[IndexEntry]).decode
decode_room = msgspec.json.Decoder(RoomPart).decode
_detail = msgspec.json.Decoder(RoomDetail)
_NO_LISTS: Final = {view.field: view.default for view in VIEWS if isinstance(view.default, tuple | dict)}


def decode_detail(body: bytes) -> RoomDetail:
    """The detail in a room's part."""
    return _detail.decode(decode_room(body).detail)


def summary_of(keyframe: Keyframe) -> Keyframe:
    """A keyframe without its lists and longer texts."""
    return replace(keyframe, announcement="", **_NO_LISTS)


async def load_whole(journal: Journal, partition: int) -> Whole | None:
    """The newest snapshot with a complete index and all outcomes. Incomplete ones are skipped with a warning."""
    for snapshot in await journal.load_snapshots(partition):
        segments = [await _read(journal, partition, segment) for segment in snapshot.rooms]
        outcomes = await _read(journal, partition, snapshot.outcomes)
        if outcomes is not None and None not in segments:
            entries = tuple([entry for body in segment or () for entry in decode_index(body)] for segment in segments)
            return Whole(snapshot, entries, tuple(outcomes))
        logger.warning("a snapshot is incomplete and skipped", extra={"partition": partition, "offset": snapshot.offset})
    return None


async def _read(journal: Journal, partition: int, parts: Sequence[SnapshotPart]) -> list[bytes] | None:
    """The bytes of all these parts, or `None` when one is missing."""
    bodies: list[bytes] = []
    for start in range(0, len(parts), PARTS_AT_ONCE):
        for body in await journal.get_parts(partition, parts[start : start + PARTS_AT_ONCE]):
            if body is None:
                return None
            bodies.append(body)
    return bodies
