"""Users of one network address: how many may have some of an item, counted by the marks that gateways put in the addresses' place.

A user counts where a share, a code or a hold was got, and from the first one there on; where it came without a mark nothing
is counted. An unpaid hold stops counting when it is resolved. Nothing is kept of an item that nobody can get any more.
"""

from __future__ import annotations

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.decision import Refusal
from liveroom.features.ruleset import Rules
from liveroom.features.state import Coupon, EnvelopeState, FlashSale, RoomState
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken
from liveroom.messages.sender import Sender

__all__ = ["RULES", "address_counted", "check_address", "count_address", "forget_addresses", "uncount_hold"]

Item = EnvelopeState | Coupon | FlashSale


def check_address(item: Item, sender: Sender) -> Refusal | None:
    """Why somebody at this address may not have some of an item that has a limit."""
    users = item.addresses.get(sender.address_mark, {})
    if not sender.address_mark or sender.user in users or len(users) < item.users_per_address_max:
        return None
    return Refusal("address_limit", f"{item.users_per_address_max} users of your network address already have some of it, which is the limit")


def count_address(number: int, sender: Sender, *, hold: int = -1) -> tuple[EventBase, ...]:
    """The event that counts what the sender gets of an item that has a limit."""
    return (AddressCounted(number, sender.user, sender.address_mark, hold),) if sender.address_mark else ()


def address_counted(state: RoomState, event: AddressCounted, seq: int, time_ms: int) -> None:
    """Fold a count; too many users at one address stop the room."""
    sale = state.sales.get(event.item)
    item: Item = sale or state.envelopes.get(event.item) or state.coupons[event.item]
    users = item.addresses.setdefault(event.mark, {})
    users[event.user] = users.get(event.user, 0) + 1
    if len(users) > item.users_per_address_max:
        raise InvariantBroken("no more users of one address than may")
    if sale is not None:
        sale.hold_marks[event.hold] = event.mark


def uncount_hold(sale: FlashSale, hold: int, user: str, *, paid: bool) -> None:
    """Fold that a hold is resolved: an unpaid one gives its place back."""
    mark = sale.hold_marks.pop(hold, "")
    if not mark or paid:
        return
    users = sale.addresses[mark]
    users[user] -= 1
    if not users[user]:
        del users[user]
    if not users:
        del sale.addresses[mark]


def forget_addresses(item: Coupon | FlashSale) -> None:
    """Fold that nobody can get any of it any more; an envelope goes as a whole."""
    item.addresses = {}
    if isinstance(item, FlashSale):
        item.hold_marks = {}


RULES = Rules(
    evolve={
        AddressCounted: address_counted,
    },
)
