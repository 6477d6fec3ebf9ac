"""The storms that there are, by name."""

from __future__ import annotations

from typing import Final

from loadtests.storm.coupon import COUPON, COUPON_TWICE
from loadtests.storm.flash_sale import FLASH_SALE
from loadtests.storm.market import MARKET
from loadtests.storm.red_envelope import RED_ENVELOPE
from loadtests.storm.scenario import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: Final[dict[str, Scenario]] = {
    "red-envelope": RED_ENVELOPE,
    "coupon": COUPON,
    "coupon-twice": COUPON_TWICE,
    "flash-sale": FLASH_SALE,
    "market": MARKET,
}
