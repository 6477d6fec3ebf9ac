"""Settings of red envelopes."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["RedEnvelopeSettings"]


class RedEnvelopeSettings(Section, frozen=True):
    """Settings of red envelopes."""

    red_envelopes_live_max: Annotated[int, setting("Announced and open red envelopes of a room", ge=1, le=8)] = 4
