"""Tables over the list of features: admissions by command, and folds of entitlements by event."""

from __future__ import annotations

from typing import Final

from liveroom.features.entitlements import Addition, Change, EntitlementFold
from liveroom.features.feature import Admission
from liveroom.features.registry import FEATURES
from liveroom.messages.base import CommandBase

__all__ = ["ADMISSIONS", "ENTITLEMENTS", "ENTITLEMENT_ADDITIONS", "ENTITLEMENT_CHANGES", "admission_of"]

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
