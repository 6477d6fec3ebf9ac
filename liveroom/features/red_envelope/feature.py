"""The feature red envelope, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.red_envelope.admission import GRAB
from liveroom.features.red_envelope.entitlements import RedEnvelopeEntitlements
from liveroom.features.red_envelope.messages import (
    REFUSALS,
    CancelRedEnvelope,
    DropRedEnvelope,
    GrabRedEnvelope,
    RedEnvelopeClosed,
    RedEnvelopeDropped,
    RedEnvelopeGrabbed,
    RedEnvelopeOpened,
    RedEnvelopeSealed,
)
from liveroom.features.red_envelope.settings import RedEnvelopeSettings
from liveroom.features.red_envelope.view import VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="red_envelope",
    rules="liveroom.features.red_envelope.rules",
    needs=(
        "address_limits",
        "chat",
        "moderation",
    ),
    refusals=REFUSALS,
    settings=RedEnvelopeSettings,
    commands=(
        DropRedEnvelope,
        GrabRedEnvelope,
        CancelRedEnvelope,
    ),
    events=(
        RedEnvelopeDropped,
        RedEnvelopeSealed,
        RedEnvelopeOpened,
        RedEnvelopeGrabbed,
        RedEnvelopeClosed,
    ),
    views=VIEWS,
    closing_bytes=25_000,
    due_bytes=26_000,
    admission=GRAB,
    entitlements=RedEnvelopeEntitlements,
)
