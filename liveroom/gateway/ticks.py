"""The points in time at which the rooms of a gateway broadcast.

How it works:

1. A tick lasts longer the fuller the gateway is. It is divided into equal slots of at least `tick_ms_min`.
2. All broadcasts begin at the points between the slots. So the rooms with news share one wakeup for each slot, however many they are.
3. A room that was quiet for a whole tick broadcasts at the next point. So a lone event waits half a slot on average, whatever the tick.
4. Each room has its own point in the tick, and a busy room soon broadcasts only there. So large rooms of one gateway take turns.
5. The points lie elsewhere at each gateway. So gateways on one machine do not all write the same news at the same moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import floor
from zlib import crc32

from liveroom.config.schema import GatewayConfig

__all__ = ["GOLDEN_RATIO", "TickGrid"]

#: Steps of this size through a circle fill it evenly, after any number of steps.
GOLDEN_RATIO = (5**0.5 - 1) / 2
#: Lengths of a tick between the shortest and the longest. With few lengths, gateways that are about as full as each other keep their distance.
LENGTHS = 10

_NUMBERS = re.compile(r"\d+")


class TickGrid:
    """The ticks of the gateway with this name. `connections()` returns the number of its open connections. All times are in seconds."""

    def __init__(self, gateway: str, config: GatewayConfig, connections: Callable[[], int]) -> None:
        self._config = config
        self._connections = connections
        # Numbered gateways lie far apart: a golden ratio for each number. All other names are spread by chance.
        number = sum(map(int, _NUMBERS.findall(gateway)))
        self._share = (_share(_NUMBERS.sub("", gateway)) + GOLDEN_RATIO * number) % 1.0

    @property
    def tick_s(self) -> float:
        """The length of a tick: from `tick_ms_min` without connections to `tick_ms_max` with `connections_max`."""
        config = self._config
        crowd = round(LENGTHS * min(1.0, self._connections() / config.connections_max)) / LENGTHS
        return (config.tick_ms_min + (config.tick_ms_max - config.tick_ms_min) * crowd) / 1000

    def due(self, room_id: str, now: float, broadcast_at: float) -> float:
        """The next broadcast of a room with news whose last broadcast began at `broadcast_at`.

        It is the next point that is a whole tick after the last broadcast, or the room's own point, if half a tick has passed.
        """
        tick_s = self.tick_s
        slots = int(tick_s * 1000) // self._config.tick_ms_min
        slot_s = tick_s / slots
        begin = self._share * tick_s
        own = begin + int(_share(room_id) * slots) * slot_s
        return min(
            _point_after(max(now, broadcast_at + tick_s), begin, slot_s),
            _point_after(max(now, broadcast_at + tick_s / 2), own, tick_s),
        )


def _point_after(time: float, begin: float, step: float) -> float:
    """The first time after `time` that is a whole number of steps from `begin`."""
    return begin + step * (floor((time - begin) / step) + 1)


def _share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return crc32(name.encode()) / 2**32
