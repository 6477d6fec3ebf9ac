"""Flash sales: stock that is reserved by holds. Each hold is confirmed, cancelled or expires, and only once.

The units of an expired hold return with its `hold_expired` event, never before. So reservations until then are decided
by the published stock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from liveroom.features.address_limits.rules import check_address, count_address, forget_addresses, limit_addresses, uncount_hold
from liveroom.features.coupon.price import discount_fen
from liveroom.features.coupon.rules import HOLD_ORDER, hold_code, release_code, unhold_code, use_code
from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.flash_sale.keyframe import FILLS
from liveroom.features.flash_sale.messages import (
    AnnounceFlashSale,
    CancelHold,
    CloseFlashSale,
    ConfirmHold,
    FlashSaleAnnounced,
    FlashSaleClosed,
    FlashSaleOpened,
    FlashSaleRestocked,
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    ReserveStock,
    RestockFlashSale,
    StockChanged,
    StockReserved,
)
from liveroom.features.flash_sale.state import FlashSale, FlashSalesState, Hold, ResolvedHold, change, of, sale_rows
from liveroom.features.flash_sale.unpaid import check_unpaid, note_ended, note_made
from liveroom.features.ruleset import Rules
from liveroom.features.showcase import state as showcase
from liveroom.features.state import RoomState
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken
from liveroom.messages.fields import Role
from liveroom.messages.replies import Result

__all__ = [
    "HOLDS_EXPIRED_MAX",
    "PAYMENTS_MAX",
    "RESOLVED_HOLDS_MAX",
    "RULES",
    "SALES_OVER_MAX",
    "STOCK_MAX",
    "announce_flash_sale",
    "cancel_hold",
    "close_all",
    "close_flash_sale",
    "confirm_hold",
    "flash_sale_announced",
    "flash_sale_closed",
    "flash_sale_opened",
    "flash_sale_restocked",
    "hold_cancelled",
    "hold_confirmed",
    "hold_expired",
    "reserve_stock",
    "restock_flash_sale",
    "sales_due",
    "sales_due_ms",
    "stock_changed",
    "stock_reserved",
]

#: Most units that a sale may ever have had.
STOCK_MAX: Final = 1_000_000
#: Holds that expire at once; more of them expire right after.
HOLDS_EXPIRED_MAX: Final = 500
#: Last closed sales that the state remembers; a forgotten one looks like one that never existed.
SALES_OVER_MAX: Final = 200
#: Last resolved holds that the state remembers; there may be up to twice as many.
RESOLVED_HOLDS_MAX: Final = 5_000
#: Last payments that a room remembers, to recognize repetitions; there may be up to twice as many. Unpaid holds push none of them out.
PAYMENTS_MAX: Final = 20_000

#: Queue places before an open hold that are kept until they are more than half of the queue.
_QUEUE_SLACK: Final = 64


def announce_flash_sale(turn: Turn, command: AnnounceFlashSale) -> Decision:
    """Announce a sale of a showcase product. The sale keeps the title, even if the product changes or is removed."""
    state, now_ms, rules = turn.state, turn.now_ms, turn.rules
    if not state.open:
        return Refusal("room_closed", "the room is closed: nothing is sold")
    product = showcase.of(state).products.get(command.product)
    if product is None:
        return Refusal("product_not_found", f"there is no product {command.product!r} in the showcase", "product")
    if len(of(state).live) >= rules.flash_sales_live_max:
        return Refusal("limit_reached", f"{rules.flash_sales_live_max} flash sales are not over yet")
    opens_ms = now_ms + command.opens_in_ms
    announced = FlashSaleAnnounced(
        product=product.id,
        title=product.title,
        price_fen=command.price_fen,
        stock=command.stock,
        per_user_max=command.per_user_max,
        opens_ms=opens_ms,
        closes_ms=opens_ms + command.open_for_ms,
        hold_ms=command.hold_ms,
        by=turn.sender.user,
        users_per_address_max=command.users_per_address_max,
    )
    events: tuple[EventBase, ...] = (announced,) if command.opens_in_ms else (announced, FlashSaleOpened(state.seq))
    return Decided(events, {"sale": state.seq})


def reserve_stock(turn: Turn, command: ReserveStock) -> Decision:
    """Reserve units for the lifetime of the sale's holds. The hold uses the code of a coupon."""
    state, user, quantity = turn.state, turn.sender.user, command.quantity
    sales = of(state)
    sale = _selling(sales, turn, command.sale)
    if type(sale) is Refusal:
        return sale
    if turn.now_ms < sale.opens_ms:
        return Refusal("sale_not_open", "the flash sale is not open yet", retry_after_ms=sale.opens_ms - turn.now_ms)
    taken = sale.taken.get(user, 0)
    if taken + quantity > sale.per_user_max:
        return Refusal("per_user_limit", f"one user may have {sale.per_user_max} units, and you have {taken}", "quantity")
    unpaid = check_unpaid(turn, sale, quantity)
    if unpaid is not None:
        return unpaid
    available = sale.available
    if quantity > available:
        return Refusal("sold_out", f"{available} are available now", "quantity")
    beside: tuple[EventBase, ...] = ()
    if sale.users_per_address_max:
        refusal = check_address(turn, command.sale)
        if refusal is not None:
            return refusal
        beside = count_address(command.sale, turn.sender, hold=state.seq)
    if _open_holds(sales) >= turn.rules.holds_per_room_max:
        return Refusal("limit_reached", f"{turn.rules.holds_per_room_max} holds are open already")
    spend_fen, discount = sale.price_fen * quantity, 0
    if command.coupon_code:
        used = use_code(turn, command.coupon_code, f"{HOLD_ORDER}{state.seq}", spend_fen, "coupon_code")
        if isinstance(used, Refusal):
            return used
        discount, beside = used.discount_fen, (*beside, used)
    until_ms, due_fen = turn.now_ms + sale.hold_ms, spend_fen - discount
    events = (
        StockReserved(command.sale, user, quantity, until_ms, due_fen, discount, command.coupon_code),
        *beside,
        StockChanged(command.sale, available - quantity, sale.held + quantity, sale.sold),
    )
    return Decided(events, {"hold": state.seq, "until_ms": until_ms, "due_fen": due_fen, "discount_fen": discount})


