"""A room's money events as rows for accounting: one event per row, with the same columns for all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from liveroom.accounting.ledger import Ledger
from liveroom.config.schema import Config
from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponRedeemed, CouponReleased, CouponStopped
from liveroom.features.flash_sale.messages import (
    FlashSaleAnnounced,
    FlashSaleClosed,
    FlashSaleRestocked,
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    StockReserved,
)
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed
from liveroom.journal.tail import tail
from liveroom.messages.errors import LiveroomError
from liveroom.protocol.codec import encode
from liveroom.protocol.events import Event

__all__ = ["COLUMNS", "MoneyRow", "csv_lines", "export_money"]


class MoneyRow(Struct, frozen=True):
    """One money event. Columns that do not apply are 0 or empty; `item` is the seq of the envelope, coupon or sale."""

    room: str
    seq: int
    time_ms: int
    type: str
    item: int
    user: str = ""
    quantity: int = 0
    amount_fen: int = 0
    discount_fen: int = 0
    hold: int = -1
    reference: str = ""


#: The characters that begin a formula in a spreadsheet, with the wide forms that some programs treat as the narrow ones.
_FORMULA_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

COLUMNS = tuple(field.name for field in msgspec.structs.fields(MoneyRow))


class _Told(Struct):
    """The fields beside the event in a line of a room's events."""

    room: str
    seq: int
    time_ms: int


_head = msgspec.json.Decoder(_Told)
_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def export_money(config: Config, room: str, form: Literal["jsonl", "csv"]) -> Iterator[str]:
    """Lines in order of their seqs, for CSV with a heading.
    The ledger follows along, so no row after a difference is exported.

    Raises: `LedgerBroken`, `BadConfig`, `BadMessage`, `JournalError`; `LiveroomError` for a room without events.
    """
    rest = tail(config, room, from_seq=0, follow=False)
    first = next(rest, None)
    if first is None:
        raise LiveroomError(f"there is no room {room} in this journal")
    rows = _rows([first], rest)
    return csv_lines(rows) if form == "csv" else (encode(row).decode() for row in rows)


def _rows(first: Iterable[str], rest: Iterator[str]) -> Iterator[MoneyRow]:
    ledger = Ledger()
    for lines in (first, rest):
        for line in lines:
            told, event = _head.decode(line), _event.decode(line)
            row = _row(told, event, ledger)
            ledger.apply(event, told.seq, told.time_ms)
            if row is not None:
                yield row


def _row(told: _Told, event: Event, ledger: Ledger) -> MoneyRow | None:
    def row(
        item: int, user: str = "", quantity: int = 0, amount_fen: int = 0, discount_fen: int = 0, hold: int = -1, reference: str = ""
    ) -> MoneyRow:
        kind = str(type(event).__struct_config__.tag)
        return MoneyRow(told.room, told.seq, told.time_ms, kind, item, user, quantity, amount_fen, discount_fen, hold, reference)

    match event:
        case RedEnvelopeDropped():
            return row(told.seq, event.by, event.shares, event.total_fen)
        case RedEnvelopeGrabbed():
            return row(event.envelope, event.user, 1, event.amount_fen)
        case RedEnvelopeClosed():
            return row(event.envelope, "", 0, event.refunded_fen, reference=event.reason)
        case CouponIssued():
            return row(told.seq, event.by, event.stock)
        case CouponClaimed():
            return row(event.coupon, event.user, 1)
        case CouponRedeemed():
            return row(event.coupon, event.user, 1, 0, event.discount_fen, reference=event.order)
        case CouponReleased():
            return row(event.coupon, event.user, 1, reference=event.order)
        case CouponStopped():
            return row(event.coupon, event.by)
        case CouponExpired():
            return row(event.coupon)
        case FlashSaleAnnounced():
            return row(told.seq, event.by, event.stock, event.price_fen, reference=event.product)
        case FlashSaleRestocked():
            return row(event.sale, "", event.quantity)
        case StockReserved():
            return row(event.sale, event.user, event.quantity, event.due_fen, event.discount_fen, told.seq)
        case HoldConfirmed():
            discount_fen = ledger.sales[event.sale].price_fen * event.quantity - event.paid_fen if event.sale in ledger.sales else 0
            return row(event.sale, event.user, event.quantity, event.paid_fen, discount_fen, event.hold, event.payment)
        case HoldCancelled() | HoldExpired():
            return row(event.sale, event.user, ledger.held_quantity(event.hold), hold=event.hold)
        case FlashSaleClosed():
            return row(event.sale, event.by)
    return None


def csv_lines(rows: Iterator[MoneyRow]) -> Iterator[str]:
    """Rows as CSV with a heading."""
    yield ",".join(COLUMNS)
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(map(_cell, msgspec.structs.astuple(row)))
        yield line.getvalue()


def _cell(value: str | int) -> str | int:
    """Put an apostrophe before text that a spreadsheet would run as a formula (OWASP, "CSV Injection"). Numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_BEGINNINGS) else value
