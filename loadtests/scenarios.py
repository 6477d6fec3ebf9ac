"""The storms that there are, by name."""

from __future__ import annotations

from typing import Final

from loadtests.coupon import COUPON, COUPON_TWICE
from loadtests.flash_sale import FLASH_SALE
from loadtests.market import MARKET
from loadtests.red_envelope import RED_ENVELOPE
from loadtests.scenario import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: Final[dict[str, Scenario]] = {
    "red-envelope": RED_ENVELOPE,
    "coupon": COUPON,
    "coupon-twice": COUPON_TWICE,
    "flash-sale": FLASH_SALE,
    "market": MARKET,
}