def _open_holds(sales: FlashSalesState) -> int:
    count = 0
    for sale in sales.live.values():
        count += len(sale.holds)
    return count


def confirm_hold(turn: Turn, command: ConfirmHold) -> Decision:
    """Sell a hold or a part of it. The same payment again has the first outcome, whatever part it names now.

    A payment pays one hold; for another hold it is refused.
    """
    found = _find_hold(turn, command.hold)
    if isinstance(found, ResolvedHold):
        if found.how == "confirmed" and found.payment == command.payment:
            return Decided((), _receipt(found.quantity, found.returned, found.paid_fen))
        return _resolved(found.how)
    if isinstance(found, Refusal):
        return found
    seq, sale, hold = found
    paid_hold = _paid_by(turn.state, command.payment)
    if paid_hold is not None:
        return Refusal("payment_used", f"this payment has paid hold {paid_hold}", "payment")
    if hold.until_ms <= turn.now_ms:
        return _resolved("expired")
    quantity = command.quantity or hold.quantity
    if quantity > hold.quantity:
        return Refusal("out_of_range", f"the hold has only {hold.quantity} units", "quantity")
    returned, spend_fen = hold.quantity - quantity, sale.price_fen * quantity
    discount = discount_fen(hold.terms, spend_fen)
    paid_fen = spend_fen - discount
    released: tuple[EventBase, ...] = ()
    if hold.terms is not None and not discount:
        released = release_code(turn.state, turn.now_ms, hold.coupon_code)
    events = (
        HoldConfirmed(seq, command.hold, hold.user, quantity, returned, paid_fen, command.payment),
        *released,
        _stock(seq, sale, held=-hold.quantity, sold=quantity),
    )
    return Decided(events, _receipt(quantity, returned, paid_fen))


def _paid_by(state: RoomState, payment: str) -> int | None:
    """The hold that a payment has paid, if the state remembers it."""
    sales = of(state)
    hold = sales.payments.get(payment)
    return sales.payments_before.get(payment) if hold is None else hold


def _receipt(quantity: int, returned: int, paid_fen: int) -> Result:
    return {"quantity": quantity, "returned": returned, "paid_fen": paid_fen}


