"""The feature flash sale, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.flash_sale.admission import RESERVE
from liveroom.features.flash_sale.entitlements import FlashSaleEntitlements
from liveroom.features.flash_sale.messages import (
    REFUSALS,
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
from liveroom.features.flash_sale.settings import FlashSaleSettings
from liveroom.features.flash_sale.view import VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="flash_sale",
    rules="liveroom.features.flash_sale.rules",
    needs=(
        "address_limits",
        "coupon",
        "showcase",
    ),
    refusals=REFUSALS,
    settings=FlashSaleSettings,
    commands=(
        AnnounceFlashSale,
        ReserveStock,
        ConfirmHold,
        CancelHold,
        RestockFlashSale,
        CloseFlashSale,
    ),
    events=(
        FlashSaleAnnounced,
        FlashSaleOpened,
        StockChanged,
        StockReserved,
        HoldConfirmed,
        HoldCancelled,
        HoldExpired,
        FlashSaleRestocked,
        FlashSaleClosed,
    ),
    views=VIEWS,
    closing_bytes=64_000,
    due_bytes=379_000,
    admission=RESERVE,
    entitlements=FlashSaleEntitlements,
)
