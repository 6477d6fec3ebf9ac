"""The contract of a feature: everything about it that gateway, console, client and accounts need.

How it works. Each feature has a package with a `feature.py` that makes one `Feature`; `liveroom.features.registry.FEATURES` lists them all.
Code outside the features loops over that list. It names no feature that moves money, except the accounts and the demo.

- `commands` and `events` are the feature's part of the vocabulary.
- A `View` is one field of the keyframe (`views`) or of the room's detail (`details`): its type, and the fold that keeps it current. The console
  and the client fold keyframes by the same functions. The detail is for gateways and consoles alone.
- `refusals` are the codes of its own with which commands are refused.
- `settings` are the feature's settings in the section `[rooms]`. Their names are unique among all features.
- An `Admission` says how one command takes units of something scarce. Gateways queue such commands while no units are left, and count
  network addresses by it.
- An `EntitlementFold` keeps what users own of the feature's items. Gateways and the Python client fold by the same class.
- A `RoomRoute` serves a part of the room's state over HTTP. Commands need none: the console takes every command that a role may send.
- `closing_bytes` bounds the events that end the feature's items when a room closes, in bytes of a record. `due_bytes` bounds the events that time
  brings about in one room at once. A command and an admission state their own bounds.

The rules are not part of the contract: only the engine's side may import them. They build the fields of a keyframe from a room's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from liveroom.features.entitlements import EntitlementFold
from liveroom.messages.base import CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Role
from liveroom.messages.settings import Section

__all__ = ["Admission", "Feature", "RoomRoute", "StockChange", "View"]


class View(Struct, frozen=True):
    """One field of the keyframe or of the detail. A field with its default value is not sent.

    `fold(value, event, seq, time_ms)` gives the value after an event; `events` are the classes that can change it.

    `kept`: newest entries of a list that readers keep while they fold; a reader may keep fewer.
    `shown(whole)`: the detail holds more in a field of the same name, and this picks the part for the keyframe.
    `searched(value)`: the text of the value in which the directory searches.
    """

    field: str
    kind: Any  # the type of its value
    default: Any
    events: tuple[type[EventBase], ...]
    fold: Callable[[Any, Any, int, int], Any]
    kept: int | None = None
    shown: Callable[[Any], Any] | None = None
    searched: Callable[[Any], str] | None = None


class StockChange(Struct, frozen=True, gc=False):
    """News of one scarce item; a field that is `None` or empty says nothing.

    `stock` is how many units are left and how many may come back. `total` is how many units the item has had, as a keyframe shows it: an item with
    all of them left has no winners. `is_new` marks the event that begins the item.
    `end_code` is the refusal code of every later claim. `units_max` bounds the units of one claim.
    """

    item: int
    stock: tuple[int, int] | None = None
    winner: str = ""
    end_code: str = ""
    total: int | None = None
    is_new: bool = False
    units_max: int | None = None
    counts_addresses: bool | None = None


class Admission(Struct, frozen=True, kw_only=True):
    """How one command claims units of scarce items.

    `claim(command)` gives the item and the units. `empty_code` is the refusal when no units are left. `changes` gives the news of an item in an
    event at its seq; `view` does the same for the items of the keyframe's field `views`.

    `end_bytes_max` is the most that the end of an item takes in a record when a claim takes its last unit.

    `one_per_user`: a user has one place in the queue, whatever the command's ids.
    `returns`: units may come back, so claims wait while there are none.
    `needs_watch_time`: the rules read the sender's time of watching.
    """

    command: type[CommandBase]
    claim: Callable[[Any], tuple[int, int]]
    empty_code: str
    changes: Mapping[type[EventBase], Callable[[int, Any], StockChange]]
    views: str
    view: Callable[[Any], StockChange]
    end_bytes_max: int = 0
    one_per_user: bool = False
    returns: bool = False
    needs_watch_time: bool = False


class RoomRoute(Struct, frozen=True, kw_only=True):
    """A part of a room's state over HTTP: `GET /v1/rooms/{room}/NAME`.

    `make(view, now_ms)` gives the body, of the class `body`, from the console's view of the room.
    With `roles`, only their tokens may read it. Without, the body is public and kept until the room changes, so it must not depend on the time.
    """

    name: str
    summary: str
    body: type[Struct]
    make: Callable[[Any, int], Struct]
    roles: frozenset[Role] = frozenset()


class Feature(Struct, frozen=True, kw_only=True):
    """One feature; `name` is the name of its package, `rules` the dotted name of its module of rules.

    `needs` names the features whose messages, state or functions it uses. They know nothing of it.
    """

    name: str
    rules: str
    needs: tuple[str, ...] = ()
    commands: tuple[type[CommandBase], ...] = ()
    events: tuple[type[EventBase], ...] = ()
    settings: type[Section] | None = None
    refusals: Refusals = {}
    views: tuple[View, ...] = ()
    details: tuple[View, ...] = ()
    closing_bytes: int = 0
    due_bytes: int = 0
    admission: Admission | None = None
    entitlements: type[EntitlementFold] | None = None
    routes: tuple[RoomRoute, ...] = ()