def cancel_hold(turn: Turn, command: CancelHold) -> Decision:
    """Cancel a hold; its coupon can be used again."""
    found = _find_hold(turn, command.hold)
    if isinstance(found, Refusal):
        return found
    owner = found.user if isinstance(found, ResolvedHold) else found[2].user
    if turn.sender.role is not Role.platform and turn.sender.user != owner:
        return Refusal("not_owner", "the hold is another user's", "hold")
    if isinstance(found, ResolvedHold):
        return _resolved(found.how)
    seq, sale, hold = found
    if hold.until_ms <= turn.now_ms:
        return _resolved("expired")
    events = (
        HoldCancelled(seq, command.hold, hold.user, turn.sender.user),
        *_release(turn.state, turn.now_ms, hold),
        _stock(seq, sale, held=-hold.quantity),
    )
    return Decided(events, {"hold": command.hold})


def restock_flash_sale(turn: Turn, command: RestockFlashSale) -> Decision:
    """Add stock to a sale that is not closed."""
    sale = _selling(of(turn.state), turn, command.sale)
    if isinstance(sale, Refusal):
        return sale
    stock = sale.stock + command.quantity
    if stock > STOCK_MAX:
        return Refusal("limit_reached", f"a sale may have {STOCK_MAX} units in all, it has had {sale.stock}", "quantity")
    events = (FlashSaleRestocked(command.sale, command.quantity, stock), _stock(command.sale, sale, available=command.quantity))
    return Decided(events, {"stock": stock})


def close_flash_sale(turn: Turn, command: CloseFlashSale) -> Decision:
    """Close a sale to reservations, even before it opened."""
    sale = _selling(of(turn.state), turn, command.sale)
    return sale if isinstance(sale, Refusal) else Decided((FlashSaleClosed(command.sale, turn.sender.user, sale.held),))


def close_all(turn: Turn) -> tuple[EventBase, ...]:
    """Close all sales because the room closes."""
    return tuple(FlashSaleClosed(seq, turn.sender.user, sale.held) for seq, sale in of(turn.state).live.items() if sale.phase != "closed")


def _selling(sales: FlashSalesState, turn: Turn, seq: int) -> FlashSale | Refusal:
    """A sale that is not closed."""
    sale = sales.live.get(seq)
    if sale is None and seq not in sales.over:
        return Refusal("sale_not_found", "there is no such flash sale", "sale")
    if sale is None or sale.phase == "closed" or sale.closes_ms <= turn.now_ms:
        return Refusal("sale_closed", "the flash sale is over", "sale")
    return sale


def _find_hold(turn: Turn, hold: int) -> tuple[int, FlashSale, Hold] | ResolvedHold | Refusal:
    """An open hold with its sale and the sale's seq, or the refusal for one that is over."""
    sales = of(turn.state)
    for seq, sale in sales.live.items():
        if hold in sale.holds:
            return seq, sale, sale.holds[hold]
    resolved = sales.resolved_holds.get(hold) or sales.resolved_holds_before.get(hold)
    return resolved or Refusal("hold_not_found", "there is no such hold", "hold")


_RESOLVED: Final = {
    "confirmed": Refusal("hold_confirmed", "the hold is already paid", "hold"),
    "cancelled": Refusal("hold_cancelled", "the hold is already cancelled", "hold"),
    "expired": Refusal("hold_expired", "the hold has expired", "hold"),
}


def _resolved(how: str) -> Refusal:
    return _RESOLVED[how]


def _release(state: RoomState, now_ms: int, hold: Hold) -> tuple[EventBase, ...]:
    return release_code(state, now_ms, hold.coupon_code) if hold.coupon_code else ()


def _stock(seq: int, sale: FlashSale, *, available: int = 0, held: int = 0, sold: int = 0) -> StockChanged:
    """The sale's stock after these changes; held and sold units are subtracted from the available ones."""
    closed = sale.phase == "closed"
    return StockChanged(seq, sale.available + available - held - sold, sale.held + held, sale.sold + sold, closed)


def sales_due_ms(state: RoomState) -> int | None:
    """The time at which the next sale opens or closes or the next hold expires; one lookup per sale, however many holds."""
    return min((due for sale in of(state).live.values() for due in _due_ms(sale)), default=None)


