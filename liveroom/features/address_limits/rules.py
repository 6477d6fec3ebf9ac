"""Limits of users per network address: how many may have some of an item. Gateways replace addresses by hashes, which are counted here.

A user counts at the address of their first share, code or hold. A claim without an address hash counts nowhere.
An unpaid hold stops counting when it is resolved. The counts of an item are dropped when it can no longer be claimed.
"""

from __future__ import annotations

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.address_limits.state import AddressLimit, AddressLimitsState, change, of
from liveroom.features.decision import Refusal, Turn
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken
from liveroom.messages.sender import Sender

__all__ = ["RULES", "address_counted", "check_address", "count_address", "forget_addresses", "limit_addresses", "uncount_hold"]


def check_address(turn: Turn, item: int) -> Refusal | None:
    """The refusal if the limit of this address is reached for an item, else `None`."""
    sender, limit = turn.sender, of(turn.state).items[item]
    users = limit.addresses.get(sender.address_hash, {})
    if not sender.address_hash or sender.user in users or len(users) < limit.users_max:
        return None
    return Refusal("address_limit", f"{limit.users_max} users of your network address already have some of it, which is the limit")


def count_address(item: int, sender: Sender, *, hold: int = -1) -> tuple[EventBase, ...]:
    """The event that counts the sender's units of an item with a limit."""
    return (AddressCounted(item, sender.user, sender.address_hash, hold),) if sender.address_hash else ()


def limit_addresses(state: RoomState, item: int, users_max: int) -> None:
    """Fold the start of an item; 0 = without a limit."""
    if users_max:
        change(state).items[item] = AddressLimit(users_max)


def address_counted(state: RoomState, event: AddressCounted, seq: int, time_ms: int) -> None:
    """Fold a count; too many users at one address stop the room."""
    limit = of(state).items.get(event.item)
    if limit is None:
        raise InvariantBroken("users are counted only where there is a limit")
    users = limit.addresses.setdefault(event.address_hash, {})
    users[event.user] = users.get(event.user, 0) + 1
    if len(users) > limit.users_max:
        raise InvariantBroken("users of one address within the limit")
    if event.hold >= 0:
        limit.hold_address_hashes[event.hold] = event.address_hash


def uncount_hold(state: RoomState, item: int, hold: int, user: str, *, paid: bool) -> None:
    """Fold the end of a hold: an unpaid one stops counting."""
    limit = of(state).items.get(item)
    address_hash = limit.hold_address_hashes.pop(hold, "") if limit is not None else ""
    if limit is None or not address_hash or paid:
        return
    users = limit.addresses[address_hash]
    users[user] -= 1
    if not users[user]:
        del users[user]
    if not users:
        del limit.addresses[address_hash]


def forget_addresses(state: RoomState, item: int) -> None:
    """Fold the end of an item, which drops its counts."""
    of(state).items.pop(item, None)


RULES = Rules(
    state=AddressLimitsState,
    evolve={
        AddressCounted: address_counted,
    },
)
