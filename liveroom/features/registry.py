"""The one list of features; the order is that of the vocabulary in the reference pages."""

from __future__ import annotations

from typing import Final

from liveroom.features.address_limits.feature import FEATURE as ADDRESS_LIMITS
from liveroom.features.audience.feature import FEATURE as AUDIENCE
from liveroom.features.chat.feature import FEATURE as CHAT
from liveroom.features.coupon.feature import FEATURE as COUPON
from liveroom.features.entitlements import Addition, Change, EntitlementFold
from liveroom.features.feature import Admission, Feature
from liveroom.features.flash_sale.feature import FEATURE as FLASH_SALE
from liveroom.features.lifecycle.feature import FEATURE as LIFECYCLE
from liveroom.features.likes.feature import FEATURE as LIKES
from liveroom.features.moderation.feature import FEATURE as MODERATION
from liveroom.features.questions.feature import FEATURE as QUESTIONS
from liveroom.features.red_envelope.feature import FEATURE as RED_ENVELOPE
from liveroom.features.showcase.feature import FEATURE as SHOWCASE
from liveroom.messages.base import CommandBase

__all__ = ["ADMISSIONS", "ENTITLEMENTS", "ENTITLEMENT_ADDITIONS", "ENTITLEMENT_CHANGES", "FEATURES", "admission_of"]

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

#: Every scarce kind of item.
ADMISSIONS: Final[tuple[Admission, ...]] = tuple(feature.admission for feature in FEATURES if feature.admission is not None)
#: The folds of entitlements, one of each feature that gives users something.
ENTITLEMENTS: Final[tuple[type[EntitlementFold], ...]] = tuple(feature.entitlements for feature in FEATURES if feature.entitlements is not None)
#: By class of event: the place of its fold in `ENTITLEMENTS`, and what the fold does with it. A feature folds its own events alone.
ENTITLEMENT_CHANGES: Final[dict[type, tuple[int, Change]]] = {
    event: (place, change) for place, fold in enumerate(ENTITLEMENTS) for event, change in fold.changes.items()
}
#: By class of personal event: the place of its fold, and the fields that the event's frame gets from it.
ENTITLEMENT_ADDITIONS: Final[dict[type, tuple[int, Addition]]] = {
    event: (place, addition) for place, fold in enumerate(ENTITLEMENTS) for event, addition in fold.additions.items()
}

_BY_COMMAND: Final[dict[type[CommandBase], Admission]] = {admission.command: admission for admission in ADMISSIONS}


def admission_of(command: CommandBase) -> Admission | None:
    """The admission of a command that claims units of a scarce item; `None` for every other command."""
    return _BY_COMMAND.get(type(command))
