"""The base of a feature's fold of entitlements.

How it works. A gateway has one fold per feature and room, for all users: the engine's chunks begin it, and the room's events keep it current.
The Python client has the same folds for one user: an `entitlements` frame begins them, and the events that this user gets keep them current.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct

from liveroom.messages.base import EventBase

__all__ = ["Addition", "Change", "EntitlementFold"]

#: `change(fold, seq, event)` applies an event, and returns the number of entitlements that ended with it, if any.
Change = Callable[[Any, int, Any], int | None]
#: `addition(fold, event)` gives the fields that a personal event's frame gets beside the event.
Addition = Callable[[Any, Any], dict[str, Any]]


class EntitlementFold(ABC):
    """The users' entitlements from one feature in one room, kept by item and, in each item, by user.

    `owners` is shared by all folds of a room: each adds the users who got something. An item that ends is dropped as a whole.

    The fields of `rows` are part of the engine's chunks, those of `owned` of the `entitlements` frame, those of `added` of `personal` frames.
    All of them have defaults, so a feature that gives nothing takes no byte.
    """

    __slots__ = ("_owners",)

    rows: ClassVar[type[Struct]]
    owned: ClassVar[type[Struct]]
    added: ClassVar[type[Struct] | None] = None
    changes: ClassVar[Mapping[type[EventBase], Change]]
    additions: ClassVar[Mapping[type[EventBase], Addition]] = {}

    def __init__(self, owners: set[str]) -> None:
        self._owners = owners

    @abstractmethod
    def load(self, rows: Any) -> None:
        """Add the rows of the next chunk."""

    @abstractmethod
    def adopt(self, user: str, owned: Any) -> None:
        """Begin with one user's entitlements, from a frame."""

    def learn(self, added: Mapping[str, Any]) -> None:
        """Take the fields that a personal event's frame has beside the event, before the event is applied."""
        return

    @abstractmethod
    def owned_by(self, user: str) -> dict[str, list[Any] | dict[Any, Any]]:
        """A user's entitlements by field of the frame, the oldest first."""

    @abstractmethod
    def users(self) -> Iterator[Collection[str]]:
        """The users of each item."""
