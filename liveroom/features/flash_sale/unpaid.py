"""Limits on a user's unpaid holds: how many within an hour, and a pause near the end of the stock.

Shops limit unpaid orders, because a hold costs nothing and keeps stock from other users. Each flash sale has two rules per user:

- At most `rooms.unpaid_holds_per_user_max` holds within an hour that are not paid. Open, cancelled and expired ones count.
- Near the end of the stock, a user whose hold ended unpaid waits for as long as the units were kept, a minute at most.
  Without it, 20 holds of five minutes in a row would keep the last unit from everybody for longer than the hour.

The state keeps users with such holds of the last hour, and forgets others within a minute.
It depends on constants, never on settings, because replay must give the same state.
"""

from __future__ import annotations

from typing import Final

from liveroom.features.decision import Refusal, Turn
from liveroom.features.flash_sale.state import FlashSale, UnpaidHolds

__all__ = ["PAUSE_MS_MAX", "SCARCE_PART", "UNPAID_USERS_MAX", "UNPAID_WINDOW_MS", "check_unpaid", "note_ended", "note_made"]

#: An unpaid hold counts for this time after it was made.
UNPAID_WINDOW_MS: Final = 3_600_000
#: Longest pause after a hold that ended unpaid.
PAUSE_MS_MAX: Final = 60_000
#: The pause counts if a reservation would leave no more than one in this many units of the sale's stock.
SCARCE_PART: Final = 10
#: Most holds of one user that are remembered; no setting may be larger.
UNPAID_HOLDS_MAX: Final = 1_000
#: Most users that a sale remembers. Beyond it, users with the oldest last holds are forgotten, and may reserve again early.
UNPAID_USERS_MAX: Final = 100_000
#: One in this many users is then forgotten at once, so that not each hold has to look for one.
SPACE_PART: Final = 16
#: Time between two checks for users whose hour is over.
LOOK_MS: Final = 60_000


def check_unpaid(turn: Turn, sale: FlashSale, quantity: int) -> Refusal | None:
    """The refusal if the sender may not make another hold now, else `None`. Waiting for `retry_after_ms` suffices."""
    unpaid = sale.unpaid.get(turn.sender.user)
    if unpaid is None:
        return None
    holds_max, now_ms = turn.rules.unpaid_holds_per_user_max, turn.now_ms
    if len(unpaid.made_ms) >= holds_max:
        wait_ms = unpaid.made_ms[-holds_max] + UNPAID_WINDOW_MS - now_ms
        if wait_ms > 0:
            return Refusal("unpaid_limit", f"you made {holds_max} holds within an hour without paying", retry_after_ms=wait_ms)
    wait_ms = unpaid.pause_until_ms - now_ms
    if wait_ms > 0 and (sale.available - quantity) * SCARCE_PART <= sale.stock:
        return Refusal("others_first", "little is left and your last hold ended unpaid: others may buy first for a while", retry_after_ms=wait_ms)
    return None


def note_made(sale: FlashSale, user: str, time_ms: int) -> None:
    """Fold a user's new hold."""
    before = sale.unpaid.get(user)
    if before is None:
        sale.unpaid[user] = UnpaidHolds((time_ms,), time_ms)
    else:
        made_ms = before.made_ms
        if made_ms and made_ms[0] <= time_ms - UNPAID_WINDOW_MS:
            made_ms = tuple(one_ms for one_ms in made_ms if one_ms > time_ms - UNPAID_WINDOW_MS)
        sale.unpaid[user] = UnpaidHolds((*made_ms[1 - UNPAID_HOLDS_MAX :], time_ms), time_ms, before.pause_until_ms)
    _forget_old(sale, time_ms)


def note_ended(sale: FlashSale, user: str, made_ms: int, time_ms: int, *, paid: bool) -> None:
    """Fold the end of a hold: a paid one stops counting, any other makes its user pause."""
    before = sale.unpaid.get(user)
    if before is None:  # forgotten: the sale is closed, or too many others made holds since
        return
    made, pause_until_ms = before.made_ms, before.pause_until_ms
    if not paid:
        pause_until_ms = max(pause_until_ms, time_ms + min(time_ms - made_ms, PAUSE_MS_MAX))
    elif made_ms in made:
        at = made.index(made_ms)
        made = made[:at] + made[at + 1 :]
    if made or pause_until_ms > time_ms:
        sale.unpaid[user] = UnpaidHolds(made, time_ms, pause_until_ms)
    else:
        del sale.unpaid[user]
    _forget_old(sale, time_ms)


def _forget_old(sale: FlashSale, time_ms: int) -> None:
    """Forget users whose hour is over and, beyond the limit, the oldest ones. One check covers all users, so that a hold stays cheap."""
    if time_ms - sale.unpaid_looked_ms < LOOK_MS and len(sale.unpaid) <= UNPAID_USERS_MAX:
        return
    sale.unpaid_looked_ms = time_ms
    kept = [(user, one) for user, one in sale.unpaid.items() if one.noted_ms > time_ms - UNPAID_WINDOW_MS]
    if len(kept) > UNPAID_USERS_MAX:
        kept.sort(key=lambda item: item[1].noted_ms)
        del kept[: len(kept) - UNPAID_USERS_MAX + UNPAID_USERS_MAX // SPACE_PART]
    sale.unpaid = dict(kept)
