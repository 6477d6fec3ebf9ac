"""The entitlements of a room's users, in chunks for a gateway."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from liveroom.features.state import RoomState
from liveroom.features.tables import ENTITLEMENTS
from liveroom.messages.structs import fields_of
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.rooms.state import RULES

__all__ = ["ENTITLEMENTS_CHUNK_BYTES_MAX", "entitlements"]

#: A chunk is no larger as JSON: it fits into the smallest record that a journal may be set to.
ENTITLEMENTS_CHUNK_BYTES_MAX: Final = 48 * 1024

#: Bytes of a chunk beside its rows and its head, at most: the fields' names with quotes and brackets, and a large number of the chunk.
_NAMES_BYTES: Final = 16 + sum(len(name) + len('"":[],') for name, *_ in fields_of(fold.rows for fold in ENTITLEMENTS))


def entitlements(room: str, state: RoomState) -> tuple[EntitlementsChunk, ...]:
    """All entitlements after the last event; no chunk if there is nothing to own or claim."""
    space = ENTITLEMENTS_CHUNK_BYTES_MAX - _NAMES_BYTES - len(encode(EntitlementsChunk(room, state.stream_id, state.seq, 0)))
    chunks: list[dict[str, list[Any]]] = []
    left = 0
    for rules in RULES.values():
        for name, row in rules.entitlements(state) if rules.entitlements else ():
            size = len(encode(row)) + 1
            if size > left:
                chunks.append(defaultdict(list))
                left = space
            left -= size
            chunks[-1][name].append(row)
    return tuple(
        EntitlementsChunk(room, state.stream_id, state.seq, number, **{name: tuple(rows) for name, rows in fields.items()})
        for number, fields in enumerate(chunks)
    )
