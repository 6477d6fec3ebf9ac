"""Entitlements: the chunks by which a gateway learns those of all users, and the part of a frame that tells one user's."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, defstruct

from liveroom.features.tables import ENTITLEMENTS
from liveroom.messages.structs import fields_of

__all__ = ["ENTITLEMENTS_MAX", "EntitlementsChunk", "keep_newest"]

#: Entitlements of each kind in one frame: the newest; older ones are only counted.
ENTITLEMENTS_MAX: Final = 100


class _Chunk(Struct, frozen=True, omit_defaults=True):
    """Chunk number `number`, from 0, of the users' entitlements after all events below `seq`; the room's detail follows the last chunk."""

    room: str
    stream_id: str
    seq: int
    number: int


if TYPE_CHECKING:

    class EntitlementsChunk(_Chunk, frozen=True, omit_defaults=True):
        """A chunk with the rows of all features."""

        def __init__(self, room: str, stream_id: str, seq: int, number: int, **rows: tuple[Any, ...]) -> None: ...

        def __getattr__(self, name: str) -> tuple[Any, ...]: ...

else:
    EntitlementsChunk = defstruct(
        "EntitlementsChunk",
        fields_of(fold.rows for fold in ENTITLEMENTS),
        bases=(_Chunk,),
        namespace={"__doc__": _Chunk.__doc__},
        module=__name__,
        frozen=True,
        omit_defaults=True,
    )


def keep_newest(owned: dict[str, Any]) -> int:
    """Drop all but the newest of each kind, and return the number of dropped ones."""
    omitted = 0
    for name, things in owned.items():
        older = len(things) - ENTITLEMENTS_MAX
        if older > 0:
            omitted += older
            owned[name] = dict(islice(things.items(), older, None)) if isinstance(things, dict) else things[older:]
    return omitted
