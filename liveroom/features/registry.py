"""The list of features for all Python code; its order is that of the vocabulary in the reference pages.

JavaScript has lists of its own: `FEATURES` in `client/liveroom.js`, and in `viewer.js` and `console.js` of `console/static/js/features/`.
"""

from __future__ import annotations

from typing import Final

from liveroom.features.address_limits.feature import FEATURE as ADDRESS_LIMITS
from liveroom.features.audience.feature import FEATURE as AUDIENCE
from liveroom.features.chat.feature import FEATURE as CHAT
from liveroom.features.coupon.feature import FEATURE as COUPON
from liveroom.features.feature import Feature
from liveroom.features.flash_sale.feature import FEATURE as FLASH_SALE
from liveroom.features.lifecycle.feature import FEATURE as LIFECYCLE
from liveroom.features.likes.feature import FEATURE as LIKES
from liveroom.features.moderation.feature import FEATURE as MODERATION
from liveroom.features.questions.feature import FEATURE as QUESTIONS
from liveroom.features.red_envelope.feature import FEATURE as RED_ENVELOPE
from liveroom.features.showcase.feature import FEATURE as SHOWCASE

__all__ = ["FEATURES"]

FEATURES: Final[tuple[Feature, ...]] = (
    LIFECYCLE,
    CHAT,
    MODERATION,
    QUESTIONS,
    LIKES,
    SHOWCASE,
    AUDIENCE,
    RED_ENVELOPE,
    COUPON,
    FLASH_SALE,
    ADDRESS_LIMITS,
)
