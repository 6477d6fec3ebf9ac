"""The user's entitlements: an `entitlements` frame, kept up to date by the events after it.

Pure, like `state.py`. Events below the frame's seq are in the frame already. Personal events come beside the deltas, before the delta whose span
has them. A public event between them changes nothing that they add, so the order of the two makes no difference.
"""

from __future__ import annotations

from msgspec.structs import replace

from liveroom.client.items import PersonalEvent, RoomEvent
from liveroom.features.tables import ENTITLEMENT_CHANGES, ENTITLEMENTS
from liveroom.protocol.entitlements import keep_newest
from liveroom.protocol.frames import Entitlements

__all__ = ["fold_entitlements"]


def fold_entitlements(entitlements: Entitlements, item: RoomEvent | PersonalEvent, user: str) -> Entitlements:
    """The entitlements of `user` after one event."""
    found = ENTITLEMENT_CHANGES.get(type(item.event))
    if found is None or item.seq < entitlements.seq or getattr(item.event, "user", user) != user:
        return entitlements
    place, change = found
    fold = ENTITLEMENTS[place](set())
    fold.adopt(user, entitlements)
    if isinstance(item, PersonalEvent):
        fold.learn(item.added)
    change(fold, item.seq, item.event)
    owned = fold.owned_by(user)
    omitted = entitlements.omitted + keep_newest(owned)
    return replace(entitlements, omitted=omitted, **{name: tuple(some) if isinstance(some, list) else some for name, some in owned.items()})
