"""The feature showcase, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.showcase.messages import (
    REFUSALS,
    AddProduct,
    PinProduct,
    ProductAdded,
    ProductPinned,
    ProductRemoved,
    ProductUnpinned,
    RemoveProduct,
    RequestTryOn,
    TryOnRequested,
    UnpinProduct,
)
from liveroom.features.showcase.routes import ROUTES
from liveroom.features.showcase.settings import ShowcaseSettings
from liveroom.features.showcase.view import DETAILS, VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="showcase",
    rules="liveroom.features.showcase.rules",
    refusals=REFUSALS,
    settings=ShowcaseSettings,
    commands=(
        AddProduct,
        RemoveProduct,
        PinProduct,
        UnpinProduct,
        RequestTryOn,
    ),
    events=(
        ProductAdded,
        ProductRemoved,
        ProductPinned,
        ProductUnpinned,
        TryOnRequested,
    ),
    views=VIEWS,
    details=DETAILS,
    routes=ROUTES,
)