def _due_ms(sale: FlashSale) -> Iterator[int]:
    if sale.phase == "announced":
        yield sale.opens_ms
    elif sale.phase == "open":
        yield sale.closes_ms
    if sale.holds:
        yield sale.holds[sale.queue[sale.queue_head]].until_ms


def sales_due(state: RoomState, now_ms: int) -> tuple[EventBase, ...]:
    """Expire holds, at most `HOLDS_EXPIRED_MAX` at once, and open and close sales."""
    events: list[EventBase] = []
    left = HOLDS_EXPIRED_MAX
    for seq, sale in of(state).live.items():
        expired = _expired(sale, now_ms, left)
        left -= len(expired)
        for number in expired:
            hold = sale.holds[number]
            events += [HoldExpired(seq, number, hold.user), *_release(state, now_ms, hold)]
        back = sum(sale.holds[number].quantity for number in expired)
        if expired:
            events.append(_stock(seq, sale, held=-back))
        if sale.phase == "announced" and sale.opens_ms <= now_ms:
            events.append(FlashSaleOpened(seq))
        if sale.phase != "closed" and sale.closes_ms <= now_ms:
            events.append(FlashSaleClosed(seq, "", sale.held - back))
    return tuple(events)


def _expired(sale: FlashSale, now_ms: int, at_most: int) -> list[int]:
    """The first expired holds. All holds of a sale have the same lifetime, so they expire in their order."""
    expired: list[int] = []
    for place in range(sale.queue_head, len(sale.queue)):
        hold = sale.holds.get(sale.queue[place])
        if len(expired) == at_most or (hold is not None and hold.until_ms > now_ms):
            break
        if hold is not None:
            expired.append(sale.queue[place])
    return expired


def flash_sale_announced(state: RoomState, event: FlashSaleAnnounced, seq: int, time_ms: int) -> None:
    """Fold a sale."""
    change(state).live[seq] = FlashSale(
        event.product,
        event.title,
        event.price_fen,
        event.stock,
        event.per_user_max,
        event.opens_ms,
        event.closes_ms,
        event.hold_ms,
        users_per_address_max=event.users_per_address_max,
    )
    limit_addresses(state, seq, event.users_per_address_max)


def flash_sale_opened(state: RoomState, event: FlashSaleOpened, seq: int, time_ms: int) -> None:
    """Fold an opening."""
    of(state).live[event.sale].phase = "open"


def flash_sale_restocked(state: RoomState, event: FlashSaleRestocked, seq: int, time_ms: int) -> None:
    """Fold more stock."""
    of(state).live[event.sale].stock = event.stock


def flash_sale_closed(state: RoomState, event: FlashSaleClosed, seq: int, time_ms: int) -> None:
    """Fold a closing: without an open hold the sale is over."""
    sales = of(state)
    sale = sales.live[event.sale]
    if sale.held != event.held:
        raise InvariantBroken("a closed sale says what is held")
    sale.phase = "closed"
    forget_addresses(state, event.sale)
    sale.unpaid = {}
    _end(sales, event.sale)


def stock_reserved(state: RoomState, event: StockReserved, seq: int, time_ms: int) -> None:
    """Fold a hold."""
    sale = of(state).live[event.sale]
    user, quantity, code = event.user, event.quantity, event.coupon_code
    if not 0 < quantity <= sale.available:
        raise InvariantBroken("no unit is held twice")
    if sale.taken.get(user, 0) + quantity > sale.per_user_max:
        raise InvariantBroken("a user has no more units than one may have")
    sale.holds[seq] = Hold(user, quantity, event.until_ms, event.due_fen, code, hold_code(state, code) if code else None)
    sale.queue.append(seq)
    sale.held += quantity
    sale.taken[user] = sale.taken.get(user, 0) + quantity
    note_made(sale, user, time_ms)


def stock_changed(state: RoomState, event: StockChanged, seq: int, time_ms: int) -> None:
    """Check the stock; the events before this one have changed it already. A closed sale ends with its last hold."""
    sales = of(state)
    sale = sales.live[event.sale]
    if sale.held != event.held:
        raise InvariantBroken("held = units of open holds")
    if sale.sold != event.sold:
        raise InvariantBroken("sold = units of paid holds")
    if sale.available != event.available:
        raise InvariantBroken("available + held + sold = stock")
    if event.closed != (sale.phase == "closed"):
        raise InvariantBroken("the stock of a closed sale says so")
    if event.closed:
        _end(sales, event.sale)


