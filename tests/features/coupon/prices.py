"""Discounts that the room, the ledger and the viewers' page must all compute: the cases of prices.json."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest
from msgspec import Struct

from liveroom.features.coupon.messages import CouponTerms

__all__ = ["EACH_PRICE", "PRICES", "Price"]


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """One case: a coupon with these terms takes `discount_fen` off an order of `spend_fen`."""

    case: str
    terms: CouponTerms
    spend_fen: int
    discount_fen: int


PRICES: Final = msgspec.json.decode(Path(__file__).with_suffix(".json").read_bytes(), type=list[Price])
EACH_PRICE: Final = pytest.mark.parametrize("price", PRICES, ids=lambda price: price.case)
