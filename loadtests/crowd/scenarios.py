"""The scenarios of a crowd that there are beside `steady`, by name."""

from __future__ import annotations

from typing import Final

from loadtests.crowd.join import JOIN
from loadtests.crowd.many_rooms import MANY_ROOMS
from loadtests.crowd.overload import OVERLOAD
from loadtests.crowd.reconnect import RECONNECT
from loadtests.crowd.scenario import CrowdScenario
from loadtests.crowd.slow import SLOW

__all__ = ["CROWD_SCENARIOS"]

CROWD_SCENARIOS: Final[dict[str, CrowdScenario]] = {
    "join": JOIN,
    "reconnect": RECONNECT,
    "slow": SLOW,
    "overload": OVERLOAD,
    "many-rooms": MANY_ROOMS,
}