def hold_confirmed(state: RoomState, event: HoldConfirmed, seq: int, time_ms: int) -> None:
    """Fold a payment of a whole hold or of a part of it."""
    hold = of(state).live[event.sale].holds[event.hold]
    if not 0 < event.quantity <= hold.quantity:
        raise InvariantBroken("a payment sells no more than was held")
    if event.quantity + event.returned != hold.quantity:
        raise InvariantBroken("a payment returns the rest")
    if _paid_by(state, event.payment) is not None:
        raise InvariantBroken("a payment pays one hold")
    resolved = ResolvedHold(event.user, "confirmed", event.payment, event.quantity, event.returned, event.paid_fen)
    _resolve(state, event.sale, event.hold, resolved, time_ms)
    sales = of(state)
    if len(sales.payments) >= PAYMENTS_MAX:
        sales.payments_before, sales.payments = sales.payments, {}
    sales.payments[event.payment] = event.hold


def hold_cancelled(state: RoomState, event: HoldCancelled, seq: int, time_ms: int) -> None:
    """Fold a cancellation."""
    _resolve(state, event.sale, event.hold, ResolvedHold(event.user, "cancelled"), time_ms)


def hold_expired(state: RoomState, event: HoldExpired, seq: int, time_ms: int) -> None:
    """Fold an expiry."""
    _resolve(state, event.sale, event.hold, ResolvedHold(event.user, "expired"), time_ms)


def _resolve(state: RoomState, seq: int, number: int, resolved: ResolvedHold, time_ms: int) -> None:
    sales = of(state)
    sale = sales.live[seq]
    hold = sale.holds.pop(number)
    sale.held -= hold.quantity
    sale.sold += resolved.quantity
    sale.taken[hold.user] -= hold.quantity - resolved.quantity
    if not sale.taken[hold.user]:
        del sale.taken[hold.user]
    if hold.coupon_code:
        unhold_code(state, hold.coupon_code)
    if sale.users_per_address_max:
        uncount_hold(state, seq, number, hold.user, paid=resolved.quantity > 0)
    note_ended(sale, hold.user, hold.until_ms - sale.hold_ms, time_ms, paid=resolved.quantity > 0)
    _advance(sale)
    if len(sales.resolved_holds) >= RESOLVED_HOLDS_MAX:
        sales.resolved_holds_before, sales.resolved_holds = sales.resolved_holds, {}
    sales.resolved_holds[number] = resolved


def _advance(sale: FlashSale) -> None:
    """Move the queue's head to an open hold. Each place is passed once and dropped once."""
    while sale.queue_head < len(sale.queue) and sale.queue[sale.queue_head] not in sale.holds:
        sale.queue_head += 1
    if sale.queue_head > max(_QUEUE_SLACK, len(sale.queue) // 2):
        del sale.queue[: sale.queue_head]
        sale.queue_head = 0


def _end(sales: FlashSalesState, seq: int) -> None:
    if not sales.live[seq].holds:
        del sales.live[seq]
        sales.over.append(seq)
        del sales.over[:-SALES_OVER_MAX]


RULES = Rules(
    state=FlashSalesState,
    decide={
        AnnounceFlashSale: announce_flash_sale,
        ReserveStock: reserve_stock,
        ConfirmHold: confirm_hold,
        CancelHold: cancel_hold,
        RestockFlashSale: restock_flash_sale,
        CloseFlashSale: close_flash_sale,
    },
    evolve={
        FlashSaleAnnounced: flash_sale_announced,
        FlashSaleOpened: flash_sale_opened,
        StockChanged: stock_changed,
        StockReserved: stock_reserved,
        HoldConfirmed: hold_confirmed,
        HoldCancelled: hold_cancelled,
        HoldExpired: hold_expired,
        FlashSaleRestocked: flash_sale_restocked,
        FlashSaleClosed: flash_sale_closed,
    },
    due_ms=sales_due_ms,
    due=sales_due,
    entitlements=sale_rows,
    close=close_all,
    fills=FILLS,
)
